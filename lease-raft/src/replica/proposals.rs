use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use lease_core::{Answer, Epoch, LeaseError};
use lease_pb::Message;
use lease_pb::leaseraftpb::{ProposeOutcome, ProposeRequest, ProposeResponse};

use super::Inner;
use super::forwarded::Name;
use super::traced::{call_span, traced};
use crate::entry::{Entry, Request};
use crate::probe::planted;
use crate::{MemberId, ProposeError, ReplicaError};

/// What an entry has come to where it was applied.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome {
    /// What the lessor has answered.
    Answer(Answer),
    /// What the host's machine has answered.
    Host(Vec<u8>),
    /// The host's machine has decided on rows that are not its own: nothing has happened.
    Reserved,
    /// An epoch has begun.
    Led(Epoch),
    /// Nothing: the engine's own entry, or one that was proposed once more.
    Void,
    /// Nothing, and never: it was proposed too long ago.
    TooOld,
}

/// The proposals of this life of the member that somebody waits for.
#[derive(Default)]
pub(super) struct Proposals {
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
    /// How many of those who wait are callers.
    callers: usize,
}

/// Who wants something proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Callers,
    /// The member itself does, as when leases have expired.
    Own,
}

struct Waiting {
    whose: Whose,
    /// How far the log was applied when the entry was made: another one is an older copy, which is void.
    applied: u64,
    tell: oneshot::Sender<Outcome>,
}

impl Waiting {
    /// Lets go of whoever waits, who may make the entry anew: until he has, or has gone, its number is not settled.
    fn let_go(&mut self) -> oneshot::Sender<Outcome> {
        let (nobody, _) = oneshot::channel();
        std::mem::replace(&mut self.tell, nobody)
    }
}

impl Proposals {
    /// Gives a proposal its number.
    fn begin(&mut self, applied: u64, whose: Whose) -> (u64, oneshot::Receiver<Outcome>) {
        self.last += 1;
        (self.last, self.wait(self.last, applied, whose))
    }

    /// Has the proposer of an entry wait for it.
    fn wait(&mut self, number: u64, applied: u64, whose: Whose) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting {
            whose,
            applied,
            tell,
        };
        let is_new = self.waiting.insert(number, waiting).is_none();
        self.callers += usize::from(is_new && whose == Whose::Callers);
        told
    }

    /// Lets go of those who wait for what may have been applied where nobody here has seen it, by their number and
    /// how far the log was applied when their entry was made. They go on when this is dropped.
    pub(super) fn let_go(
        &mut self,
        may_be_applied: impl Fn(u64, u64) -> bool,
    ) -> Vec<oneshot::Sender<Outcome>> {
        let all = self.waiting.iter_mut();
        let lost = all.filter(|(number, waiting)| may_be_applied(**number, waiting.applied));
        lost.map(|(_, waiting)| waiting.let_go()).collect()
    }

    /// Nobody waits for it any more.
    fn end(&mut self, number: u64) -> Option<Waiting> {
        let ended = self.waiting.remove(&number)?;
        self.callers -= usize::from(ended.whose == Whose::Callers);
        Some(ended)
    }

    /// How many there are, and how many there have been.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.waiting.len(), self.last)
    }

    /// Up to which number nobody waits.
    fn settled(&self) -> u64 {
        self.waiting
            .first_key_value()
            .map_or(self.last, |(first, _)| first - 1)
    }

    /// Takes whoever waits for an entry that has come to this. That it is too old is for whoever waits for this
    /// copy of it, and not for one that was made since.
    pub(super) fn take(
        &mut self,
        entry: &Entry,
        outcome: &Outcome,
    ) -> Option<oneshot::Sender<Outcome>> {
        let waiting = self.waiting.get_mut(&entry.number)?;
        match outcome {
            Outcome::Void => None,
            Outcome::TooOld if waiting.applied != entry.applied => None,
            Outcome::TooOld => Some(waiting.let_go()),
            _ => self.end(entry.number).map(|it| it.tell),
        }
    }

    /// Ends all waits.
    pub(super) fn end_all(&mut self) -> impl Sized + use<> {
        self.callers = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// A proposal that is under way; when it is dropped, nobody waits for it.
struct Proposal<'a> {
    inner: &'a Inner,
    whose: Whose,
    entry: Entry,
    told: oneshot::Receiver<Outcome>,
}

