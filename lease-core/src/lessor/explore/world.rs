use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use shuttle::future::block_on;

use super::history::History;
use super::model::{IDS, ITEMS, Model};
use super::op::{Op, What};
use super::store::{Store, items_table};
use super::witness::Witness;
use super::{draw, one_of};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, atomic::AtomicBool};
use crate::{
    AsyncLessor, BackendLessor, BackendLessorBuilder, Clock, Driver, Durability, Epoch,
    ExpiredBatch, ItemMode, LeaseError, LeaseId, LeaseItem, LeaseRow, LeaseWrite, Lessor,
    LessorConfig, ManualClock, RangeDeleter, Renewal, TableDeleter, WriteBatch,
};

/// A lessor, what is around it, and what was seen of it.
pub(super) struct World {
    pub(super) lessor: Arc<BackendLessor>,
    // The handle for tasks, if half of the commands go through it.
    tasks: Option<AsyncLessor>,
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) history: Arc<History>,
    // Unless nobody, or somebody else, is told.
    witness: Option<Arc<Witness>>,
    may_fail: bool,
    pub(super) is_durable: bool,
    /// Whether the store is the same all the time.
    pub(super) has_one_store: bool,
    stores_items: bool,
    pub(super) start: Model,
    next_ttl: AtomicUsize,
}

/// How a world is.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) durability: Durability,
    pub(super) driver: Driver,
    pub(super) expiry: crate::ExpiryMode,
    pub(super) is_primary: bool,
    /// One commit in so many fails; 0 is none.
    pub(super) fails_one_in: usize,
    pub(super) has_one_store: bool,
    /// The most leases that there may be.
    pub(super) max_leases: Option<usize>,
    /// Whether the items are stored by the lessor, too.
    pub(super) stores_items: bool,
    /// Whether a [`Witness`] may be the observer.
    pub(super) has_witness: bool,
    /// Whether the host's code may fail, the store aside.
    pub(super) has_wild_host: bool,
}

/// Batched so that only a flush commits.
pub(super) const SLOWLY: Durability = Durability::Batched {
    interval: Duration::from_secs(100_000),
    max_writes: NonZeroUsize::new(1000).expect("not zero"),
};

/// Batched so that the backlog is full after a few commands.
pub(super) const TIGHTLY: Durability = Durability::Batched {
    interval: Duration::from_secs(1),
    max_writes: NonZeroUsize::MIN,
};

/// Of a wait that ends only if it is ended.
pub(super) const NEVER: Duration = Duration::MAX;

impl Default for Setting {
    fn default() -> Self {
        Self {
            durability: Durability::EveryCommand,
            driver: Driver::Manual,
            expiry: crate::ExpiryMode::Deliver,
            is_primary: true,
            fails_one_in: 0,
            has_one_store: true,
            max_leases: None,
            stores_items: false,
            has_witness: true,
            has_wild_host: false,
        }
    }
}

impl World {
    pub(super) fn new(setting: Setting) -> Arc<Self> {
        Self::with(setting, |builder| builder)
    }

    pub(super) fn with(
        setting: Setting,
        build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
    ) -> Arc<Self> {
        let (store, clock) = (Store::new(), Arc::new(ManualClock::default()));
        let history = Arc::<History>::default();
        // It takes revokes of the lessor's own down; those of the host's are noted by the host.
        let revokes = setting.expiry == crate::ExpiryMode::AutoRevoke;
        let has_witness = setting.has_witness && (revokes || draw(2) == 0);
        let witness = has_witness.then(|| Arc::new(Witness::new(&history, &clock, revokes)));
        let mut builder = BackendLessor::builder(store.clone())
            .config(LessorConfig {
                max_leases: setting.max_leases,
                ..config()
            })
            .clock(clock.clone())
            .durability(setting.durability)
            .driver(setting.driver)
            .expiry(setting.expiry)
            .range_deleter(deleter())
            .stop_timeout(NEVER);
        if let Some(witness) = &witness {
            builder = builder.observer(witness.clone());
        }
        if setting.stores_items {
            builder = builder.items(ItemMode::Stored);
        }
        let lessor = build(builder).build().expect("an empty store is read");
        if setting.is_primary {
            lessor.promote(Duration::ZERO).expect("the store works");
        }
        store.change(|contents| contents.fails_one_in = setting.fails_one_in);
        Arc::new(Self {
            lessor: Arc::new(lessor),
            tasks: None,
            store,
            clock,
            history,
            witness,
            may_fail: setting.fails_one_in > 0 || setting.has_wild_host,
            is_durable: setting.durability == Durability::EveryCommand,
            has_one_store: setting.has_one_store,
            stores_items: setting.stores_items,
            start: Model::new(&setting),
            next_ttl: AtomicUsize::new(0),
        })
    }

