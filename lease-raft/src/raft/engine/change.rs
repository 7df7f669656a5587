//! How the members change: to the end, whoever waits for it, and not so that the cluster stands still.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::lock::{Mutex as Turns, OwnedMutexGuard};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::impls::BasicNode;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{ChangeMembers, ServerState};

use super::members::membership_error;
use super::{Inner, OpenraftEngine};
use crate::probe::planted;
use crate::raft::config::{LogId, Raft, Types};
use crate::{Engine, Leadership, MemberId, MembershipError, Runtime};

/// The right to make a change.
pub(super) type Turn = OwnedMutexGuard<()>;

/// What a change needs to know.
pub(super) struct Changing {
    /// Whoever makes a change has it.
    turn: Arc<Turns<()>>,
    /// The term in which this member leads, and since when.
    leads: Mutex<Option<(u64, InstantOf<Types>)>>,
    /// For how long a voter may be silent that counts as one that is there.
    patience: Duration,
    is_strict: bool,
}

impl Changing {
    pub(super) fn new(election_timeout: Duration, is_strict: bool) -> Self {
        Self {
            turn: Arc::default(),
            leads: Mutex::default(),
            patience: PATIENCE * election_timeout,
            is_strict,
        }
    }

    fn note(&self, term: Option<u64>) {
        let mut leads = self.leads.lock().unwrap_or_else(PoisonError::into_inner);
        if leads.map(|(term, _)| term) != term {
            *leads = term.map(|term| (term, Types::now()));
        }
    }

    fn has_just_begun(&self) -> bool {
        let leads = *self.leads.lock().unwrap_or_else(PoisonError::into_inner);
        leads.is_none_or(|(_, since)| Types::now() < since + self.patience)
    }
}

impl OpenraftEngine {
    /// Makes a change, one at a time. It is made in a task of its own: a change of voters has two steps, and one
    /// that is given up between them would leave a cluster that needs a majority of the old voters and of the
    /// new ones.
    pub(super) async fn change(
        &self,
        change: ChangeMembers<MemberId, BasicNode>,
    ) -> Result<(), MembershipError> {
        let turn = self.take_turn()?;
        self.change_in(turn, change).await
    }

    /// Before it is looked at what is there: nobody else changes that meanwhile.
    pub(super) fn take_turn(&self) -> Result<Turn, MembershipError> {
        let turn = self.inner.changing.turn.try_lock_owned();
        turn.ok_or(MembershipError::InProgress)
    }

    /// Makes a change that has its turn.
    pub(super) async fn change_in(
        &self,
        turn: Turn,
        change: ChangeMembers<MemberId, BasicNode>,
    ) -> Result<(), MembershipError> {
        let (raft, patience) = (self.raft().clone(), self.inner.changing.patience);
        let (leaders, own) = (self.leadership(), self.member());
        // A leader that has removed itself leads on for a while. A change of its would be a mistake to openraft, which
        // panics over it where debug assertions are on.
        let is_removed = !self.members().addresses.contains_key(&own);
        if is_removed && !planted!("openraft-leads-for-ever") {
            return Err(MembershipError::NotLeader { leader: None });
        }
        let changes = |raft: Raft| async move { raft.change_membership(change, false).await };
        let changing = self.calls().call(changes);
        let runtime = Arc::clone(&self.inner.answerer.runtime);
        let (tell, told) = oneshot::channel();
        let changes = async move {
            let before = effective(&raft);
            let deposed = pin!(deposed(leaders, own, &*runtime, patience));
            let changed = match select(changing, deposed).await {
                Either::Left((changed, _)) => changed.map(drop).map_err(membership_error),
                Either::Right(_) => Err(MembershipError::Unknown),
            };
            let changed = match changed {
                // Another one leads, and one of two steps is made: it may make the other one.
                Err(MembershipError::NotLeader { .. }) if effective(&raft) != before => {
                    Err(MembershipError::Unknown)
                }
                changed => changed,
            };
            drop(turn);
            // Nobody may wait any more.
            let _ = tell.send(changed);
        };
        self.inner.answerer.runtime.spawn(Box::pin(changes));
        told.await.unwrap_or(Err(MembershipError::Unknown))
    }

