use std::sync::MutexGuard;

use super::isolate::isolate;
use super::state::{Begun, State};
use super::wait::tell;
use super::{Durability, Shared};
use crate::observer::RevokeReason;
use crate::probe::planted;
use crate::{
    Answer, Checkpoint, Command, Epoch, Grant, HostError, Incarnation, LeaseError, LeaseId,
    RangeDeleter, Revocation, Revoked, Revoking, TicketOutcome, WriteBatch,
};

/// One for each revocation, in their order.
type RevokeAnswers = Vec<Result<Revoked, LeaseError>>;

/// What a try to revoke leases in one critical section came to.
enum AtOnce {
    /// The backend is so far behind that it comes first.
    Overfull,
    /// Somebody else revokes one of the leases.
    Busy,
    /// Done; tells also whether the writer must be woken.
    Revoked(RevokeAnswers, bool),
}

/// How many leases are revoked in one critical section.
const REVOCATIONS_PER_LOCK: usize = 256;

impl Shared {
    /// Grants a lease. Answers also whether its time runs: on the primary.
    pub(super) fn grant(&self, grant: &Grant) -> Result<(Incarnation, bool), LeaseError> {
        let granted = match self.options.durability {
            Durability::Batched { max_writes, .. } => self.grant_now(grant, max_writes.get())?,
            Durability::EveryCommand => {
                let incarnation = self.grant_then(grant, WriteBatch::default())?;
                (incarnation, self.is_primary())
            }
        };
        self.observe(|observer| observer.granted(grant.id, grant.ttl));
        Ok(granted)
    }

    /// Grants a lease in one critical section.
    fn grant_now(
        &self,
        grant: &Grant,
        max_writes: usize,
    ) -> Result<(Incarnation, bool), LeaseError> {
        let now = self.clock.now();
        loop {
            let granted = self.state.with(|state| {
                state.check_running()?;
                if state.journal.is_overfull(max_writes) {
                    return Ok(None);
                }
                let State { core, journal, .. } = state;
                let incarnation = core.grant(now, grant, &mut journal.pending)?;
                let answer = (incarnation, core.is_primary());
                let wakes = (journal.touch(now, max_writes), state.oversleepers());
                Ok::<_, LeaseError>(Some((answer, wakes)))
            })?;
            if let Some((answer, (wakes_writer, oversleepers))) = granted {
                self.wakers.wake(wakes_writer, oversleepers);
                return Ok(answer);
            }
            self.flush().map_err(LeaseError::Backend)?;
        }
    }

    /// Grants a lease with its own or the host's writes before it.
    fn grant_then(&self, grant: &Grant, mut writes: WriteBatch) -> Result<Incarnation, LeaseError> {
        let incarnation = self.state.with(|state| {
            state.check_running()?;
            state.core.begin_grant(grant, &mut writes)
        })?;
        self.commit(writes, vec![Begun::Grant(grant.id)])?;
        Ok(incarnation)
    }

    /// Revokes leases in one transaction, each on its own: one that is unknown or stale does not
    /// stop the others. `writes` is committed with them.
    pub(super) fn revoke(
        &self,
        revocations: &[Revocation],
        mut writes: WriteBatch,
    ) -> Result<RevokeAnswers, LeaseError> {
        let answers = match self.revoke_now(revocations, &mut writes)? {
            Some(answers) => answers,
            None => {
                self.check_backlog()?;
                self.revoke_then(revocations, writes)?
            }
        };
        if self.observer.is_some() {
            self.observe_revoked(revocations, &answers);
        }
        Ok(answers)
    }

