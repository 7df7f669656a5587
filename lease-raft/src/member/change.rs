//! Changes of the members, which any member may ask for and the leader makes.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures::StreamExt;
use lease_pb::Message;
use lease_pb::leaseraftpb::members_request::Change as Wire;
use lease_pb::leaseraftpb::{Admission, MembersOutcome, MembersRequest, MembersResponse};
use tokio::time;

use super::Core;
use crate::raft::GONE;
use crate::{Engine, MemberId, MembershipError, PeerAnswer};

pub(super) const MEMBERS_PATH: &str = "/raft/members";

/// The pause before another member is asked, or the same one again.
const PAUSE: Duration = Duration::from_millis(50);

/// What is to change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Admit(Admission),
    Remove(MemberId),
    Lead(MemberId),
}

/// What has come of an attempt.
enum Attempt {
    Changed,
    Refused(String),
    /// Another one may know more, or the same one later.
    NotLeader(Option<MemberId>),
    Pending(String),
    /// A member is asked to lead, in this term.
    Asked(u64),
}

impl Change {
    pub(super) fn admit(member: MemberId, address: &str, decides: bool, is_new: bool) -> Self {
        Self::Admit(Admission {
            member,
            address: address.to_owned(),
            decides,
            is_new,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let change = match self {
            Self::Admit(admission) => Wire::Admit(admission.clone()),
            Self::Remove(member) => Wire::Remove(*member),
            Self::Lead(member) => Wire::Lead(*member),
        };
        let change = Some(change);
        MembersRequest { change }.encode_to_vec()
    }

    fn decode(body: &[u8]) -> Option<Self> {
        Some(match MembersRequest::decode(body).ok()?.change? {
            Wire::Admit(admission) => Self::Admit(admission),
            Wire::Remove(member) => Self::Remove(member),
            Wire::Lead(member) => Self::Lead(member),
        })
    }
}

impl Core {
    /// Whether this member belongs to the cluster already, as what it wants to be.
    pub(super) fn belongs(&self, decides: bool) -> bool {
        let (members, own) = (self.engine.members(), self.engine.member());
        members.voters.contains(&own) || !decides && members.learners.contains(&own)
    }

    /// Who has started a member where it should have joined has two clusters of one name.
    pub(super) fn note_if_apart(&self, known: &[MemberId]) {
        let (members, removed) = (self.engine.members().addresses, self.engine.removed());
        let is_strange = |other| !members.contains_key(other) && !removed.contains(*other);
        if members.len() == 1 && !known.is_empty() && known.iter().all(is_strange) {
            tracing::warn!(
                member = self.engine.member(),
                ?known,
                "the member goes on as a cluster of its own, to which none of those that it knows has ever belonged"
            );
        }
    }

    /// Has itself admitted.
    ///
    /// # Errors
    ///
    /// [`MembershipError`].
    pub(super) async fn seek_admission(
        &self,
        decides: bool,
        known: &[MemberId],
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        if known.is_empty() && self.engine.members().addresses.is_empty() {
            return Err(MembershipError::Refused(
                "it knows no other member, whom it could ask".to_owned(),
            ));
        }
        let change = || {
            let is_new = !self.is_open.load(SeqCst);
            Change::admit(self.engine.member(), &self.address, decides, is_new)
        };
        self.change(change, known, timeout).await
    }

    /// Whether the others look for this member where it is not.
    pub(super) fn has_moved(&self) -> bool {
        let addresses = self.engine.members().addresses;
        let known = addresses.get(&self.engine.member());
        known.is_some_and(|known| *known != self.address)
    }

    /// Tells the others where this member is, which it was not when they heard of it last.
    pub(super) async fn tell_address(&self, timeout: Duration) -> Result<(), MembershipError> {
        let own = self.engine.member();
        let change = || Change::admit(own, &self.address, false, false);
        // A leader that does not find this member is not known here.
        let members = self.engine.members().addresses.into_keys();
        let others: Vec<_> = members.filter(|member| *member != own).collect();
        self.change(change, &others, timeout).await
    }

    /// Has the leader make a change, whoever that is: this member, one that it knows of, or one that those
    /// know of.
    pub(super) async fn change(
        &self,
        change: impl Fn() -> Change,
        known: &[MemberId],
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        let mut reason = "nobody leads".to_owned();
        let pursues = async {
            let mut hint = None;
            for turn in 0.. {
                let member = hint.take().or_else(|| self.candidate(known, turn));
                let attempt = match member {
                    Some(member) => self.attempt(member, &change()).await,
                    None => Attempt::Pending("nobody leads".to_owned()),
                };
                match attempt {
                    Attempt::Changed => break,
                    Attempt::Refused(text) => return Err(MembershipError::Refused(text)),
                    Attempt::NotLeader(leader) => {
                        hint = leader.filter(|other| member != Some(*other));
                    }
                    Attempt::Pending(text) => reason = text,
                    Attempt::Asked(term) => {
                        reason = "somebody is asked to lead, and nobody does".to_owned();
                        return self.see_elected(&change(), term).await;
                    }
                }
                if let Some(failure) = self.failure.get() {
                    return match self.engine.removed().is_own() && self.is_own_removal(&change()) {
                        true => Ok(()),
                        false => Err(MembershipError::Stopped(failure.clone())),
                    };
                }
                time::sleep(PAUSE).await;
            }
            Ok(())
        };
        let pursued = time::timeout(timeout, pursues).await;
        pursued.unwrap_or(Err(MembershipError::DeadlineExceeded { reason }))
    }

    /// Whether a change is made when this member was removed: it may have asked for that before, and not been answered.
    fn is_own_removal(&self, change: &Change) -> bool {
        matches!(change, Change::Remove(member) if *member == self.engine.member())
    }

    /// Waits for whoever leads after a term in which a member was asked to. Once is enough: a leader that has asked
    /// does nothing else, so that to ask again and again would keep the cluster from being led.
    async fn see_elected(&self, change: &Change, term: u64) -> Result<(), MembershipError> {
        let mut news = self.engine.leadership();
        while let Some(now) = news.next().await {
            match now.leader {
                Some(leader) if now.term > term => {
                    return match change {
                        Change::Lead(wanted) if *wanted != leader => {
                            let text = format!("member {leader} was elected, and not {wanted}");
                            Err(MembershipError::Refused(text))
                        }
                        _ => Ok(()),
                    };
                }
                _ => {}
            }
        }
        Err(MembershipError::Stopped("it has ended".to_owned()))
    }

    /// Whom to ask: the leader, as far as it is known, and the known ones, in turns.
    fn candidate(&self, known: &[MemberId], turn: usize) -> Option<MemberId> {
        let leader = self.replica.lessor().leader();
        let all: Vec<_> = leader.into_iter().chain(known.iter().copied()).collect();
        all.get(turn % all.len().max(1)).copied()
    }

    async fn attempt(&self, member: MemberId, change: &Change) -> Attempt {
        if member == self.engine.member() {
            return self.change_here(change).await;
        }
        let timeout = self.ask_timeout;
        let asked = crate::Peers::ask(&*self.peers, member, MEMBERS_PATH, change.encode(), timeout);
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(error) => return Attempt::Pending(error.to_string()),
        };
        let text = || String::from_utf8_lossy(&answer.body).into_owned();
        match answer.status {
            200 => {}
            GONE => {
                self.engine.removed().hear();
                return match self.is_own_removal(change) {
                    true => Attempt::Changed,
                    false => Attempt::Refused(text()),
                };
            }
            // It is of another cluster, or another member.
            421 => {
                return Attempt::Refused(format!(
                    "who is at the address of {member} says: {}",
                    text()
                ));
            }
            status => return Attempt::Pending(format!("member {member}: {status}: {}", text())),
        }
        match MembersResponse::decode(&answer.body[..]) {
            Ok(response) => {
                let attempt = self.read_response(member, response);
                // The leader has looked whether it knows the name.
                if matches!(change, Change::Admit(admission) if admission.is_new)
                    && matches!(attempt, Attempt::Changed | Attempt::Pending(_))
                {
                    self.is_open.store(true, SeqCst);
                }
                attempt
            }
            Err(error) => Attempt::Pending(format!("member {member} answers nonsense: {error}")),
        }
    }

    fn read_response(&self, member: MemberId, response: MembersResponse) -> Attempt {
        let outcome = response.outcome();
        let MembersResponse {
            leader,
            address,
            reason,
            term,
            ..
        } = response;
        match outcome {
            MembersOutcome::MembersChanged => Attempt::Changed,
            MembersOutcome::MembersRefused => Attempt::Refused(reason),
            MembersOutcome::MembersAsked => Attempt::Asked(term),
            MembersOutcome::MembersPending => {
                Attempt::Pending(format!("member {member}: {reason}"))
            }
            MembersOutcome::MembersNotLeader if leader == 0 => Attempt::NotLeader(None),
            MembersOutcome::MembersNotLeader => {
                // Who answers may know of an earlier address than this member.
                let is_known = self.engine.members().addresses.contains_key(&leader);
                if !is_known || self.peers.complaint(leader).is_some() {
                    self.peers.set_address(leader, address);
                }
                Attempt::NotLeader(Some(leader))
            }
        }
    }

    /// Answers another member that wants something changed.
    pub(super) async fn answer_change(&self, body: &[u8]) -> PeerAnswer {
        let Some(change) = Change::decode(body) else {
            return PeerAnswer {
                status: 400,
                body: b"this is no change of the members".to_vec(),
            };
        };
        let mut response = MembersResponse::default();
        let outcome = match self.change_here(&change).await {
            Attempt::Changed => MembersOutcome::MembersChanged,
            Attempt::Refused(reason) => {
                response.reason = reason;
                MembersOutcome::MembersRefused
            }
            Attempt::Pending(reason) => {
                response.reason = reason;
                MembersOutcome::MembersPending
            }
            Attempt::Asked(term) => {
                response.term = term;
                MembersOutcome::MembersAsked
            }
            Attempt::NotLeader(leader) => {
                let addresses = self.engine.members().addresses;
                let known = leader.and_then(|leader| Some((leader, addresses.get(&leader)?)));
                if let Some((leader, address)) = known {
                    response.leader = leader;
                    response.address.clone_from(address);
                }
                MembersOutcome::MembersNotLeader
            }
        };
        response.set_outcome(outcome);
        PeerAnswer {
            status: 200,
            body: response.encode_to_vec(),
        }
    }

    /// Makes a step towards a change, if this member leads.
    async fn change_here(&self, change: &Change) -> Attempt {
        let leader = self.replica.lessor().leader();
        if leader != Some(self.engine.member()) {
            return Attempt::NotLeader(leader);
        }
        let step = async {
            match change {
                Change::Admit(admission) => self.admit(admission).await,
                Change::Remove(member) => self.remove(*member).await,
                Change::Lead(member) => self.hand_over(*member).await,
            }
        };
        // Without a quorum it would wait for ever, and whoever asks waits no longer than `ask_timeout`. What has
        // begun goes on.
        let stepped = time::timeout(self.ask_timeout / 2, step).await;
        let late = || Attempt::Pending("it is on its way through the log".to_owned());
        stepped.map_or_else(|_| late(), |attempt| attempt.unwrap_or_else(as_attempt))
    }

    async fn admit(&self, admission: &Admission) -> Result<Attempt, MembershipError> {
        let (member, members) = (admission.member, self.engine.members());
        let decides = members.voters.contains(&member);
        if admission.is_new && (decides || self.engine.lag(member).is_some()) {
            return Ok(Attempt::Refused(format!(
                "member {member} belongs to the cluster, and who asks has an empty disk: a member that has \
                 lost what it has acknowledged is removed, and a new one gets another id"
            )));
        }
        let moves = |known: &String| *known != admission.address && !admission.address.is_empty();
        if members.addresses.get(&member).is_some_and(moves) {
            self.engine.set_address(member, &admission.address).await?;
            return Ok(Attempt::Pending("it is at another address now".to_owned()));
        }
        if decides {
            return Ok(self.settled());
        }
        if !members.learners.contains(&member) {
            if admission.address.is_empty() {
                return Err(MembershipError::no_member(member));
            }
            // Who was removed is known when all is applied.
            if !self.engine.is_settled() {
                return Ok(self.settled());
            }
            if self.engine.removed().contains(member) {
                let text = format!("member {member} was removed, and its id is not used again");
                return Ok(Attempt::Refused(text));
            }
            self.peers.set_address(member, &admission.address);
            self.engine.add_learner(member, &admission.address).await?;
            // It may be brought entries when it has the answer.
            return Ok(match admission.decides {
                true => Attempt::Pending("it is a learner, and gets the log".to_owned()),
                false => Attempt::Changed,
            });
        }
        if !admission.decides {
            return Ok(self.settled());
        }
        match self.engine.promote(member).await {
            // That it lags says nothing of why.
            Err(MembershipError::Lagging { .. }) if self.engine.lag(member).is_none() => {
                Ok(Attempt::Pending(self.unheard(member)))
            }
            promoted => promoted.map(|()| Attempt::Changed),
        }
    }

    /// What there is to say of a member that has answered nothing yet.
    fn unheard(&self, member: MemberId) -> String {
        let addresses = self.engine.members().addresses;
        let address = addresses.get(&member).map_or("nowhere", String::as_str);
        match self.peers.complaint(member) {
            Some(why) => format!("it is not reached at {address}: {why}"),
            None => format!("it has not answered yet at {address}"),
        }
    }

    async fn remove(&self, member: MemberId) -> Result<Attempt, MembershipError> {
        if !self.engine.members().addresses.contains_key(&member) {
            return Ok(self.settled());
        }
        self.engine.remove(member).await?;
        Ok(Attempt::Changed)
    }

    /// It is so, as far as the log goes: not all of that may be committed.
    fn settled(&self) -> Attempt {
        match self.engine.is_settled() {
            true => Attempt::Changed,
            false => Attempt::Pending("it is on its way through the log".to_owned()),
        }
    }

    async fn hand_over(&self, to: MemberId) -> Result<Attempt, MembershipError> {
        if to == self.engine.member() {
            return Ok(Attempt::Changed);
        }
        let term = self.lessor.stats().term;
        self.engine.transfer_leadership(to).await?;
        Ok(Attempt::Asked(term))
    }
}

fn as_attempt(error: MembershipError) -> Attempt {
    match error {
        MembershipError::NotLeader { leader } => Attempt::NotLeader(leader),
        MembershipError::Refused(text) => Attempt::Refused(text),
        error => Attempt::Pending(error.to_string()),
    }
}