impl Proposal<'_> {
    /// Makes its entry anew, since the old one is void, and all copies of it are.
    fn renew(&mut self) {
        let mut state = self.inner.state();
        if state.is_stopped {
            // Nobody tells it anything any more.
            self.told = oneshot::channel().1;
            return;
        }
        self.entry.applied = state.applied;
        let Entry {
            number, applied, ..
        } = self.entry;
        self.told = state.proposals.wait(number, applied, self.whose);
    }
}

impl Drop for Proposal<'_> {
    fn drop(&mut self) {
        let ended = self.inner.state().proposals.end(self.entry.number);
        // Without the lock, since this wakes whoever has waited.
        drop(ended);
    }
}

/// Whether a wrong member acknowledges an attach at once.
fn is_taken_for_done(attempt: &Attempt, entry: &Entry) -> bool {
    let is_wrong = match attempt {
        Attempt::Committed => planted!("raft-acknowledges-before-apply"),
        Attempt::Unknown => planted!("raft-acknowledges-before-commit"),
        Attempt::NotLeader => false,
    };
    is_wrong && matches!(entry.request, Request::Attach { .. })
}

/// Whether a proposal may be in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trace {
    None,
    Possible,
}

/// What an attempt to propose has come to.
#[derive(Clone, Copy)]
pub(super) enum Attempt {
    Committed,
    /// Nothing was done.
    NotLeader,
    Unknown,
}

/// How long a leader is waited for, which may have much before it: what is sent again adds to that.
struct Patience {
    shortest: Duration,
    last: Option<(MemberId, Duration)>,
}

impl Patience {
    const fn new(shortest: Duration) -> Self {
        Self {
            shortest,
            last: None,
        }
    }

    /// Each time twice as long, until another one leads.
    fn next(&mut self, leader: MemberId) -> Duration {
        let span = match self.last {
            Some((last, span)) if last == leader => {
                span.saturating_mul(2).min(self.shortest.saturating_mul(8))
            }
            _ => self.shortest,
        };
        self.last = Some((leader, span));
        span
    }
}

impl Inner {
    /// Has something done by the log, through whoever leads, and waits until it is applied here.
    /// Attempts are repeated, and what they come to happens once.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`], [`ReplicaError::Unknown`], [`ReplicaError::Busy`],
    /// [`ReplicaError::TooLong`] and [`ReplicaError::Stopped`].
    pub(crate) async fn propose(
        self: &Arc<Self>,
        request: Request,
        timeout: Duration,
    ) -> Result<Outcome, ReplicaError> {
        let span = call_span!(request.name(), self.member, request.lease());
        traced(span, self.propose_callers(request, timeout)).await
    }

    async fn propose_callers(
        self: &Arc<Self>,
        request: Request,
        timeout: Duration,
    ) -> Result<Outcome, ReplicaError> {
        let mut proposal = self.begin_proposal(request, Whose::Callers)?;
        let mut trace = Trace::None;
        let outcome = {
            let proposes = Box::pin(self.pursue(&mut proposal, &mut trace));
            self.within(timeout, proposes).await
        };
        match (outcome, trace) {
            (Some(Ok(Outcome::Reserved)), _) => Err(LeaseError::ReservedRows.into()),
            (Some(outcome), _) => outcome,
            (None, Trace::None) => Err(ReplicaError::DeadlineExceeded),
            (None, Trace::Possible) if planted!("raft-unknown-is-denied") => {
                Err(ReplicaError::DeadlineExceeded)
            }
            (None, Trace::Possible) => Err(ReplicaError::Unknown),
        }
    }

    /// A leader whose log has an entry that no message can carry leads on, and commits nothing any more.
    fn check_len(&self, entry: &[u8]) -> Result<(), ReplicaError> {
        let (bytes, limit) = (entry.len(), self.options.max_entry_bytes);
        match bytes <= limit {
            true => Ok(()),
            false => Err(ReplicaError::TooLong { bytes, limit }),
        }
    }