    /// Revokes leases in one critical section, if nobody has to be asked for anything meanwhile: no
    /// commit is waited for and no range deleter is set.
    fn revoke_now(
        &self,
        revocations: &[Revocation],
        writes: &mut WriteBatch,
    ) -> Result<Option<RevokeAnswers>, LeaseError> {
        let Durability::Batched { max_writes, .. } = self.options.durability else {
            return Ok(None);
        };
        if revocations.len() > REVOCATIONS_PER_LOCK || self.has_range_deleter() {
            return Ok(None);
        }
        let now = self.clock.now();
        loop {
            let outcome = self.state.with(|state| {
                state.check_running()?;
                let State { core, journal, .. } = state;
                if journal.is_overfull(max_writes.get()) {
                    return Ok(AtOnce::Overfull);
                }
                if revocations.iter().any(|one| core.is_revoking(one.id)) {
                    return Ok(AtOnce::Busy);
                }
                journal.pending.append(writes);
                let answers = revocations
                    .iter()
                    .map(|one| core.revoke(now, one, &mut journal.pending))
                    .collect();
                let wakes_writer = journal.touch(now, max_writes.get());
                Ok::<_, LeaseError>(AtOnce::Revoked(answers, wakes_writer))
            })?;
            match outcome {
                AtOnce::Overfull => self.flush().map_err(LeaseError::Backend)?,
                AtOnce::Busy => return Ok(None),
                AtOnce::Revoked(answers, wakes_writer) => {
                    if wakes_writer {
                        self.wakers.wake_writer();
                    }
                    return Ok(Some(answers));
                }
            }
        }
    }

    /// Revokes leases whose items the host deletes, or whose commit is waited for.
    fn revoke_then(
        &self,
        revocations: &[Revocation],
        mut writes: WriteBatch,
    ) -> Result<RevokeAnswers, LeaseError> {
        let (answers, begun) = self.begin_revokes(revocations, &mut writes)?;
        if let Err(error) = self.delete_items(&begun, &mut writes) {
            self.cancel_revokes(&begun);
            return Err(LeaseError::RangeDeleter(error));
        }
        self.commit(writes, begun.into_iter().map(Begun::Revoke).collect())?;
        Ok(answers)
    }

    fn observe_revoked(&self, revocations: &[Revocation], answers: &[Result<Revoked, LeaseError>]) {
        for (revocation, answer) in revocations.iter().zip(answers) {
            if *answer == Ok(Revoked::Done) {
                let reason = match revocation.fence {
                    None => RevokeReason::User,
                    Some(_) => RevokeReason::Expired,
                };
                self.observe(|observer| observer.revoked(revocation.id, reason));
            }
        }
    }

    /// Applies checkpoints in one transaction. `writes` is committed with them.
    pub(super) fn checkpoint(
        &self,
        checkpoints: &[Checkpoint],
        writes: WriteBatch,
    ) -> Result<Vec<bool>, LeaseError> {
        self.check_backlog()?;
        let _one_at_a_time = self.lock_updating();
        let mut answers = Vec::new();
        self.begin_and_commit(writes, |state, writes| {
            state.check_running()?;
            let begun = state.core.begin_checkpoints(checkpoints, writes);
            answers.extend(begun.iter().map(Option::is_some));
            let begun = begun.into_iter().flatten();
            Ok(begun.map(Begun::Checkpoint).collect())
        })?;
        Ok(answers)
    }

    /// Raises the replicated epoch. `writes` is committed with it.
    pub(super) fn begin_epoch(
        &self,
        epoch: Epoch,
        writes: WriteBatch,
    ) -> Result<Epoch, LeaseError> {
        let _one_at_a_time = self.lock_updating();
        let mut current = epoch;
        self.begin_and_commit(writes, |state, writes| {
            state.check_running()?;
            current = state.core.epoch();
            if epoch <= current {
                return Ok(Vec::new());
            }
            writes.put_epoch(epoch);
            Ok(vec![Begun::Epoch(epoch)])
        })?;
        Ok(epoch.max(current))
    }

    /// Applies a replicated command and the host's writes in one transaction.
    pub(super) fn apply(
        &self,
        command: &Command,
        writes: WriteBatch,
    ) -> Result<Answer, LeaseError> {
        Ok(match command {
            Command::Grant(grant) => Answer::Granted(self.apply_grant(grant, writes)?),
            Command::Revoke(revocations) => Answer::Revoked(self.revoke(revocations, writes)?),
            Command::Checkpoint(checkpoints) => {
                Answer::Checkpointed(self.checkpoint(checkpoints, writes)?)
            }
            Command::BeginEpoch(epoch) => Answer::Epoch(self.begin_epoch(*epoch, writes)?),
        })
    }

