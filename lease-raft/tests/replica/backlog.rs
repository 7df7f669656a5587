//! What a member does that has very much before it, or behind it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use lease_core::{Backend, BackendError, WriteBatch};
use lease_raft::{
    Committed, Decided, Engine, Leadership, Leases, NoMachine, ProposeError, Replica, ReplicaError,
    Runtime, StateMachine, Unconfirmed,
};

use crate::cluster::{Fate, Log, open, parts, start, until};
use crate::store::MemoryStore;
use crate::{LONG, id};

/// For how many entries a session is remembered after its last one.
const REMEMBERED: u64 = 1_000_000;

/// Counts how often a command of its host's is applied.
#[derive(Default)]
struct Counts(AtomicUsize);

impl StateMachine for Counts {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        Decided::default()
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Has a member apply so many entries that say nothing.
fn apply_blanks(log: &Log, member: &Replica, count: u64) {
    log.put_behind(count);
    let first = member.applied() + 1;
    for index in first..first + count {
        let blank = Committed {
            index,
            entry: None,
            writes: WriteBatch::default(),
        };
        member.apply(blank).expect("it is the next one");
    }
}

fn install(from: &Replica, to: &Replica) {
    let mut bytes = Vec::new();
    let snapshot = from.snapshot().expect("the store is sound");
    snapshot.write(&mut bytes).expect("a buffer");
    let installed = to.install(&mut &bytes[..], &WriteBatch::default());
    assert!(installed.expect("it is newer"));
}

/// When its snapshot comes, its session is forgotten: it could not be told from a new one.
#[tokio::test(start_paused = true)]
async fn a_command_that_a_snapshot_may_have_brought_is_not_made_anew() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let counts = Arc::new(Counts::default());
    let first = open(1, &log, &store, counts.clone(), 1);
    let other = Arc::new(MemoryStore::default());
    let second = open(2, &log, &other, Arc::new(Counts::default()), 2);
    start(&log, &first);
    start(&log, &second);
    log.lead(1);
    until(|| first.lessor().is_primary()).await;

    log.slow(2, true);
    log.next(&[Fate::Silent]);
    let lessor = second.lessor();
    let proposed = tokio::spawn(async move { lessor.propose(vec![7], LONG * 1000).await });
    until(|| log.len() == 2).await;
    log.cut(2, true);
    until(|| first.applied() == 2).await;
    assert_eq!(counts.0.load(SeqCst), 1);
    apply_blanks(&log, &first, REMEMBERED);
    // Each of these may forget an old session.
    for number in 1..=3 {
        let granted = first.lessor().grant(id(number), 600, LONG).await;
        granted.expect("free");
    }
    install(&first, &second);
    log.slow(2, false);
    log.cut(2, false);
    let told = proposed.await.expect("no panic");
    assert_eq!(told, Err(ReplicaError::Unknown));
    assert_eq!(counts.0.load(SeqCst), 1, "it was applied again");
}

/// It has not proposed anything: that is no outcome that is not known.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_leader_goes_on_after_a_snapshot() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let first = open(1, &log, &store, Arc::new(NoMachine), 1);
    apply_blanks(&log, &first, REMEMBERED + 1);
    let other = Arc::new(MemoryStore::default());
    let second = open(2, &log, &other, Arc::new(NoMachine), 2);
    start(&log, &second);
    let lessor = second.lessor();
    let granted = tokio::spawn(async move { lessor.grant(id(1), 60, LONG).await });
    until(|| second.lessor().stats().proposals_in_flight == 1).await;
    install(&first, &second);
    log.lead(2);
    granted.await.expect("no panic").expect("free");
}

/// An engine of one member, which leads until it is told that another one does.
struct Alone {
    replica: Replica,
    leads: AtomicBool,
    refused: AtomicUsize,
    leaders: Mutex<Option<mpsc::UnboundedReceiver<Leadership>>>,
}

impl Engine for Alone {
    fn leadership(&self) -> BoxStream<'static, Leadership> {
        let leaders = self.leaders.lock().expect("no panic").take();
        leaders.expect("it runs once").boxed()
    }

    fn propose(&self, entry: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
        if !self.leads.load(SeqCst) {
            self.refused.fetch_add(1, SeqCst);
            return ready(Err(ProposeError::NotLeader)).boxed();
        }
        let committed = Committed {
            index: self.replica.applied() + 1,
            entry: Some(&entry),
            writes: WriteBatch::default(),
        };
        self.replica.apply(committed).expect("it is the next one");
        ready(Ok(())).boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
        ready(Ok(self.replica.applied())).boxed()
    }
}

/// Whatever waits for a disk comes after all that does not.
struct Polite;

impl Runtime for Polite {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(span).boxed()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        async move {
            tokio::task::yield_now().await;
            work();
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn who_leads_is_heard_however_much_has_expired() {
    const LEASES: i64 = 5000;
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    parts.runtime = Arc::new(Polite);
    parts.options.suspend_expiry = true;
    parts.options.config.revoke_rate_per_sec = None;
    parts.options.config.max_expired_batch_size = NonZeroU32::MIN;
    let replica = Replica::open(parts).expect("the store is sound");
    let (leaders, heard) = mpsc::unbounded();
    let engine = Arc::new(Alone {
        replica: replica.clone(),
        leads: AtomicBool::new(true),
        refused: AtomicUsize::new(0),
        leaders: Mutex::new(Some(heard)),
    });
    let (runs, own) = (replica.clone(), engine.clone());
    tokio::spawn(async move { runs.run(own).await });
    let lead = |term, leader| {
        let leader = Some(leader);
        let news = Leadership { term, leader };
        leaders.unbounded_send(news).expect("it runs");
    };
    lead(1, 1);
    until(|| replica.lessor().is_primary()).await;
    for number in 1..=LEASES {
        let granted = replica.lessor().grant(id(number), 1, LONG).await;
        granted.expect("free");
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    replica.lessor().resume_expiry();
    while replica.lessor().stats().lessor.leases as i64 == LEASES {
        tokio::task::yield_now().await;
    }
    engine.leads.store(false, SeqCst);
    lead(2, 2);
    until(|| !replica.lessor().is_primary()).await;
    let refused = engine.refused.load(SeqCst);
    assert!(refused < 100, "{refused} batches before it has heard");
    assert_eq!(replica.lessor().leader(), Some(2));
}