    /// Whether what this member knows of the others is committed and applied, and not a step on the way to
    /// something else: a voter of the past is not needed any more. O(1).
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        stored.membership().get_joint_config().len() == 1
            && *stored.log_id() <= metrics.last_applied
    }

    /// Whether the voters are between two sets.
    pub(super) fn check_settling(&self) -> Result<(), MembershipError> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        match metrics.membership_config.membership().get_joint_config() {
            joint if joint.len() > 1 => Err(MembershipError::InProgress),
            _ => Ok(()),
        }
    }

    /// Refuses voters of which so many are away that the rest could decide nothing, as etcd's strict check does.
    pub(super) fn check_alive(&self, voters: &BTreeSet<MemberId>) -> Result<(), MembershipError> {
        let changing = &self.inner.changing;
        let silent: Vec<_> = voters.iter().filter(|voter| !self.hears(**voter)).collect();
        if !changing.is_strict || voters.len() - silent.len() > voters.len() / 2 {
            return Ok(());
        }
        if self.has_just_begun() {
            return Err(MembershipError::InProgress);
        }
        Err(MembershipError::Refused(format!(
            "the voters would be {voters:?}, of which {silent:?} have not answered for {:?}: the rest could decide \
             nothing",
            changing.patience
        )))
    }

    /// Whether others have had no time to answer this leader.
    pub(super) fn has_just_begun(&self) -> bool {
        self.inner.changing.has_just_begun()
    }

    /// Whether this leader has heard of a member of late.
    pub(in crate::raft) fn hears(&self, member: MemberId) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        self.has_heard(&metrics, member)
    }

    /// The same, for who looks at the metrics already: another look would wait for openraft, which waits for the
    /// end of the first one.
    pub(super) fn has_heard(&self, metrics: &RaftMetrics<Types>, member: MemberId) -> bool {
        let heard = metrics
            .heartbeat
            .as_ref()
            .and_then(|heard| *heard.get(&member)?);
        let is_late = |at: InstantOf<Types>| Types::now() >= at + self.inner.changing.patience;
        member == metrics.id || heard.is_some_and(|at| !is_late(*at))
    }
}

/// Whether this member leads, and the last one that did has left a change half done.
fn is_half_a_change(metrics: &RaftServerMetrics<Types>) -> bool {
    let stored = &metrics.membership_config;
    metrics.state == ServerState::Leader
        && stored.membership().get_joint_config().len() > 1
        && stored.log_id() == metrics.committed_membership_config.log_id()
}

/// The entry of the members that there are, which need not be committed.
fn effective(raft: &Raft) -> Option<LogId> {
    *raft.metrics().borrow_watched().membership_config.log_id()
}

/// Ends when this member has not led for a while. What it has begun may have no outcome then: whoever leads tells one
/// that has removed itself nothing.
async fn deposed(
    mut leaders: BoxStream<'static, Leadership>,
    own: MemberId,
    runtime: &dyn Runtime,
    patience: Duration,
) {
    loop {
        // Ends when it is so; with `false` if that will not be.
        let mut comes = async |leads| loop {
            match leaders.next().await {
                Some(now) if now.is_led_by(own) != leads => {}
                next => break next.is_some(),
            }
        };
        if !comes(false).await {
            return;
        }
        let again = pin!(comes(true));
        if let Either::Right(_) = select(again, runtime.sleep(patience)).await {
            return;
        }
    }
}

/// Finishes what other leaders have begun, until the engine ends. It follows who leads and who the members are:
/// that changes seldom, and the rest of the metrics with each message.
pub(super) async fn settle(inner: Weak<Inner>) {
    let metrics = inner.upgrade();
    let Some(mut metrics) = metrics.map(|inner| inner.answerer.raft.server_metrics()) else {
        return;
    };
    loop {
        let (term, is_half) = {
            let metrics = metrics.borrow_and_update();
            let leads = metrics.state == ServerState::Leader;
            (
                leads.then(|| metrics.vote.leader_id.term),
                is_half_a_change(&metrics),
            )
        };
        let Some(inner) = inner.upgrade() else {
            break;
        };
        inner.changing.note(term);
        let changed = if is_half {
            let runtime = Arc::clone(&inner.answerer.runtime);
            finish(OpenraftEngine { inner }).await;
            runtime.sleep(PAUSE).await;
            // If it has failed nothing changes, and it is tried again.
            metrics.changed().now_or_never().unwrap_or(Ok(()))
        } else {
            drop(inner);
            metrics.changed().await
        };
        if changed.is_err() {
            break;
        }
    }
}

/// Nobody is added: the voters that were wanted are those from now on.
async fn finish(engine: OpenraftEngine) {
    let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
    match engine.change(nobody).await {
        Ok(()) => tracing::info!("has finished a change of the members"),
        Err(error) => tracing::debug!(%error, "a change of the members is half done"),
    }
}

/// How many election time-outs a voter may be silent that counts as one that is there.
const PATIENCE: u32 = 3;

/// The pause before a change is looked at again.
const PAUSE: Duration = Duration::from_millis(50);
