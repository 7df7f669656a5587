//! A host of the state machine with a storage of its own: no backend, no thread, no lock of the
//! lessor's. A command is decided, its rows go to an append-only file together with the host's keys,
//! and only then it is applied.
//!
//! The example grants, attaches and renews, is torn out of a write as if it had lost power, starts
//! again from its file and sees the leases expire. With a file it is a program that keeps keys: what has
//! answered survives `kill -9`, and Ctrl-C, or the end of the input, ends it in an orderly way.
//!
//! Run it with `cargo run -p lease --example own_storage`, or with ` -- keys.log` behind it, and type
//!
//! ```text
//! put services/web/1 60
//! renew services/web/1
//! list
//! ```
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example talks and waits"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lease::{
    Answer, Checkpoint, Command, Epoch, Grant, HostWrite, Incarnation, LeaseError, LeaseId,
    LeaseIds, LeaseItem, LeaseRow, LeaseWrite, LessorConfig, LessorCore, ProposalOutcome, Renewal,
    Table, Timestamp, Ttl, WriteBatch,
};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        return serve(path.as_ref());
    }
    let path = std::env::temp_dir().join(format!("lease-own-storage-{}", std::process::id()));
    let (short, long) = (LeaseId::try_from(1)?, LeaseId::try_from(2)?);

    let mut host = Host::start(&path)?;
    host.grant(short, Ttl::new(1)?)?;
    host.grant(long, Ttl::new(3600)?)?;
    host.put("services/web/1", short)?;
    host.put("services/web/2", long)?;
    println!("renewed lease {long} for {}", host.renew(long)?);
    println!("lease {short} again: {:?}", host.grant(short, Ttl::MIN));
    host.lose_power()?;

    println!("the power is back");
    let mut host = Host::start(&path)?;
    host.show();
    assert_eq!((host.core.len(), host.keys.len()), (2, 2));
    while host.core.len() == 2 {
        host.sleep_and_drive()?;
    }
    host.show();
    assert_eq!(host.keys.len(), 1, "a key goes with its lease");
    drop(host);

    let host = Host::start(&path)?;
    assert_eq!(
        (host.core.len(), host.keys.len()),
        (1, 1),
        "also from the file"
    );
    drop(host);
    std::fs::remove_file(path)?;
    Ok(())
}

/// Does what is typed and what is due, until Ctrl-C or the end of the input.
fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut host = Host::start(path)?;
    // Ids of an epoch that is on disk: none comes twice.
    let mut ids = LeaseIds::of_epoch(host.core.epoch());
    host.show();
    let (lines, typed) = channel();
    let at_ctrl_c = lines.clone();
    ctrlc::set_handler(move || drop(at_ctrl_c.send(None)))?;
    std::thread::spawn(move || {
        let typed = io::stdin().lock().lines().map_while(Result::ok);
        typed.for_each(|line| drop(lines.send(Some(line))));
        drop(lines.send(None));
    });
    println!("ready");
    loop {
        let due = host.core.next_wakeup();
        let left = due.map_or(LONGEST_SLEEP, |due| {
            due.saturating_duration_since(host.now())
        });
        match typed.recv_timeout(left) {
            Ok(Some(line)) => match host.run(&line, &mut ids) {
                Ok(()) => {}
                Err(error) => println!("error: {error}"),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
        }
        host.drive()?;
    }
    // Nothing is pending: what has answered is in the file.
    println!("stopped");
    Ok(())
}

const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// A host: the state machine, a file, and keys that belong to leases.
struct Host {
    core: LessorCore,
    log: Log,
    keys: BTreeMap<Vec<u8>, LeaseId>,
    started: Instant,
}

impl Host {
    /// Recovers from the file and becomes the primary.
    fn start(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut stored = Stored::default();
        let log = Log::open(path, |record| stored.take(record))?;
        let mut core = LessorCore::new(LessorConfig {
            // Write down every second what remains of the longer leases.
            checkpoint_interval: Duration::from_secs(1),
            // A host whose clients are not to be trusted draws it at random.
            hash_seed: Some(7),
            ..LessorConfig::default()
        });
        let mut recovery = core.begin_recovery();
        for row in stored.leases.values() {
            recovery.insert(row)?;
        }
        core.finish_recovery(recovery, stored.epoch);
        let mut host = Self {
            core,
            log,
            keys: stored.keys,
            started: Instant::now(),
        };
        host.attach_keys()?;
        // The epoch is on disk before anybody acts in it.
        let epoch = host.core.next_epoch();
        host.execute(Command::BeginEpoch(epoch), WriteBatch::default())?;
        host.core.promote(host.now(), epoch, Duration::ZERO);
        host.drive()?;
        Ok(host)
    }

    /// What is attached is not in the leases' rows, but follows from the keys.
    fn attach_keys(&mut self) -> io::Result<()> {
        for (key, id) in self.keys.clone() {
            let items = vec![LeaseItem::new(key)];
            self.execute(Command::Attach { id, items }, WriteBatch::default())?;
        }
        Ok(())
    }