    /// A world in which half of the commands are given by tasks.
    pub(super) fn with_tasks(
        setting: Setting,
        build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
    ) -> Arc<Self> {
        let mut world = Arc::into_inner(Self::with(setting, build)).expect("it was just made");
        let tasks = AsyncLessor::new(Arc::clone(&world.lessor));
        world.tasks = Some(tasks.expect("there is room"));
        Arc::new(world)
    }

    // The handle for tasks, for half of the commands.
    pub(super) fn by_task(&self) -> Option<&AsyncLessor> {
        self.tasks.as_ref().filter(|_| draw(2) == 0)
    }

    /// Starts a thread that does `work`.
    pub(super) fn spawn(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) -> Thread {
        let world = Arc::clone(self);
        Thread(thread::spawn("host", move || work(&world)).expect("there is room"))
    }

    /// Threads that each do this many random commands.
    pub(super) fn spawn_many(self: &Arc<Self>, threads: usize, commands: usize) -> Vec<Thread> {
        (0..threads)
            .map(|_| self.spawn(move |world| (0..commands).for_each(|_| world.do_something())))
            .collect()
    }

    fn do_something(&self) {
        let id = 1 + draw(IDS) as i64;
        match draw(10) {
            0..=2 => drop(self.grant(id)),
            3 | 4 => drop(self.revoke(id)),
            5 | 6 => drop(self.attach(id, &some_items())),
            7 => drop(self.detach(id, &some_items())),
            8 => self.lookup(id),
            _ => self.owner(draw(ITEMS)),
        }
    }

    pub(super) fn grant(&self, id: i64) -> Result<(), LeaseError> {
        // Tells grants apart.
        let ttl = 100 + self.next_ttl.fetch_add(1, SeqCst) as i64;
        self.grant_for(id, ttl)
    }

    pub(super) fn grant_for(&self, id: i64, ttl: i64) -> Result<(), LeaseError> {
        let mark = self.mark();
        let answer = self.note(|| {
            let answer = match self.by_task() {
                Some(tasks) => block_on(tasks.grant(lease(id), ttl)),
                None => self.lessor.grant(lease(id), ttl),
            };
            What::Grant(id, ttl, answer.map(|lease| lease.incarnation()))
        });
        let What::Grant(_, _, answer) = answer else {
            unreachable!("it was just made");
        };
        let is_put = |write: &LeaseWrite| matches!(write, LeaseWrite::Put(row) if row.id == lease(id) && row.ttl.as_secs() == ttl as u64);
        self.check_written(mark, &answer, |batch| batch.leases().iter().any(is_put));
        answer.map(drop)
    }

    pub(super) fn revoke(&self, id: i64) -> Result<(), LeaseError> {
        let mark = self.mark();
        let done = self.note(|| {
            let answer = match self.by_task() {
                Some(tasks) => block_on(tasks.revoke(lease(id))),
                None => self.lessor.revoke(lease(id)),
            };
            What::Revoke(id, answer)
        });
        let What::Revoke(_, answer) = done else {
            unreachable!("it was just made");
        };
        let is_delete = |write: &LeaseWrite| *write == LeaseWrite::Delete(lease(id));
        self.check_written(mark, &answer, |batch| batch.leases().iter().any(is_delete));
        answer
    }

    pub(super) fn attach(&self, id: i64, which: &[usize]) -> Result<(), LeaseError> {
        let mut rows = WriteBatch::default();
        for item in which {
            rows.put(items_table(), name(*item), id.to_be_bytes());
        }
        let mark = self.mark();
        let written = rows.clone();
        let done = self.note(|| {
            let items = items(which);
            let answer = match self.by_task() {
                Some(tasks) => block_on(tasks.attach_with(lease(id), &items, rows)),
                None => self.lessor.attach_with(lease(id), &items, rows),
            };
            What::Attach(id, which.to_vec(), answer)
        });
        let What::Attach(_, _, answer) = done else {
            unreachable!("it was just made");
        };
        self.check_written(mark, &answer, |batch| {
            let mut writes = written.host().iter();
            writes.all(|write| batch.host().contains(write))
        });
        answer
    }