    /// What the member proposes by itself is not counted against its callers' limit, nor refused for it: nothing
    /// would expire while they are many.
    fn begin_proposal(&self, request: Request, whose: Whose) -> Result<Proposal<'_>, ReplicaError> {
        let mut state = self.state();
        if state.is_stopped {
            return Err(ReplicaError::Stopped);
        }
        if whose == Whose::Callers && state.proposals.callers >= self.options.max_proposals {
            return Err(ReplicaError::Busy);
        }
        let applied = state.applied;
        let (number, told) = state.proposals.begin(applied, whose);
        let entry = Entry {
            session: self.session,
            number,
            settled: state.proposals.settled(),
            applied,
            request,
        };
        drop(state);
        Ok(Proposal {
            inner: self,
            whose,
            entry,
            told,
        })
    }

    /// Attempts until the proposal is applied here.
    async fn pursue(
        self: &Arc<Self>,
        proposal: &mut Proposal<'_>,
        trace: &mut Trace,
    ) -> Result<Outcome, ReplicaError> {
        let mut patience = Patience::new(self.options.ask_timeout);
        loop {
            let pause = self.pause();
            let bytes = proposal.entry.encode();
            self.check_len(&bytes)?;
            let attempt = Box::pin(self.attempt(bytes, trace, &mut patience));
            let (outcome, is_told) = match select(&mut proposal.told, attempt).await {
                Either::Left((told, _)) => (told.map_err(|_| ReplicaError::Stopped), true),
                Either::Right((attempt, _)) if is_taken_for_done(&attempt, &proposal.entry) => {
                    return Ok(Outcome::Answer(Answer::Attached(Ok(()))));
                }
                Either::Right((Attempt::Committed, _)) => {
                    let told = (&mut proposal.told).await;
                    (told.map_err(|_| ReplicaError::Stopped), true)
                }
                Either::Right((Attempt::NotLeader | Attempt::Unknown, _)) => {
                    (Err(ReplicaError::Unknown), false)
                }
            };
            match (outcome, *trace) {
                // It has not happened, and will not.
                (Ok(Outcome::TooOld), _) => {
                    proposal.renew();
                    *trace = Trace::None;
                    continue;
                }
                // Neither a stop nor a snapshot says what has come of it.
                (Err(ReplicaError::Stopped), Trace::Possible) if is_told => {
                    return Err(ReplicaError::Unknown);
                }
                // A snapshot has come, and nothing was proposed before.
                (Err(ReplicaError::Stopped), Trace::None)
                    if is_told && self.check_running().is_ok() =>
                {
                    proposal.renew();
                    continue;
                }
                (outcome, _) if is_told => return outcome,
                _ => {}
            }
            pause.await;
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        trace: &mut Trace,
        patience: &mut Patience,
    ) -> Attempt {
        let (leader, changed) = {
            let mut state = self.state();
            (state.leadership.leader, state.pauses.over())
        };
        let Some(leader) = leader else {
            return Attempt::NotLeader;
        };
        let before = std::mem::replace(trace, Trace::Possible);
        let attempt = if leader == self.member {
            self.propose_here(bytes).await
        } else {
            let timeout = patience.next(leader);
            let asks = Box::pin(self.propose_there(leader, bytes, timeout));
            // One that leads no more may never answer.
            match select(asks, changed).await {
                Either::Left((attempt, _)) => attempt,
                Either::Right(_) => Attempt::Unknown,
            }
        };
        if matches!(attempt, Attempt::NotLeader) {
            *trace = before;
        }
        attempt
    }

    pub(super) async fn propose_here(&self, bytes: Vec<u8>) -> Attempt {
        let Some(engine) = self.engine() else {
            return Attempt::NotLeader;
        };
        match engine.propose(bytes).await {
            Ok(()) => Attempt::Committed,
            Err(ProposeError::NotLeader) => Attempt::NotLeader,
            Err(ProposeError::Unknown) => Attempt::Unknown,
        }
    }

    async fn propose_there(&self, leader: MemberId, entry: Vec<u8>, timeout: Duration) -> Attempt {
        let body = ProposeRequest { entry }.encode_to_vec();
        let answer = self.peers.ask(leader, PROPOSE_PATH, body, timeout).await;
        let outcome = match answer {
            Ok(answer) if answer.status == 200 => {
                ProposeResponse::decode(&answer.body[..]).map(|answer| answer.outcome())
            }
            _ => return Attempt::Unknown,
        };
        match outcome {
            Ok(ProposeOutcome::Committed) => Attempt::Committed,
            Ok(ProposeOutcome::NotLeader) => Attempt::NotLeader,
            Ok(ProposeOutcome::Unknown) | Err(_) => Attempt::Unknown,
        }
    }

    /// Proposes once, if this member leads, and does not try again.
    ///
    /// # Errors
    ///
    /// [`ProposeError`], and [`ProposeError::Unknown`] also if the member is stopped.
    pub(super) async fn propose_once(
        self: &Arc<Self>,
        request: Request,
    ) -> Result<Outcome, ProposeError> {
        let proposal = self.begin_proposal(request, Whose::Own);
        let mut proposal = proposal.map_err(|_| ProposeError::NotLeader)?;
        match self.propose_here(proposal.entry.encode()).await {
            Attempt::NotLeader => Err(ProposeError::NotLeader),
            Attempt::Unknown => Err(ProposeError::Unknown),
            Attempt::Committed => {
                let told = (&mut proposal.told).await;
                told.map_err(|_| ProposeError::Unknown)
            }
        }
    }

    /// Answers another member that wants something proposed.
    ///
    /// # Errors
    ///
    /// Why it is not proposed, whoever leads.
    pub(super) async fn propose_for(self: &Arc<Self>, body: &[u8]) -> Result<Vec<u8>, String> {
        let request = ProposeRequest::decode(body);
        let ProposeRequest { entry } = request.map_err(|error| error.to_string())?;
        // What nobody can read must not get into the log.
        let name = Name::of(&Entry::decode(&entry)?);
        self.check_len(&entry).map_err(|error| error.to_string())?;
        let outcome = match self.propose_forwarded(name, entry).await {
            Attempt::Committed => ProposeOutcome::Committed,
            Attempt::NotLeader => ProposeOutcome::NotLeader,
            Attempt::Unknown => ProposeOutcome::Unknown,
        };
        let answer = ProposeResponse {
            outcome: outcome.into(),
        };
        Ok(answer.encode_to_vec())
    }
}