    /// A refused grant is an answer, not an error: the host's writes go to the backend all the
    /// same.
    fn apply_grant(
        &self,
        grant: &Grant,
        writes: WriteBatch,
    ) -> Result<Result<Incarnation, LeaseError>, LeaseError> {
        self.check_backlog()?;
        let mut grant = *grant;
        if planted!("min-ttl-at-apply") {
            grant.ttl = grant.ttl.max(self.config.min_ttl);
        }
        match self.grant_then(&grant, writes.clone()) {
            Ok(incarnation) => {
                self.observe(|observer| observer.granted(grant.id, grant.ttl));
                Ok(Ok(incarnation))
            }
            Err(error @ (LeaseError::Backend(_) | LeaseError::Stopped)) => Err(error),
            Err(refusal) => {
                self.commit(writes, Vec::new())?;
                Ok(Err(refusal))
            }
        }
    }

    /// Begins the revokes in the order of the ids, so that of two callers who wait for each other's
    /// leases one has what it waits for. Answers in the order of the revocations.
    fn begin_revokes(
        &self,
        revocations: &[Revocation],
        writes: &mut WriteBatch,
    ) -> Result<(RevokeAnswers, Vec<LeaseId>), LeaseError> {
        let mut order: Vec<_> = (0..revocations.len()).collect();
        order.sort_by_key(|at| revocations[*at].id);
        let mut answers = vec![Ok(Revoked::Stale); revocations.len()];
        let mut begun = Vec::new();
        for at in order {
            let revocation = &revocations[at];
            if begun.last() == Some(&revocation.id) {
                // An earlier one of these revocations takes the lease away.
                answers[at] = Err(LeaseError::LeaseNotFound);
                continue;
            }
            match self.begin_revoke(revocation, writes) {
                Ok(Revoking::Begun) => {
                    begun.push(revocation.id);
                    answers[at] = Ok(Revoked::Done);
                }
                Ok(_) => {}
                Err(LeaseError::Stopped) => {
                    self.cancel_revokes(&begun);
                    return Err(LeaseError::Stopped);
                }
                Err(error) => answers[at] = Err(error),
            }
        }
        Ok((answers, begun))
    }

    /// Begins a revoke, after any other one of the same lease that is being written.
    fn begin_revoke(
        &self,
        revocation: &Revocation,
        writes: &mut WriteBatch,
    ) -> Result<Revoking, LeaseError> {
        loop {
            let (answer, waiter) = crossbeam_channel::bounded::<TicketOutcome>(1);
            let begun = self.state.with(|state| {
                state.check_running()?;
                let begun = state.core.begin_revoke(revocation, writes)?;
                if let Revoking::Busy(ticket) = begun {
                    state.enlist(ticket, tell(answer));
                }
                Ok::<_, LeaseError>(begun)
            })?;
            match begun {
                // Whatever the outcome, the next try sees it; the other revoke's commit bounds it.
                Revoking::Busy(_) => drop(waiter.recv()),
                begun => return Ok(begun),
            }
        }
    }

    fn lock_updating(&self) -> MutexGuard<'_, ()> {
        self.updating
            .lock()
            .expect("nothing that runs under this lock panics")
    }

    fn cancel_revokes(&self, begun: &[LeaseId]) {
        self.state.with(|state| {
            for id in begun {
                state.cancel(Begun::Revoke(*id));
            }
        });
        self.wake_oversleepers();
    }

    /// Has the host delete the items of leases that are being revoked.
    fn delete_items(&self, leases: &[LeaseId], writes: &mut WriteBatch) -> Result<(), HostError> {
        let Some(range_deleter) = self.hooks().range_deleter else {
            return Ok(());
        };
        for id in leases {
            let items = self.state.read(|state| state.core.items(*id));
            if items.is_empty() {
                continue;
            }
            isolate("range deleter", || {
                let range_deleter: &dyn RangeDeleter = &*range_deleter;
                let mut deletes = range_deleter.begin(writes)?;
                for item in &items {
                    deletes.delete_range(item.as_bytes(), None)?;
                }
                deletes.end()
            })?
            .map_err(HostError::new)?;
        }
        Ok(())
    }
}
