//! Code of the host's that tells when it has been reached, and waits until it may go on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lease_core::{
    Backend, BackendError, BackendLessor, BackendLessorBuilder, BoxError, Driver, Durability,
    Epoch, LeaseRow, Lessor, ManualClock, RangeDeleter, Table, TableDeleter, TxnDelete, WriteBatch,
};

use crate::support::TestBackend;

/// A place in the host's code: the first who comes there tells so and waits.
#[derive(Clone)]
pub(crate) struct Gate(pub(crate) Arc<Mutex<Option<Sides>>>);

/// How it tells, and what it waits for.
pub(crate) type Sides = (Sender<()>, Receiver<()>);

/// The other side of a gate.
pub(crate) struct Keeper {
    arrived: Receiver<()>,
    go: Sender<()>,
}

pub(crate) fn gate() -> (Gate, Keeper) {
    let (tell, arrived) = channel();
    let (go, may_go) = channel();
    let gate = Gate(Arc::new(Mutex::new(Some((tell, may_go)))));
    (gate, Keeper { arrived, go })
}

impl Gate {
    pub(crate) fn pass(&self) {
        let sides = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The first one waits here, and all others pass.
        if let Some((tell, may_go)) = sides {
            tell.send(()).expect("the test waits");
            may_go.recv().expect("the test lets it go");
        }
    }
}

impl Keeper {
    pub(crate) fn wait(&self) {
        let arrived = self.arrived.recv_timeout(LONG);
        arrived.expect("somebody gets there");
    }

    pub(crate) fn open(&self) {
        self.go.send(()).expect("somebody waits there");
    }
}

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What a thread returns, in time.
pub(crate) fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(work()));
    told
}

pub(crate) fn told<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("it ends")
}

/// A backend with a gate before it commits, and one before it loads.
pub(crate) struct Gated {
    pub(crate) inner: Arc<TestBackend>,
    pub(crate) commit: Option<Gate>,
    pub(crate) load: Option<Gate>,
}

impl Backend for Gated {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.commit.iter().for_each(Gate::pass);
        self.inner.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.load.iter().for_each(Gate::pass);
        self.inner.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.inner.scan(table, visit)
    }
}

pub(crate) fn kv() -> Table {
    Table::new("kv")
}

/// A range deleter with a gate, which then deletes or refuses.
pub(crate) struct Slow {
    gate: Gate,
    refuses: bool,
    inner: TableDeleter,
}

pub(crate) fn slow(gate: Gate, refuses: bool) -> Arc<Slow> {
    Arc::new(Slow {
        gate,
        refuses,
        inner: TableDeleter::new(kv()),
    })
}

impl RangeDeleter for Slow {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        self.gate.pass();
        if self.refuses {
            return Err("the host's store is busy".into());
        }
        self.inner.begin(batch)
    }
}

pub(crate) fn shared(
    backend: Arc<dyn Backend>,
    durability: Durability,
    build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
) -> Arc<BackendLessor> {
    let builder = BackendLessor::builder(backend)
        .driver(Driver::Manual)
        .durability(durability);
    Arc::new(build(builder).build().expect("an empty backend is read"))
}

pub(crate) const EVERY: Durability = Durability::EveryCommand;

/// A primary that is driven by hand, whose next commit waits at a gate once that is set.
pub(crate) struct Held {
    pub(crate) lessor: Arc<BackendLessor>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) set: Box<dyn Fn()>,
    pub(crate) keeper: Keeper,
}

pub(crate) fn held(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Held {
    let (in_commit, keeper) = gate();
    let sides = in_commit.0.lock().expect("no panic").take();
    let backend = Gated {
        inner: Arc::new(TestBackend::default()),
        commit: Some(in_commit.clone()),
        load: None,
    };
    let clock = Arc::new(ManualClock::default());
    let lessor = shared(Arc::new(backend), EVERY, |one| {
        build(one.clock(clock.clone()))
    });
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let sides = std::cell::Cell::new(sides);
    let set = Box::new(move || *in_commit.0.lock().expect("no panic") = sides.take());
    Held {
        lessor,
        clock,
        set,
        keeper,
    }
}

/// Drives a lessor on a thread of its own, which may get to a gate.
pub(crate) fn ticks(lessor: &Arc<BackendLessor>) -> Receiver<()> {
    let lessor = Arc::clone(lessor);
    ends(move || {
        lessor.tick();
    })
}
