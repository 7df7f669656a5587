use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::{self, BoxStream};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::impls::BasicNode;

use super::{OpenraftEngine, check_id};
use crate::MemberId;
use crate::raft::config::{Membership, Raft, Types, position};

/// Who belongs to a cluster, as far as a member knows.
///
/// ```
/// use lease_raft::Members;
///
/// let nobody = Members::default();
/// assert!(nobody.voters.is_empty() && nobody.learners.is_empty());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    /// Those who decide. While they change, these are the old and the new ones.
    pub voters: BTreeSet<MemberId>,
    /// Those who get the log, and do not decide.
    pub learners: BTreeSet<MemberId>,
    /// Where each of them is, in the words with which it was added.
    pub addresses: BTreeMap<MemberId, String>,
}

/// Why the members have not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Only the leader changes them.
    #[error("the member does not lead; the leader is {leader:?}")]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<MemberId>,
    },
    /// A change is on its way, or the leader has only begun to lead: a later attempt may succeed.
    #[error("another change of the members is on its way, or the leader has only begun to lead")]
    InProgress,
    /// The learner does not have the log yet.
    #[error("the learner lags {behind} entries behind")]
    Lagging {
        /// How many entries it lags behind.
        behind: u64,
    },
    /// The change makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The deadline came first. The change may still be made.
    #[error("the members have not changed before the deadline: {reason}")]
    DeadlineExceeded {
        /// What stood in the way last.
        reason: String,
    },
    /// The change may be in the log, or come there, or be half done.
    #[error("it is not known whether the members have changed")]
    Unknown,
    /// The engine has stopped.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

impl MembershipError {
    pub(crate) fn no_member(member: MemberId) -> Self {
        Self::Refused(format!("member {member} does not belong to the cluster"))
    }

    fn was_removed(member: MemberId) -> Self {
        Self::Refused(format!(
            "member {member} was removed, and its id is not used again"
        ))
    }
}