    fn run(&mut self, line: &str, ids: &mut LeaseIds) -> Result<(), Box<dyn Error>> {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["put", key, secs] => {
                let id = ids.next_id();
                self.grant(id, Ttl::new(secs.parse()?)?)?;
                self.put(key, id)?;
                println!("{key} belongs to lease {id} now");
            }
            ["renew", key] => {
                let id = self.core.get_lease(key.as_bytes());
                let ttl = self.renew(id.ok_or("there is no such key")?)?;
                println!("{key} is renewed for {ttl}");
            }
            ["list"] => self.show(),
            [] => {}
            _ => return Err("put KEY SECONDS, renew KEY, list".into()),
        }
        Ok(())
    }

    fn grant(&mut self, id: LeaseId, ttl: Ttl) -> Result<Incarnation, Box<dyn Error>> {
        match self.execute(Grant::new(id, ttl).into(), WriteBatch::default())? {
            Answer::Granted(granted) => Ok(granted?),
            answer => unreachable!("{answer:?}"),
        }
    }

    /// Stores a key and attaches it, in one write.
    fn put(&mut self, key: &str, id: LeaseId) -> Result<(), Box<dyn Error>> {
        let mut writes = WriteBatch::default();
        writes.put(keys(), key, id.get().to_be_bytes());
        let items = vec![key.into()];
        match self.execute(Command::Attach { id, items }, writes)? {
            Answer::Attached(attached) => Ok(attached?),
            answer => unreachable!("{answer:?}"),
        }
    }

    fn renew(&mut self, id: LeaseId) -> Result<Ttl, Box<dyn Error>> {
        loop {
            match self.core.renew(self.now(), id)? {
                Renewal::Renewed(ttl) => return Ok(ttl),
                // The lease's checkpoint would shorten it after the next start.
                Renewal::Reset(checkpoint) => {
                    self.execute(checkpoint.into(), WriteBatch::default())?;
                }
                _ => return Err(LeaseError::LeaseNotFound.into()),
            }
        }
    }

    /// Decides, writes, applies. What is not written has not happened.
    fn execute(&mut self, command: Command, mut writes: WriteBatch) -> io::Result<Answer> {
        let mut rows = WriteBatch::default();
        let decided = self.core.decide(command, &mut rows);
        let decision = decided.expect("there is one command at a time");
        for id in decision.revoked() {
            for item in self.core.items(*id) {
                rows.delete(keys(), item.as_bytes());
            }
        }
        if !decision.answer().is_refusal() {
            rows.append(&mut writes);
        }
        if let Err(error) = self.log.append(&rows) {
            self.core.abandon(decision);
            return Err(error);
        }
        for write in rows.host() {
            match write {
                HostWrite::Put { key, value, .. } => {
                    let id = number(value).and_then(LeaseId::new);
                    let id = id.expect("this host has written it");
                    self.keys.insert(key.clone(), id);
                }
                HostWrite::Delete { key, .. } => drop(self.keys.remove(key)),
                HostWrite::DeleteRange { .. } => unreachable!("this host deletes no ranges"),
            }
        }
        Ok(self.core.apply(self.now(), decision))
    }

    /// Sleeps until something is due, and does it.
    fn sleep_and_drive(&mut self) -> io::Result<()> {
        let wakeup = self.core.next_wakeup().expect("a lease ends one day");
        std::thread::sleep(wakeup.saturating_duration_since(self.now()));
        self.drive()
    }

    /// Does all that is due.
    fn drive(&mut self) -> io::Result<()> {
        while self.core.next_wakeup().is_some_and(|due| due <= self.now()) {
            self.core.handle_timeout(self.now());
            while let Some(batch) = self.core.poll_expired(self.now()) {
                self.core.handle_taken(self.now(), &batch);
                for lease in &batch.leases {
                    println!("lease {} has expired", lease.id);
                }
                let revoke = Command::Revoke(batch.revocations().collect());
                self.execute(revoke, WriteBatch::default())?;
            }
            while let Some(batch) = self.core.poll_checkpoints(self.now()) {
                let checkpoints: Vec<Checkpoint> = batch.records.clone();
                let command = Command::Checkpoint(checkpoints);
                self.execute(command, WriteBatch::default())?;
                let outcome = ProposalOutcome::Applied;
                self.core.handle_checkpoints(self.now(), &batch, outcome);
            }
        }
        Ok(())
    }

    fn show(&self) {
        for (key, id) in &self.keys {
            println!("  {} belongs to lease {id}", String::from_utf8_lossy(key));
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.started.elapsed())
    }

    /// Ends in the middle of a write.
    fn lose_power(mut self) -> io::Result<()> {
        println!("the power is gone in the middle of a write");
        self.log.file.write_all(&[42; 13])
    }
}

fn keys() -> Table {
    Table::new("keys")
}

/// What the file holds: the state as its records leave it.
#[derive(Default)]
struct Stored {
    leases: BTreeMap<LeaseId, LeaseRow>,
    keys: BTreeMap<Vec<u8>, LeaseId>,
    epoch: Epoch,
}

