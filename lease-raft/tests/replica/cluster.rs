//! Members around one log in memory, whose leader, connections and answers the tests choose. Time is
//! tokio's, and virtual.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use lease_core::{Clock, LessorConfig, Timestamp, WriteBatch};
use lease_raft::{
    Committed, Engine, Leadership, MemberId, NoMachine, Parts, PeerAnswer, PeerError, Peers,
    ProposeError, Replica, ReplicaOptions, ReplicatedLessor, Runtime, StateMachine, Unconfirmed,
};
use tokio::time::Instant;

use crate::store::MemoryStore;

/// What all members share.
#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<LogState>,
}

#[derive(Default)]
pub(crate) struct LogState {
    entries: Vec<Vec<u8>>,
    term: u64,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Link>,
    // What happens to the next proposals.
    fates: Vec<Fate>,
    is_let_go: bool,
    pub(crate) confirmations: usize,
    // What members have asked each other.
    pub(crate) questions: usize,
}

/// What happens to a proposal.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// It gets into the log, and its proposer does not learn so.
    Silent,
    /// It gets there twice.
    Twice,
    /// It is lost, and its proposer does not learn so.
    Lost,
    /// It gets there after [`LATE`].
    Late,
    /// It waits until the log is [let go of](Log::let_go).
    Held,
}

struct Link {
    replica: Replica,
    is_cut: bool,
    is_slow: bool,
    leaders: mpsc::UnboundedSender<Leadership>,
    entries: mpsc::UnboundedSender<()>,
}

impl Log {
    pub(crate) fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().expect("no panic")
    }

    /// Another member leads; those that are cut off do not hear of it.
    pub(crate) fn lead(&self, member: MemberId) {
        let mut state = self.state();
        state.term += 1;
        state.leader = Some(member);
        let leadership = Leadership {
            term: state.term,
            leader: Some(member),
        };
        for link in state.members.values().filter(|link| !link.is_cut) {
            link.leaders.unbounded_send(leadership).expect("it runs");
        }
    }

    /// Cuts a member off from the log and the others, or connects it again.
    pub(crate) fn cut(&self, member: MemberId, is_cut: bool) {
        let mut state = self.state();
        let leadership = Leadership {
            term: state.term,
            leader: state.leader,
        };
        let link = state.members.get_mut(&member).expect("it is there");
        link.is_cut = is_cut;
        if !is_cut {
            link.leaders.unbounded_send(leadership).expect("it runs");
            link.entries.unbounded_send(()).expect("it runs");
        }
    }

    /// Has a member apply nothing, or go on.
    pub(crate) fn slow(&self, member: MemberId, is_slow: bool) {
        let mut state = self.state();
        let link = state.members.get_mut(&member).expect("it is there");
        link.is_slow = is_slow;
        link.entries.unbounded_send(()).expect("it runs");
    }

    pub(crate) fn next(&self, fates: &[Fate]) {
        self.state().fates = fates.to_vec();
    }

    /// Has all proposals go on that wait.
    pub(crate) fn let_go(&self) {
        self.state().is_let_go = true;
    }

    /// Takes the next fate if it is to wait.
    fn take_wait(&self) -> Option<Fate> {
        let fates = &mut self.state().fates;
        fates.pop_if(|fate| matches!(fate, Fate::Late | Fate::Held))
    }

    pub(crate) fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// How long the longest entry is.
    pub(crate) fn longest(&self) -> usize {
        let state = self.state();
        state.entries.iter().map(Vec::len).max().unwrap_or_default()
    }

    /// Adds so many entries that say nothing, which whoever wants to applies himself.
    pub(crate) fn put_behind(&self, count: u64) {
        let entries = &mut self.state().entries;
        let len = entries.len() + count as usize;
        entries.resize(len, Vec::new());
    }

    /// Makes so many entries that say nothing the first ones.
    pub(crate) fn put_before(&self, count: u64) {
        let mut state = self.state();
        let entries = std::mem::take(&mut state.entries);
        state.entries = vec![Vec::new(); count as usize];
        state.entries.extend(entries);
    }
}