    /// Detaches those of the items that the lease has, with their rows.
    pub(super) fn detach(&self, id: i64, which: &[usize]) -> Result<(), LeaseError> {
        let mut rows = WriteBatch::default();
        for item in which {
            rows.put(items_table(), name(*item), (-id).to_be_bytes());
        }
        let done = self.note(|| {
            let items = items(which);
            let answer = match self.by_task() {
                Some(tasks) => block_on(tasks.detach_with(lease(id), &items, rows)),
                None => self.lessor.detach_with(lease(id), &items, rows),
            };
            What::Detach(id, which.to_vec(), answer)
        });
        let What::Detach(_, _, answer) = done else {
            unreachable!("it was just made");
        };
        answer
    }

    pub(super) fn lookup(&self, id: i64) {
        self.note(|| {
            let seen = match self.by_task() {
                Some(tasks) => block_on(tasks.lookup(lease(id))).expect("there is room"),
                None => self.lessor.lookup(lease(id)),
            };
            let seen = seen.map(|lease| {
                let items = lease.keys().iter().map(|item| number(item.as_bytes()));
                (lease.ttl().as_secs(), items.collect())
            });
            What::Lookup(id, seen)
        });
    }

    pub(super) fn owner(&self, item: usize) {
        self.note(|| {
            let owner = match self.by_task() {
                Some(tasks) => tasks.get_lease(name(item).as_bytes()),
                None => self.lessor.get_lease(name(item).as_bytes()),
            };
            What::Owner(item, owner.map_or(0, LeaseId::get))
        });
    }

    pub(super) fn try_renew(&self, id: i64) {
        self.note(|| What::Renew(id, self.lessor.try_renew(lease(id))));
    }

    pub(super) fn renew(&self, id: i64) {
        self.note(|| {
            let renewed = match self.by_task() {
                Some(tasks) => block_on(tasks.renew(lease(id))),
                None => self.lessor.renew(lease(id)),
            };
            What::Renew(id, renewed.map(Renewal::Renewed))
        });
    }

    pub(super) fn promote(&self) -> Result<Epoch, LeaseError> {
        let done = self.note(|| What::Promote(self.lessor.promote(Duration::ZERO)));
        let What::Promote(answer) = done else {
            unreachable!("it was just made");
        };
        answer
    }

    pub(super) fn demote(&self) {
        self.note(|| {
            self.lessor.demote();
            What::Demote
        });
    }

    pub(super) fn recover_same(&self) {
        self.note(|| What::Recover(self.lessor.recover(self.store.clone(), None)));
    }

    /// Notes that these are expiring, and revokes them.
    pub(super) fn revoke_expired(&self, batch: &ExpiredBatch, since: usize) {
        for one in batch.leases.iter().filter(|one| one.attempt == 0) {
            self.note_since(since, || What::Expire(one.id.get(), one.incarnation));
        }
        let began = self.history.step();
        let answers = self.lessor.revoke_expired(batch);
        for (at, one) in batch.leases.iter().enumerate() {
            let answer = match &answers {
                Ok(answers) => answers[at].clone(),
                Err(error) => Err(error.clone()),
            };
            let what = What::RevokeExpired(one.id.get(), one.incarnation, answer);
            self.note_since(began, || what);
        }
    }

    pub(super) fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    fn note(&self, does: impl FnOnce() -> What) -> What {
        let began = self.history.step();
        self.note_since(began, does)
    }

    pub(super) fn note_since(&self, began: usize, does: impl FnOnce() -> What) -> What {
        let began_at = secs(&self.clock);
        let what = does();
        self.history.note(Op {
            began,
            ended: self.history.step(),
            began_at,
            ended_at: secs(&self.clock),
            what: what.clone(),
        });
        what
    }

    fn mark(&self) -> usize {
        if self.is_durable {
            self.store.mark()
        } else {
            0
        }
    }

    // INV-21: what is acknowledged is in the store.
    fn check_written<T>(
        &self,
        mark: usize,
        answer: &Result<T, LeaseError>,
        is_it: impl Fn(&WriteBatch) -> bool,
    ) {
        if self.is_durable && self.has_one_store && answer.is_ok() {
            assert!(
                self.store.has_since(mark, is_it),
                "INV-21: it is acknowledged and not written"
            );
        }
    }

    /// Looks at everything once more, when nobody else does anything.
    pub(super) fn look_at_all(&self) {
        (1..=IDS as i64).for_each(|id| self.lookup(id));
        (0..ITEMS).for_each(|item| self.owner(item));
        self.lessor.check_invariants();
    }

