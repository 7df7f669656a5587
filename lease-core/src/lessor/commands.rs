use std::ops::ControlFlow;

use super::Shared;
use super::job::{Done, Job, LEASES_AT_ONCE, Purpose, Refusal};
use super::state::State;
use super::told::{RevokedItems, Told};
use crate::observer::LessorEvent;
use crate::probe::{planted, sized};
use crate::{
    Answer, Command, Epoch, Grant, Incarnation, LeaseError, LeaseId, LeaseItem, LessorCore,
    Revocation, Revoked, WriteBatch,
};

/// The most leases, or items, of a command that is decided and applied under one hold of the lock.
const AT_ONCE: usize = 256;

/// Whether a command that is done at once may wait for a backend that is far behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    MayWait,
    MustNotWait,
}

/// What a try to do a command at once came to.
enum AtOnce<T> {
    Done(Result<T, LeaseError>),
    /// It has to go down the road.
    Road,
    /// The backend is so far behind that it comes first.
    Full,
}

/// The answers of leases that are revoked a part at a time.
pub(super) struct Parts {
    pub(super) answers: Vec<Result<Revoked, LeaseError>>,
    // How many there are to be.
    len: usize,
}

/// The parts of these revocations.
pub(super) fn parts_of(revocations: &[Revocation]) -> impl Iterator<Item = &[Revocation]> {
    revocations.chunks(sized!(LEASES_AT_ONCE))
}

impl Parts {
    pub(super) fn of(revocations: &[Revocation]) -> Self {
        let len = revocations.len();
        Self {
            answers: Vec::with_capacity(len),
            len,
        }
    }

    /// Adds the answers of the next part. If that has failed it is the last one: the failure is the answer
    /// of all that are not revoked.
    ///
    /// # Errors
    ///
    /// That of the first part, with which nothing was revoked.
    pub(super) fn add(
        &mut self,
        part: Result<Vec<Result<Revoked, LeaseError>>, LeaseError>,
    ) -> Result<ControlFlow<()>, LeaseError> {
        match part {
            Ok(answers) => {
                self.answers.extend(answers);
                Ok(ControlFlow::Continue(()))
            }
            Err(error) if self.answers.is_empty() => Err(error),
            Err(error) => {
                self.answers.resize(self.len, Err(error));
                Ok(ControlFlow::Break(()))
            }
        }
    }
}

/// What came of a command that was done at once; if it was not, nothing, and the host's writes come back.
type Tried<T> = (WriteBatch, Option<Result<T, LeaseError>>);

impl Shared {
    /// Grants a lease. Returns also whether its time runs: on the primary.
    pub(super) fn grant(
        &self,
        grant: &Grant,
        writes: WriteBatch,
    ) -> Result<(Incarnation, bool), LeaseError> {
        let (writes, done) = self.grant_at_once(Haste::MayWait, grant, writes);
        done.unwrap_or_else(|| {
            let done = self.go(Job::new((*grant).into(), writes, Refusal::Drops))?;
            self.tell_done(&done, &Told::default());
            Ok((granted(done)?, self.note_granted()))
        })
    }

    pub(super) fn grant_at_once(
        &self,
        haste: Haste,
        grant: &Grant,
        writes: WriteBatch,
    ) -> Tried<(Incarnation, bool)> {
        let (writes, done) = self.at_once_if(
            haste,
            writes,
            |_| true,
            |core, now, rows| {
                let incarnation = core.grant(now, grant, rows)?;
                Ok((incarnation, core.is_primary()))
            },
        );
        if let Some(Ok((_, runs))) = done {
            self.observe_granted(grant);
            if !runs {
                self.note_granted();
            }
        }
        (writes, done)
    }

    fn observe_granted(&self, Grant { id, ttl, .. }: &Grant) {
        self.observe(|| LessorEvent::Granted { id: *id, ttl: *ttl });
    }

    /// Tells the observer what a command that went down the road has done.
    pub(super) fn tell_done(&self, done: &Done, told: &Told) {
        match done {
            Some((Command::Grant(grant), Answer::Granted(Ok(_)))) => self.observe_granted(grant),
            Some((Command::Revoke(revocations), Answer::Revoked(answers))) => {
                self.observe_revoked(revocations, answers, &told.revoked);
            }
            _ => self.observe_changes(&told.changes),
        }
    }

