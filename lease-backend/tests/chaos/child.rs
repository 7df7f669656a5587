use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lease_backend::RedbBackend;
use lease_backend::testing::Prng;
use lease_core::{
    Backend, BackendError, BackendLessor, Durability, Epoch, HostWrite, LeaseId, LeaseItem,
    LeaseRow, LeaseWrite, Lessor, LessorConfig, Table, TableDeleter, WriteBatch,
};

use crate::model::{self, SPAN, State, keys, sessions};
use crate::op::Op;

/// Where a child says what it does. One write for each line, so that a kill cuts none.
struct Pipe(Mutex<File>);

impl Pipe {
    fn say(&self, mark: char, thread: usize, op: Op) {
        let line = format!("{mark} {thread} {op}\n");
        let mut file = self.0.lock().expect("nothing panics");
        // A parent that is gone needs no answer.
        let _ = file.write_all(line.as_bytes());
    }
}

/// The process that is killed: changes leases until then.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let [path, seed, mode] = args else {
        return ExitCode::FAILURE;
    };
    let seed: u64 = seed.parse().unwrap_or(0);
    let durability = match mode.as_str() {
        "durable" | "planted" => Durability::EveryCommand,
        _ => Durability::Batched {
            interval: Duration::from_millis(5),
            max_writes: std::num::NonZeroUsize::new(20).expect("not zero"),
        },
    };
    let backend = Arc::new(RedbBackend::open(path).expect("the file is a store"));
    let states = model::read(&backend).expect("it can be read");
    let backend: Arc<dyn Backend> = match mode.as_str() {
        "planted" => Arc::new(TwoTransactions(backend)),
        _ => backend,
    };
    let lessor = BackendLessor::builder(backend)
        .durability(durability)
        .config(LessorConfig {
            checkpoint_interval: Duration::from_secs(1_000_000),
            ..LessorConfig::default()
        })
        .range_deleter(Arc::new(TableDeleter::new(keys())))
        .build()
        .expect("it can be read");
    // What was attached is the host's to remember: in the rows of its keys.
    for state in &states {
        for (key, id) in &state.keys {
            lessor
                .attach(lease(*id), &[item(*key)])
                .expect("no key outlives its lease");
        }
    }
    lessor.promote(Duration::ZERO).expect("it can be written");
    let pipe = Pipe(Mutex::new(stdout()));
    thread::scope(|scope| {
        for (number, state) in states.into_iter().enumerate() {
            let (lessor, pipe) = (&lessor, &pipe);
            let prng = Prng::new(seed ^ (number as u64) << 32);
            scope.spawn(move || work(lessor, pipe, number, state, prng));
        }
    });
    ExitCode::SUCCESS
}

/// A planted bug, to show that it is found: the host's writes are a transaction of their own.
struct TwoTransactions(Arc<RedbBackend>);

impl Backend for TwoTransactions {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let mut leases = WriteBatch::default();
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => leases.put_lease(*row),
                LeaseWrite::Delete(id) => leases.delete_lease(*id),
            }
        }
        let mut host = WriteBatch::default();
        for write in batch.host() {
            match write.clone() {
                HostWrite::Put { table, key, value } => host.put(table, key, value),
                HostWrite::Delete { table, key } => host.delete(table, key),
                HostWrite::DeleteRange { table, start, end } => {
                    host.delete_range(table, start, end);
                }
            }
        }
        self.0.commit(&leases)?;
        self.0.commit(&host)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.0.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.0.scan(table, visit)
    }
}

fn stdout() -> File {
    use std::os::fd::AsFd;
    let owned = std::io::stdout().as_fd().try_clone_to_owned();
    File::from(owned.expect("there is a standard output"))
}

fn work(lessor: &BackendLessor, pipe: &Pipe, thread: usize, mut state: State, mut prng: Prng) {
    loop {
        let op = choose(&state, thread, &mut prng);
        pipe.say('?', thread, op);
        execute(lessor, op);
        pipe.say('!', thread, op);
        state.apply(op);
        // Renewals and look-ups go on beside.
        if let Some(id) = state.leases.keys().next() {
            let _ = lessor.try_renew(lease(*id));
            let _ = lessor.lookup(lease(*id));
        }
    }
}

fn choose(state: &State, thread: usize, prng: &mut Prng) -> Op {
    let base = thread as i64 * SPAN + 1;
    let ids: Vec<_> = state.leases.keys().copied().collect();
    if ids.is_empty() || (ids.len() < 8 && prng.one_in(3)) {
        let id = loop {
            let id = base + prng.below(40) as i64;
            if !state.leases.contains_key(&id) {
                break id;
            }
        };
        let stamp = prng.next_u64() >> 1;
        return Op::Grant { id, stamp };
    }
    let id = *prng.pick(&ids);
    let key = base as u64 + prng.below(12);
    match prng.below(10) {
        0 | 1 => Op::Revoke { id },
        2..=5 => Op::Attach { id, key },
        6 | 7 => match state.keys.get(&key) {
            Some(id) => Op::Detach { id: *id, key },
            None => Op::Attach { id, key },
        },
        8 => Op::Checkpoint {
            id,
            remaining: 1 + prng.below(3_000) as i64,
        },
        _ => Op::Flush,
    }
}

fn execute(lessor: &BackendLessor, op: Op) {
    let mut writes = WriteBatch::default();
    let done = match op {
        Op::Grant { id, stamp } => {
            writes.put(sessions(), id.to_be_bytes(), stamp.to_be_bytes());
            lessor.grant_with(lease(id), 3_600, writes).map(drop)
        }
        Op::Revoke { id } => {
            writes.delete(sessions(), id.to_be_bytes());
            lessor.revoke_with(lease(id), writes)
        }
        Op::Attach { id, key } => {
            writes.put(keys(), key.to_be_bytes(), id.to_be_bytes());
            lessor.attach_with(lease(id), &[item(key)], writes)
        }
        Op::Detach { id, key } => {
            writes.delete(keys(), key.to_be_bytes());
            lessor.detach_with(lease(id), &[item(key)], writes)
        }
        Op::Checkpoint { id, remaining } => lessor.checkpoint(lease(id), remaining),
        Op::Flush => lessor.flush().map_err(lease_core::LeaseError::Backend),
    };
    done.unwrap_or_else(|error| panic!("{op}: {error}"));
}

fn lease(id: i64) -> LeaseId {
    LeaseId::new(id).expect("not zero")
}

fn item(key: u64) -> LeaseItem {
    LeaseItem::from(&key.to_be_bytes()[..])
}