impl LogState {
    fn is_cut(&self, member: MemberId) -> bool {
        self.members.get(&member).is_none_or(|link| link.is_cut)
    }

    fn leads(&self, member: MemberId) -> bool {
        self.leader == Some(member) && !self.is_cut(member)
    }

    fn append(&mut self, entry: Vec<u8>) {
        self.entries.push(entry);
        for link in self.members.values() {
            link.entries.unbounded_send(()).expect("it runs");
        }
    }

    /// The next entry that a member is to apply.
    fn next_for(&self, member: MemberId) -> Option<(Replica, u64, Vec<u8>)> {
        let link = self
            .members
            .get(&member)
            .filter(|link| !link.is_cut && !link.is_slow)?;
        let index = link.replica.applied();
        let entry = self.entries.get(index as usize)?;
        Some((link.replica.clone(), index + 1, entry.clone()))
    }
}

/// The log as one member has it.
struct MemberLog {
    member: MemberId,
    log: Arc<Log>,
    leaders: Mutex<Option<mpsc::UnboundedReceiver<Leadership>>>,
}

const ROUND: Duration = Duration::from_millis(2);

pub(crate) const LATE: Duration = Duration::from_millis(100);

impl Engine for MemberLog {
    fn leadership(&self) -> BoxStream<'static, Leadership> {
        let leaders = self.leaders.lock().expect("no panic").take();
        leaders.expect("it runs once").boxed()
    }

    fn propose(&self, entry: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
        let (member, log) = (self.member, Arc::clone(&self.log));
        async move {
            tokio::time::sleep(ROUND).await;
            match log.take_wait() {
                Some(Fate::Late) => {
                    tokio::time::sleep(LATE).await;
                    log.state().append(entry);
                    return Ok(());
                }
                Some(_) => until(|| log.state().is_let_go).await,
                None => {}
            }
            let mut state = log.state();
            if state.is_cut(member) {
                return Err(ProposeError::Unknown);
            }
            if !state.leads(member) {
                return Err(ProposeError::NotLeader);
            }
            match state.fates.pop() {
                None => {
                    state.append(entry);
                    return Ok(());
                }
                Some(Fate::Silent) => state.append(entry),
                Some(Fate::Twice) => {
                    state.append(entry.clone());
                    state.append(entry);
                }
                Some(Fate::Lost | Fate::Late | Fate::Held) => {}
            }
            Err(ProposeError::Unknown)
        }
        .boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
        let (member, log) = (self.member, Arc::clone(&self.log));
        async move {
            tokio::time::sleep(ROUND).await;
            let mut state = log.state();
            state.confirmations += 1;
            let index = state.entries.len() as u64;
            state.leads(member).then_some(index).ok_or(Unconfirmed)
        }
        .boxed()
    }
}

/// The way of a member to the others.
struct Wires {
    member: MemberId,
    log: Arc<Log>,
}

impl Peers for Wires {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let (from, log) = (self.member, Arc::clone(&self.log));
        let failed = move |reason: &str| PeerError {
            member,
            reason: reason.to_owned(),
        };
        async move {
            let asked = async {
                tokio::time::sleep(ROUND).await;
                let replica = {
                    let mut state = log.state();
                    state.questions += 1;
                    let is_reached = !state.is_cut(from) && !state.is_cut(member);
                    let link = state.members.get(&member).filter(|_| is_reached);
                    link.map(|link| link.replica.clone())
                };
                match replica {
                    Some(replica) => Ok(replica.answer(path, &body).await),
                    None => Err(failed("it is cut off")),
                }
            };
            let answer = tokio::time::timeout(timeout, asked).await;
            answer.unwrap_or_else(|_| Err(failed("no answer")))
        }
        .boxed()
    }
}

/// Tokio, whose time is virtual.
struct Executor;