    /// Revokes one lease.
    pub(super) fn revoke(&self, id: LeaseId, writes: WriteBatch) -> Result<(), LeaseError> {
        let (writes, done) = self.revoke_at_once(Haste::MayWait, id, writes);
        done.unwrap_or_else(|| {
            let revocations = vec![Revocation::by_user(id)];
            let answers = self.revoke_on_road(revocations, writes, Refusal::Drops)?;
            answers.into_iter().try_for_each(|answer| answer.map(drop))
        })
    }

    pub(super) fn revoke_at_once(
        &self,
        haste: Haste,
        id: LeaseId,
        writes: WriteBatch,
    ) -> Tried<()> {
        let revocation = Revocation::by_user(id);
        let (writes, done) = self.at_once_if(
            haste,
            writes,
            |state| !state.has_to_delete(&[revocation]) && !self.has_to_copy(state, &[revocation]),
            |core, now, rows| core.revoke(now, &revocation, rows),
        );
        let done = done.map(|revoked| {
            let answer = revoked?;
            self.observe_revoked(&[revocation], &[Ok(answer)], &RevokedItems::default());
            Ok(())
        });
        (writes, done)
    }

    /// Revokes leases, each on its own: one that is unknown or stale does not stop the others. Once
    /// some are revoked, a failure is the answer of all that are not.
    pub(super) fn revoke_many(
        &self,
        revocations: Vec<Revocation>,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        if revocations.len() <= sized!(LEASES_AT_ONCE) {
            return self.revoke_together(revocations);
        }
        let mut parts = Parts::of(&revocations);
        for some in parts_of(&revocations) {
            if parts.add(self.revoke_together(some.to_vec()))?.is_break() {
                break;
            }
        }
        Ok(parts.answers)
    }

    /// Revokes leases in one transaction.
    fn revoke_together(
        &self,
        revocations: Vec<Revocation>,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        if revocations.len() > sized!(AT_ONCE) {
            return self.revoke_on_road(revocations, WriteBatch::default(), Refusal::Drops);
        }
        let (writes, done) = self.at_once_if(
            Haste::MayWait,
            WriteBatch::default(),
            |state| !state.has_to_delete(&revocations) && !self.has_to_copy(state, &revocations),
            |core, now, rows| {
                let revoke = |one| core.revoke(now, one, rows);
                Ok(revocations.iter().map(revoke).collect::<Vec<_>>())
            },
        );
        match done {
            Some(answers) => {
                let answers = answers?;
                self.observe_revoked(&revocations, &answers, &RevokedItems::default());
                Ok(answers)
            }
            None => self.revoke_on_road(revocations, writes, Refusal::Drops),
        }
    }

    fn revoke_on_road(
        &self,
        revocations: Vec<Revocation>,
        writes: WriteBatch,
        refusal: Refusal,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        let done = self.go(Job::new(Command::Revoke(revocations), writes, refusal))?;
        match done {
            Some((_, Answer::Revoked(answers))) => Ok(answers),
            _ => unreachable!("a revoke is answered as one"),
        }
    }

    /// Attaches items to a lease.
    pub(super) fn attach(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        let (writes, done) = self.attach_at_once(Haste::MayWait, id, items, writes);
        done.unwrap_or_else(|| {
            let items = items.to_vec();
            let job = Job::new(Command::Attach { id, items }, writes, Refusal::Drops);
            attached(self.go(job)?)
        })
    }