    /// Checks what must hold when nobody does anything any more, stops, and checks again; then it drops
    /// everything, and nobody has the store any more.
    pub(super) fn finish(self: Arc<Self>) {
        self.look_at_all();
        self.history.check(self.start.clone());
        if !self.may_fail {
            self.history.check_no_failure();
        }
        self.store.change(|contents| contents.fails_one_in = 0);
        if !self.is_durable {
            let flushed = match self.by_task() {
                Some(tasks) => block_on(tasks.flush()),
                None => self.lessor.flush().map_err(LeaseError::Backend),
            };
            flushed.expect("the store works again");
        }
        self.check_store();
        self.check_listing();
        self.stop();
        self.check_store();
        if let Some(witness) = &self.witness {
            witness.check(|item| self.lessor.get_lease(item.as_bytes()));
        }
        let store = Arc::clone(&self.store);
        drop(Arc::into_inner(self).expect("its threads have ended"));
        assert_eq!(Arc::strong_count(&store), 1, "somebody is left");
    }

    // The pages are the rows, with the items.
    fn check_listing(&self) {
        let rows = self.lessor.rows();
        let pages = self.pages(1 + draw(IDS));
        let wholes: Vec<_> = rows.iter().map(|row| self.lessor.lookup(row.id)).collect();
        if self.lessor.rows() != rows {
            // The clock of one world gives commands, a few times.
            return self.check_listing();
        }
        let items = |lease: &crate::Lease| (lease.id(), lease.keys().to_vec());
        let wholes: Vec<_> = wholes.iter().flatten().map(items).collect();
        let pages: Vec<_> = pages.iter().map(items).collect();
        assert_eq!(wholes.len(), rows.len(), "what is looked up of {rows:?}");
        assert_eq!(pages, wholes, "the pages");
    }

    fn pages(&self, limit: usize) -> Vec<crate::Lease> {
        let mut all: Vec<crate::Lease> = Vec::new();
        loop {
            let after = all.last().map(crate::Lease::id);
            let page = match self.by_task() {
                Some(tasks) => block_on(tasks.page(after, limit)).expect("there is room"),
                None => self.lessor.page(after, limit),
            };
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    pub(super) fn stop(&self) {
        match &self.tasks {
            Some(tasks) => block_on(tasks.shutdown()).expect("there is room"),
            None => self.lessor.stop(),
        }
        assert_eq!(self.lessor.stats().waiting, 0, "INV-5: somebody waits");
        self.lessor.check_invariants();
    }

    /// INV-15, INV-21, INV-22: memory and the store are the same.
    pub(super) fn check_store(&self) {
        let contents = self.store.contents();
        let rows: Vec<LeaseRow> = contents.rows.values().copied().collect();
        let (items, stored) = (contents.items.clone(), contents.stored.clone());
        drop(contents);
        assert_eq!(
            self.lessor.rows(),
            rows,
            "INV-21: memory and the store differ"
        );
        for item in 0..ITEMS {
            let owner = self.lessor.get_lease(name(item).as_bytes());
            let owner = owner.map(LeaseId::get);
            let row = items.get(name(item).as_bytes()).copied();
            assert_eq!(owner, row, "INV-22: item {item} and its row");
            if self.stores_items {
                let row = stored.get(name(item).as_bytes()).copied();
                assert_eq!(owner, row, "INV-22: item {item} and what is stored");
            }
        }
    }
}

pub(super) fn secs(clock: &ManualClock) -> u64 {
    clock.now().as_nanos() / 1_000_000_000
}

/// A thread of the host's.
#[must_use = "it is to be waited for"]
pub(super) struct Thread(JoinHandle<()>);

impl Thread {
    pub(super) fn join(self) {
        self.0.join().expect("no panic");
    }
}

pub(super) fn join(threads: Vec<Thread>) {
    threads.into_iter().for_each(Thread::join);
}

pub(super) fn config() -> LessorConfig {
    LessorConfig {
        hash_seed: Some(7),
        revoke_rate_per_sec: None,
        // Else the thread for checkpoints, which sleeps until one is due, does not wait here.
        checkpoint_interval: Duration::from_secs(1_000_000),
        ..LessorConfig::default()
    }
}

pub(super) fn deleter() -> Arc<dyn RangeDeleter> {
    Arc::new(TableDeleter::new(items_table()))
}

pub(super) fn lease(id: i64) -> LeaseId {
    LeaseId::new(id).expect("not zero")
}

fn name(item: usize) -> &'static str {
    ["a", "b", "c", "d"][item]
}

fn number(item: &[u8]) -> usize {
    usize::from(item[0] - b'a')
}

pub(super) fn items(which: &[usize]) -> Vec<LeaseItem> {
    which.iter().map(|item| name(*item).into()).collect()
}

fn some_items() -> Vec<usize> {
    one_of(&[&[0][..], &[1], &[0, 1], &[0, 1, 2]]).to_vec()
}

/// Whether something has happened; nobody waits for it.
#[derive(Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }
}
