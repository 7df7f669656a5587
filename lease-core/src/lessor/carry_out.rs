use super::Shared;
use super::job::{Decided, Job, LEASES_AT_ONCE, Purpose};
use super::own::Kind;
use super::road::Outcome;
use super::state::State;
use crate::{
    Answer, Checkpoint, CheckpointBatch, Command, Decision, LeaseError, LeaseId, ProposalOutcome,
    Revocation,
};

/// What a command was about, for when it has failed.
enum Subject {
    Revocations(Vec<Revocation>),
    Checkpoints(Vec<Checkpoint>),
}

/// How many of so many leases that other commands touch have one place in the line. Each has its own, so
/// that none waits for the command of another one; but everybody looks at all who stand there, and so
/// they must not be very many.
pub(super) const fn in_line_together(busy: usize) -> usize {
    if busy > 32 { LEASES_AT_ONCE } else { 1 }
}

impl State {
    /// Gives a command of the lessor's own its place in the line.
    pub(super) fn admit_own(&mut self, command: Command, purpose: Purpose) {
        self.admit(Job::own(command, purpose), None);
    }

    /// Has leases revoked that have expired, unless that is on its way.
    pub(super) fn revoke_own(&mut self, revocations: &[Revocation]) {
        let (mut free, mut deletions, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for revocation in revocations {
            if !self.own.revoking.insert(revocation.id) {
                continue;
            }
            if self.is_busy(revocation.id) {
                busy.push(*revocation);
            } else if self.has_to_delete(&[*revocation]) {
                deletions.push(*revocation);
            } else {
                free.push(*revocation);
            }
        }
        for together in [free, deletions] {
            if !together.is_empty() {
                self.admit_own(Command::Revoke(together), Purpose::Expiry);
            }
        }
        for some in busy.chunks(in_line_together(busy.len())) {
            self.admit_own(Command::Revoke(some.to_vec()), Purpose::Expiry);
        }
    }

    /// Leaves a command of the lessor's own, which is decided, for whoever carries it out.
    pub(super) fn put_own(&mut self, decided: Box<Decided>) {
        let kind = match decided.purpose {
            Purpose::Reset | Purpose::Checkpoint(_) => Kind::Checkpoints,
            Purpose::Expiry | Purpose::Host => {
                let revoked = decided.decision.as_ref().map_or(&[][..], Decision::revoked);
                let has_items = |id: &LeaseId| self.core.has_items(*id);
                if self.range_deleter.is_some() && revoked.iter().any(has_items) {
                    self.errands.ring_deletions();
                    Kind::Deletions
                } else {
                    Kind::Expiries
                }
            }
        };
        self.own.of_mut(kind).push_back(decided);
    }

    /// The revokes of these leases are over, whatever came of them.
    fn end_revokes(&mut self, revocations: &[Revocation]) {
        for one in revocations {
            self.own.revoking.remove(&one.id);
        }
    }
}

impl Shared {
    /// Carries out those of the lessor's own commands that are decided. Returns whether there were
    /// any.
    pub(super) fn carry_out_own(&self, kind: Kind) -> bool {
        let mut some = false;
        // Looked at beside others: mostly there is nothing.
        while self.state.read(|state| !state.own.of(kind).is_empty()) {
            let next = self.state.with(|state| state.own.of_mut(kind).pop_front());
            let Some(decided) = next else {
                break;
            };
            some = true;
            self.carry_out_one(*decided);
        }
        some
    }

    /// Carries out those of the lessor's own commands that the end of a command of this thread's has let
    /// be decided, where no thread of the lessor's does: others wait behind them.
    pub(super) fn help(&self) {
        if self.is_manual() && !self.state.is_inside() {
            for kind in [Kind::Expiries, Kind::Deletions, Kind::Checkpoints] {
                self.carry_out_own(kind);
            }
        }
    }

    fn carry_out_one(&self, decided: Decided) {
        let purpose = decided.purpose;
        let subject = Subject::of(decided.decision.as_ref());
        if let Err(error) = self.make_room() {
            self.abandon(decided.decision);
            return self.own_failed(purpose, subject, error);
        }
        match self.carry_out(decided) {
            // A recovery or an epoch has come between.
            Ok(Outcome::Void(job)) => self.state.with(|state| {
                if !state.is_stopped {
                    state.admit(job, None);
                }
            }),
            Ok(Outcome::Done(done)) => {
                if let Some((Command::Revoke(revocations), Answer::Revoked(answers))) = &done {
                    self.observe_revoked(revocations, answers);
                }
                self.own_done(purpose, subject);
            }
            Err(error) => self.own_failed(purpose, subject, error),
        }
    }

    fn own_done(&self, purpose: Purpose, subject: Subject) {
        match subject {
            Subject::Revocations(revocations) => {
                self.state.with(|state| state.end_revokes(&revocations));
            }
            Subject::Checkpoints(records) => {
                self.end_checkpoints(purpose, records, Ok(()));
            }
        }
    }

    fn own_failed(&self, purpose: Purpose, subject: Subject, error: LeaseError) {
        match subject {
            // If the range deleter refuses one of the leases, the others go without it.
            Subject::Revocations(revocations)
                if revocations.len() > 1 && matches!(error, LeaseError::RangeDeleter(_)) =>
            {
                self.state.with(|state| {
                    for one in revocations {
                        state.admit_own(one.into(), Purpose::Expiry);
                    }
                });
            }
            Subject::Revocations(revocations) => {
                self.attempt_failed(&revocations, &error);
                self.state.with(|state| state.end_revokes(&revocations));
            }
            Subject::Checkpoints(records) => self.end_checkpoints(purpose, records, Err(error)),
        }
    }

    fn end_checkpoints(
        &self,
        purpose: Purpose,
        records: Vec<Checkpoint>,
        result: Result<(), LeaseError>,
    ) {
        if let Purpose::Checkpoint(number) = purpose {
            let outcome = match &result {
                Ok(()) => ProposalOutcome::Applied,
                Err(_) => ProposalOutcome::Failed,
            };
            self.report(&CheckpointBatch { number, records }, outcome);
            if let Err(error) = result {
                self.observe_failure(&error);
            }
        } else {
            self.state.with(|state| state.end_resets(&records, &result));
        }
    }
}

impl Subject {
    fn of(decision: Option<&Decision>) -> Self {
        match decision.map(Decision::command) {
            Some(Command::Revoke(revocations)) => Self::Revocations(revocations.clone()),
            Some(Command::Checkpoint(records)) => Self::Checkpoints(records.clone()),
            _ => unreachable!("the lessor gives itself no other commands"),
        }
    }
}