    pub(super) fn attach_at_once(
        &self,
        haste: Haste,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Tried<()> {
        self.items_at_once(haste, items, writes, |core| core.attach(id, items))
    }

    /// Changes whose items these are at once, if they are few, stored by nobody, and told to nobody.
    fn items_at_once(
        &self,
        haste: Haste,
        items: &[LeaseItem],
        writes: WriteBatch,
        mut change: impl FnMut(&mut LessorCore) -> Result<(), LeaseError>,
    ) -> Tried<()> {
        self.at_once_if(
            haste,
            writes,
            |_| {
                let is_unheard = !self.options.stores_items && !self.tells_attachments();
                items.len() <= sized!(AT_ONCE) && is_unheard
            },
            |core, _, _| change(core),
        )
    }

    /// Detaches items from a lease.
    pub(super) fn detach(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        let (writes, done) = self.detach_at_once(Haste::MayWait, id, items, writes);
        done.unwrap_or_else(|| {
            let items = items.to_vec();
            let job = Job::new(Command::Detach { id, items }, writes, Refusal::Drops);
            attached(self.go(job)?)
        })
    }

    pub(super) fn detach_at_once(
        &self,
        haste: Haste,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Tried<()> {
        self.items_at_once(haste, items, writes, |core| core.detach(id, items))
    }

    /// Takes a command of the host's log down the road. A refusal is an answer: what the host writes
    /// with it is written all the same.
    pub(super) fn apply(&self, command: Command, writes: WriteBatch) -> Result<Answer, LeaseError> {
        self.check_writes(&writes)?;
        let done = self.go(Job::new(command, writes, Refusal::Writes))?;
        if let Some((Command::Grant(_), _)) = &done {
            self.tell_done(&done, &Told::default());
        }
        match done {
            Some((_, answer)) => Ok(answer),
            None => unreachable!("a command is answered"),
        }
    }

    /// Begins an epoch, and stores it durably.
    pub(super) fn begin_epoch(&self, epoch: Epoch) -> Result<Epoch, LeaseError> {
        match self.apply(Command::BeginEpoch(epoch), WriteBatch::default())? {
            Answer::Epoch(begun) => begun,
            _ => unreachable!("the beginning of an epoch is answered as one"),
        }
    }

    /// Writes what belongs to no command.
    pub(super) fn write(&self, writes: WriteBatch) -> Result<(), LeaseError> {
        self.check_writes(&writes)?;
        let job = Job {
            command: None,
            writes,
            refusal: Refusal::Writes,
            purpose: Purpose::Host,
            stood_aside: 0,
        };
        self.go(job).map(drop)
    }

    /// Decides and applies a command under one hold of the lock, and leaves its rows and the host's
    /// `writes` in the journal: where no commit is waited for, none of the host's code is asked, and
    /// nothing else is on the road. Else `None`, and the host's writes back.
    ///
    /// It is the same road; measured, its three holds of the lock and two allocations would take a
    /// grant from 150 to 400 ns.
    fn at_once_if<T>(
        &self,
        haste: Haste,
        mut writes: WriteBatch,
        is_small: impl Fn(&State) -> bool,
        mut execute: impl FnMut(
            &mut LessorCore,
            crate::Timestamp,
            &mut WriteBatch,
        ) -> Result<T, LeaseError>,
    ) -> Tried<T> {
        if let Err(reserved) = self.check_writes(&writes) {
            return (writes, Some(Err(reserved)));
        }
        if !self.options.is_batched {
            return (writes, None);
        }
        loop {
            let now = match self.time() {
                Ok(now) => now,
                Err(error) => return (writes, Some(Err(error))),
            };
            let tried = self.state.with(|state| {
                if let Err(stopped) = state.check_running() {
                    return AtOnce::Done(Err(stopped));
                }
                if !state.is_road_free() || !is_small(state) {
                    return AtOnce::Road;
                }
                let State { core, journal, .. } = state;
                let Some(journal) = journal else {
                    return AtOnce::Road;
                };
                if journal.is_overfull() {
                    return AtOnce::Full;
                }
                let result = execute(core, now, &mut journal.pending);
                if result.is_ok() || planted!("alone-refused-writes-are-written") {
                    journal.pending.append(&mut writes);
                    journal.touch(now);
                }
                AtOnce::Done(result)
            });
            match tried {
                AtOnce::Done(result) => return (writes, Some(result)),
                AtOnce::Road => return (writes, None),
                AtOnce::Full if haste == Haste::MustNotWait => return (writes, None),
                AtOnce::Full => {
                    if let Err(error) = self.make_room() {
                        return (writes, Some(Err(error)));
                    }
                }
            }
        }
    }
}

impl State {
    /// Whether revoking these leases asks for the host's range deleter, or for more than a bounded
    /// piece of work.
    pub(super) fn has_to_delete(&self, revocations: &[Revocation]) -> bool {
        let has_items = |one: &Revocation| self.core.has_items(one.id);
        match self.range_deleter {
            Some(_) => revocations.iter().any(has_items),
            None => !self.core.is_small_revoke(revocations),
        }
    }
}

pub(super) fn granted(done: Done) -> Result<Incarnation, LeaseError> {
    match done {
        Some((_, Answer::Granted(result))) => result,
        _ => unreachable!("a grant is answered as one"),
    }
}

pub(super) fn attached(done: Done) -> Result<(), LeaseError> {
    match done {
        Some((_, Answer::Attached(result) | Answer::Detached(result))) => result,
        _ => unreachable!("an attach is answered as one, and so is a detach"),
    }
}