pub(crate) const PROPOSE_PATH: &str = "/raft/propose";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_on_is_waited_for_longer_each_time() {
        let mut patience = Patience::new(Duration::from_secs(1));
        let spans: Vec<_> = (0..5).map(|_| patience.next(1).as_secs()).collect();
        assert_eq!(spans, [1, 2, 4, 8, 8]);
        assert_eq!(patience.next(2).as_secs(), 1, "another one leads");
        let mut patience = Patience::new(Duration::MAX);
        assert_eq!([0; 2].map(|_| patience.next(1)), [Duration::MAX; 2]);
    }

    fn entry(number: u64, applied: u64) -> Entry {
        Entry {
            session: 7,
            number,
            settled: 0,
            applied,
            request: Request::Host(Vec::new()),
        }
    }

    #[test]
    fn what_is_told_of_an_older_copy_is_not_taken_for_the_new_one() {
        let mut proposals = Proposals::default();
        let (number, _told) = proposals.begin(3, Whose::Callers);
        let (old, new) = (entry(number, 3), entry(number, 9));
        assert!(proposals.take(&old, &Outcome::Void).is_none());
        assert!(proposals.take(&old, &Outcome::TooOld).is_some());
        // Meanwhile another proposal must not settle it.
        let (later, _told) = proposals.begin(9, Whose::Own);
        assert!(proposals.settled() < number && number < later);
        let _told = proposals.wait(number, 9, Whose::Callers);
        assert!(proposals.take(&old, &Outcome::TooOld).is_none(), "a copy");
        let done = Outcome::Host(Vec::new());
        assert_eq!(proposals.callers, 1);
        assert!(proposals.take(&new, &done).is_some());
        assert_eq!(proposals.callers, 0);
        assert!(proposals.take(&new, &done).is_none(), "nobody waits");
    }
}