impl Runtime for Executor {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(span).boxed()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        async move { work() }.boxed()
    }
}

struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.0.elapsed())
    }
}

/// Members, named from 1.
pub(crate) struct Cluster {
    pub(crate) log: Arc<Log>,
    pub(crate) members: Vec<Replica>,
    pub(crate) stores: Vec<Arc<MemoryStore>>,
}

pub(crate) fn options() -> ReplicaOptions {
    ReplicaOptions {
        cluster: "test".to_owned(),
        config: LessorConfig {
            expired_lease_retry_interval: Duration::from_secs(1),
            ..LessorConfig::default()
        },
        ..ReplicaOptions::default()
    }
}

pub(crate) fn open(
    member: MemberId,
    log: &Arc<Log>,
    store: &Arc<MemoryStore>,
    machine: Arc<dyn StateMachine>,
    session: u64,
) -> Replica {
    let parts = parts(member, log, store, machine, session);
    Replica::open(parts).expect("the store is sound")
}

pub(crate) fn parts(
    member: MemberId,
    log: &Arc<Log>,
    store: &Arc<MemoryStore>,
    machine: Arc<dyn StateMachine>,
    session: u64,
) -> Parts {
    Parts {
        member,
        store: store.clone(),
        peers: Arc::new(Wires {
            member,
            log: Arc::clone(log),
        }),
        runtime: Arc::new(Executor),
        machine,
        clock: Arc::new(VirtualClock(Instant::now())),
        observer: None,
        session,
        options: options(),
    }
}

/// Has a member run, and apply what comes.
pub(crate) fn start(log: &Arc<Log>, replica: &Replica) {
    let member = replica.member();
    let (leaders, heard) = mpsc::unbounded();
    let (entries, mut come) = mpsc::unbounded();
    let link = Link {
        replica: replica.clone(),
        is_cut: false,
        is_slow: false,
        leaders,
        entries,
    };
    log.state().members.insert(member, link);
    let engine = Arc::new(MemberLog {
        member,
        log: Arc::clone(log),
        leaders: Mutex::new(Some(heard)),
    });
    let runs = replica.clone();
    tokio::spawn(async move { runs.run(engine).await });
    let log = Arc::clone(log);
    tokio::spawn(async move {
        while come.next().await.is_some() {
            loop {
                let next = log.state().next_for(member);
                let Some((replica, index, entry)) = next else {
                    break;
                };
                let committed = Committed {
                    index,
                    entry: Some(&entry),
                    writes: WriteBatch::default(),
                };
                if replica.apply(committed).is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    });
}

impl Cluster {
    /// Three members without a state of their own; the first leads.
    pub(crate) async fn new() -> Self {
        Self::with(|| Arc::new(NoMachine)).await
    }

    pub(crate) async fn with(machine: impl Fn() -> Arc<dyn StateMachine>) -> Self {
        let log = Arc::new(Log::default());
        let stores: Vec<_> = (0..3).map(|_| Arc::new(MemoryStore::default())).collect();
        let members = (1..).zip(&stores).map(|(member, store)| {
            let replica = open(member, &log, store, machine(), 100 + member);
            start(&log, &replica);
            replica
        });
        let members = members.collect();
        let cluster = Self {
            log,
            members,
            stores,
        };
        cluster.log.lead(1);
        cluster.until_primary(1).await;
        cluster
    }

    pub(crate) fn lessor(&self, member: usize) -> ReplicatedLessor {
        self.members[member - 1].lessor()
    }

    pub(crate) async fn until_primary(&self, member: usize) {
        until(|| self.lessor(member).is_primary()).await;
    }

    /// Waits until all have applied the whole log.
    pub(crate) async fn until_equal(&self) {
        until(|| {
            let len = self.log.len() as u64;
            self.members.iter().all(|member| member.applied() == len)
        })
        .await;
    }
}

/// Waits until something is so, in virtual time.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come to be");
}