/// The members of the cluster. Changes are made by the leader, one at a time, and are committed when the
/// call returns. One whose caller leaves goes on. One that a leader leaves half done is finished by the next one.
///
/// A change after which a majority of the voters would be silent is refused, unless
/// [`strict_reconfig_check`](crate::OpenraftOptions::strict_reconfig_check) is off.
///
/// The id of a member that was removed, or whose disk was lost, is never given to another one: a member
/// that forgets what it has acknowledged can split the cluster.
impl OpenraftEngine {
    /// Makes this member a cluster of one. `address` is where the others will find it, in words that the
    /// [`Peers`](crate::Peers) of the host understand.
    ///
    /// # Errors
    ///
    /// [`MembershipError::Refused`] if it has been of a cluster before.
    pub async fn bootstrap(&self, address: &str) -> Result<(), MembershipError> {
        let member = self.member();
        let nodes = BTreeMap::from([(member, BasicNode::new(address))]);
        let begins = |raft: Raft| async move { raft.initialize(nodes).await };
        let begun = self.calls().call(begins).await;
        begun.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => {
                MembershipError::Refused("the member belongs to a cluster already".to_owned())
            }
            error => MembershipError::Stopped(error.to_string()),
        })
    }

    /// Whether the member has been of a cluster.
    ///
    /// # Errors
    ///
    /// [`MembershipError::Stopped`].
    pub async fn is_bootstrapped(&self) -> Result<bool, MembershipError> {
        let asks = |raft: Raft| async move { raft.is_initialized().await };
        let initialized = self.calls().call(asks).await;
        initialized.map_err(|error| MembershipError::Stopped(error.to_string()))
    }

    /// Who belongs to the cluster. O(members).
    #[must_use]
    pub fn members(&self) -> Members {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        as_members(metrics.membership_config.membership())
    }

    /// Who belongs to the cluster, now and after each change. Changes may be left out, but not the last one.
    /// It ends when the engine does.
    #[must_use]
    pub fn members_changes(&self) -> BoxStream<'static, Members> {
        let metrics = self.raft().metrics();
        let begun = (metrics, None);
        let changes = stream::unfold(begun, |(mut metrics, known)| async move {
            loop {
                let members = {
                    let metrics = metrics.borrow_and_update();
                    as_members(metrics.membership_config.membership())
                };
                if known.as_ref() != Some(&members) {
                    return Some((members.clone(), (metrics, Some(members))));
                }
                metrics.changed().await.ok()?;
            }
        });
        changes.boxed()
    }

    /// Adds a member that gets the log and does not decide. It must be running, and have been of no
    /// cluster before. To add it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; [`MembershipError::Refused`] if its id is 0, or that of a member that was removed.
    pub async fn add_learner(
        &self,
        member: MemberId,
        address: &str,
    ) -> Result<(), MembershipError> {
        self.check_name(member)?;
        let nodes = BTreeMap::from([(member, BasicNode::new(address))]);
        self.change(ChangeMembers::AddNodes(nodes)).await
    }

    /// Says where a member is from now on: this member or another one that has moved, not one that has taken its
    /// place. The leader does it.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; [`MembershipError::Refused`] if it is no member.
    pub async fn set_address(
        &self,
        member: MemberId,
        address: &str,
    ) -> Result<(), MembershipError> {
        self.check_leads()?;
        self.check_settling()?;
        if !self.members().addresses.contains_key(&member) {
            return Err(MembershipError::no_member(member));
        }
        let nodes = BTreeMap::from([(member, BasicNode::new(address))]);
        self.change(ChangeMembers::SetNodes(nodes)).await
    }

    /// How many entries a member lags behind the leader's log; `None` if this member does not lead, or
    /// has not heard of it.
    #[must_use]
    pub fn lag(&self, member: MemberId) -> Option<u64> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let matched = (*metrics.replication.as_ref()?.get(&member)?)?;
        let last = metrics.last_log_index.unwrap_or_default();
        Some(last.saturating_sub(matched.index()))
    }

    /// Lets a learner decide.
    ///
    /// # Errors
    ///
    /// [`MembershipError::Lagging`] if it has not got the log yet, because the cluster would wait for
    /// it; and the other [`MembershipError`]s.
    pub async fn promote(&self, member: MemberId) -> Result<(), MembershipError> {
        let turn = self.take_turn()?;
        self.check_settling()?;
        self.check_lag(member)?;
        let mut voters = self.members().voters;
        voters.insert(member);
        self.check_alive(&voters)?;
        let added = BTreeSet::from([member]);
        self.change_in(turn, ChangeMembers::AddVoterIds(added))
            .await
    }

    /// Removes a member. A leader that removes itself leads on until the others know.
    ///
    /// # Errors
    ///
    /// [`MembershipError`].
    pub async fn remove(&self, member: MemberId) -> Result<(), MembershipError> {
        let turn = self.take_turn()?;
        self.check_leads()?;
        self.check_settling()?;
        let mut voters = self.members().voters;
        let removed = BTreeSet::from([member]);
        if !voters.remove(&member) {
            let change = ChangeMembers::RemoveNodes(removed);
            return self.change_in(turn, change).await;
        }
        if voters.is_empty() {
            let text = format!("member {member} is the only one that decides");
            return Err(MembershipError::Refused(text));
        }
        self.check_alive(&voters)?;
        self.change_in(turn, ChangeMembers::RemoveVoters(removed))
            .await
    }

    /// Removes a voter and lets a learner decide in its place, in one change.
    ///
    /// # Errors
    ///
    /// As [`promote`](Self::promote); [`MembershipError::Refused`] if `old` is no voter.
    pub async fn replace(&self, old: MemberId, new: MemberId) -> Result<(), MembershipError> {
        let turn = self.take_turn()?;
        self.check_settling()?;
        let mut voters = self.members().voters;
        if !voters.remove(&old) {
            return Err(MembershipError::Refused(format!(
                "member {old} is no voter"
            )));
        }
        self.check_lag(new)?;
        voters.insert(new);
        self.check_alive(&voters)?;
        self.change_in(turn, ChangeMembers::ReplaceAllVoters(voters))
            .await
    }

    /// Asks a voter to take over. Who leads then is to be seen in
    /// [`leadership`](crate::Engine::leadership): the voter may fail to be elected, and another one, perhaps
    /// this one, leads after an election.
    ///
    /// # Errors
    ///
    /// [`MembershipError::NotLeader`]; [`MembershipError::Refused`] if it is no voter, or has not answered of late;
    /// [`MembershipError::Lagging`] if it has not got the log, or not the change of the members by which it is a
    /// voter; [`MembershipError::InProgress`] if this member has
    /// only begun to lead; [`MembershipError::Stopped`].
    pub async fn transfer_leadership(&self, to: MemberId) -> Result<(), MembershipError> {
        if !self.members().voters.contains(&to) {
            return Err(MembershipError::Refused(format!("member {to} is no voter")));
        }
        self.check_leads()?;
        self.check_heir(to)?;
        let asks = |raft: Raft| async move { raft.trigger().transfer_leader(to).await };
        let asked = self.calls().call(asks).await;
        asked.map_err(|error| MembershipError::Stopped(error.to_string()))
    }

    /// Whoever is asked to lead while it is away keeps everybody from being led for an election.
    fn check_heir(&self, heir: MemberId) -> Result<(), MembershipError> {
        match self.lag(heir) {
            _ if heir == self.member() => Ok(()),
            Some(behind)
                if self.hears(heir) && behind <= MAX_LAG && self.knows_that_it_decides(heir) =>
            {
                Ok(())
            }
            Some(behind) if self.hears(heir) => Err(MembershipError::Lagging { behind }),
            _ if self.has_just_begun() => Err(MembershipError::InProgress),
            _ => Err(MembershipError::Refused(format!(
                "member {heir} has not answered of late"
            ))),
        }
    }

    /// Whether a voter has the change of the members by which it is one: without that it stands for no
    /// election, and this member, which has let go, leads nobody until it has it.
    fn knows_that_it_decides(&self, voter: MemberId) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|all| *all.get(&voter)?);
        let changed = metrics.membership_config.log_id();
        changed.is_none_or(|changed| matched.is_some_and(|matched| matched >= changed))
    }

    /// If this member leads others who decide, has that one of them lead that has most of the log, and waits
    /// for that at most until `timeout` has passed. For a member that is about to stop: nobody then has to
    /// miss it before another one is elected.
    pub async fn hand_over(&self, timeout: Duration) {
        let Some(heir) = self.heir() else {
            return;
        };
        let (own, to) = (self.member(), heir);
        if let Err(error) = self.transfer_leadership(heir).await {
            tracing::debug!(member = own, to, %error, "the leadership is not handed over");
            return;
        }
        let mut changes = self.inner.leadership.changes();
        let handed_over =
            async { while changes.next().await.is_some_and(|now| now.is_led_by(own)) {} };
        let handed_over = pin!(handed_over);
        match select(handed_over, self.inner.answerer.runtime.sleep(timeout)).await {
            Either::Left(_) => tracing::info!(member = own, to, "has handed its leadership over"),
            Either::Right(_) => tracing::debug!(member = own, to, "nobody has taken over in time"),
        }
    }

    /// Who of the others that decide has most of the log, if this member leads.
    pub(in crate::raft) fn heir(&self) -> Option<MemberId> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?;
        let voters = metrics.membership_config.membership().voter_ids();
        let others =
            voters.filter(|voter| *voter != metrics.id && self.has_heard(&metrics, *voter));
        others.max_by_key(|voter| matched.get(voter).copied().flatten())
    }

    fn check_name(&self, member: MemberId) -> Result<(), MembershipError> {
        if check_id(member).is_err() {
            return Err(MembershipError::Refused("0 is no member's id".to_owned()));
        }
        match self.inner.answerer.removed.contains(member) {
            true => Err(MembershipError::was_removed(member)),
            false => Ok(()),
        }
    }

    fn check_leads(&self) -> Result<(), MembershipError> {
        let leader = self.raft().metrics().borrow_watched().current_leader;
        match leader == Some(self.member()) {
            true => Ok(()),
            false => Err(MembershipError::NotLeader { leader }),
        }
    }

    fn check_lag(&self, member: MemberId) -> Result<(), MembershipError> {
        if !self.members().learners.contains(&member) {
            return Err(MembershipError::Refused(format!(
                "member {member} is no learner"
            )));
        }
        self.check_leads()?;
        let last = self.raft().metrics().borrow_watched().last_log_index;
        match self.lag(member) {
            Some(behind) if behind <= MAX_LAG => Ok(()),
            Some(behind) => Err(MembershipError::Lagging { behind }),
            // Nobody has heard of it: the cluster might wait for it for ever.
            None => Err(MembershipError::Lagging {
                behind: last.map_or(0, position),
            }),
        }
    }
}

fn as_members(membership: &Membership) -> Members {
    Members {
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        addresses: membership
            .nodes()
            .map(|(member, node)| (*member, node.addr.clone()))
            .collect(),
    }
}

pub(super) fn membership_error(
    error: RaftError<Types, ClientWriteError<Types>>,
) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            MembershipError::NotLeader {
                leader: forward.leader_id,
            }
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => MembershipError::Unknown,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        )) => MembershipError::InProgress,
        RaftError::APIError(error) => MembershipError::Refused(error.to_string()),
        RaftError::Fatal(error) => MembershipError::Stopped(error.to_string()),
    }
}

/// How far a learner may lag behind when it becomes a voter.
const MAX_LAG: u64 = 1000;