impl Stored {
    /// Takes the writes of one record; `None` if it is not one of this host's.
    fn take(&mut self, mut record: &[u8]) -> Option<()> {
        while !record.is_empty() {
            match take_number(&mut record)? {
                PUT_LEASE => {
                    let row = take_row(&mut record)?;
                    self.leases.insert(row.id, row);
                }
                DELETE_LEASE => {
                    let id = LeaseId::new(take_number(&mut record)?)?;
                    self.leases.remove(&id);
                }
                PUT_KEY => {
                    let key = take_bytes(&mut record)?;
                    let id = LeaseId::new(take_number(&mut record)?)?;
                    self.keys.insert(key, id);
                }
                DELETE_KEY => drop(self.keys.remove(&take_bytes(&mut record)?)),
                EPOCH => self.epoch = Epoch::new(take_number(&mut record)? as u64),
                _ => return None,
            }
        }
        Some(())
    }
}

/// An append-only file. Each record is a length, a checksum, and the writes of one command, which
/// come to be together or not at all. It only grows: another store would write what is left of it
/// into a new file now and then.
struct Log {
    file: File,
    end: u64,
}

impl Log {
    /// Opens or creates the file and reads its records. A torn record at the end never was.
    fn open(path: &Path, mut visit: impl FnMut(&[u8]) -> Option<()>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = &bytes[..];
        let mut end = 0;
        while let Some(record) = take_record(&mut rest) {
            visit(record).ok_or(io::ErrorKind::InvalidData)?;
            end = (bytes.len() - rest.len()) as u64;
        }
        let mut log = Self { file, end };
        log.cut_back()?;
        Ok(log)
    }

    /// Writes a record durably, or leaves the file as it was.
    fn append(&mut self, batch: &WriteBatch) -> io::Result<()> {
        let payload = encode(batch);
        if payload.is_empty() {
            return Ok(());
        }
        let mut record = Vec::new();
        put_number(&mut record, payload.len() as i64);
        put_number(&mut record, checksum(&payload));
        record.extend(payload);
        let written = self.file.write_all(&record);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.cut_back()?;
            return Err(error);
        }
        self.end += record.len() as u64;
        Ok(())
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.sync_data()
    }
}

const PUT_LEASE: i64 = 1;
const DELETE_LEASE: i64 = 2;
const PUT_KEY: i64 = 3;
const DELETE_KEY: i64 = 4;
const EPOCH: i64 = 5;

fn encode(batch: &WriteBatch) -> Vec<u8> {
    let mut to = Vec::new();
    for write in batch.leases() {
        match write {
            LeaseWrite::Put(row) => {
                put_number(&mut to, PUT_LEASE);
                put_row(&mut to, row);
            }
            LeaseWrite::Delete(id) => {
                put_number(&mut to, DELETE_LEASE);
                put_number(&mut to, id.get());
            }
        }
    }
    for write in batch.host() {
        match write {
            HostWrite::Put { key, value, .. } => {
                put_number(&mut to, PUT_KEY);
                put_bytes(&mut to, key);
                to.extend(value);
            }
            HostWrite::Delete { key, .. } => {
                put_number(&mut to, DELETE_KEY);
                put_bytes(&mut to, key);
            }
            HostWrite::DeleteRange { .. } => unreachable!("this host deletes no ranges"),
        }
    }
    if let Some(epoch) = batch.epoch() {
        put_number(&mut to, EPOCH);
        put_number(&mut to, epoch.get() as i64);
    }
    to
}

/// The incarnations of a host without a log are counted by the lessor and not stored.
fn put_row(to: &mut Vec<u8>, row: &LeaseRow) {
    put_number(to, row.id.get());
    put_number(to, row.ttl.get());
    put_number(to, row.remaining.map_or(0, Ttl::get));
    put_number(to, i64::from(row.checkpoint_generation));
}

fn take_row(from: &mut &[u8]) -> Option<LeaseRow> {
    let id = LeaseId::new(take_number(from)?)?;
    let ttl = Ttl::new(take_number(from)?).ok()?;
    Some(LeaseRow {
        remaining: Ttl::new(take_number(from)?).ok(),
        checkpoint_generation: take_number(from)?.try_into().ok()?,
        ..LeaseRow::new(id, ttl)
    })
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as i64);
    to.extend(bytes);
}

fn take_bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(take_number(from)?).ok()?;
    Some(from.split_off(..len)?.to_vec())
}

fn put_number(to: &mut Vec<u8>, number: i64) {
    to.extend(number.to_be_bytes());
}

fn take_number(from: &mut &[u8]) -> Option<i64> {
    number(from.split_off(..8)?)
}

fn number(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

/// The next record that was written as a whole.
fn take_record<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_number(from)?).ok()?;
    let expected = take_number(from)?;
    let payload = from.split_off(..len)?;
    (checksum(payload) == expected).then_some(payload)
}

/// FNV-1a. A store that must bear more than torn writes takes a stronger one.
fn checksum(bytes: &[u8]) -> i64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix) as i64
}
