use super::isolate::isolate;
use super::job::{Decided, Job, LEASES_AT_ONCE, Purpose};
use super::own::{Kind, LeftTo};
use super::road::Outcome;
use super::state::State;
use super::{Driver, Shared};
use crate::probe::planted;
use crate::sync::thread::current;
use crate::{
    Checkpoint, CheckpointBatch, Command, Decision, LeaseError, LeaseId, ProposalOutcome,
    Revocation, Timestamp,
};

/// What a command was about, for when it has failed.
enum Subject {
    Revocations(Vec<Revocation>),
    Checkpoints(Vec<Checkpoint>),
}

/// How many of so many leases that other commands touch have one place in the line. Each has its own, so
/// that none waits for the command of another one; but everybody looks at all who stand there, and so
/// they must not be very many.
const fn in_line_together(busy: usize) -> usize {
    if busy > 32 { LEASES_AT_ONCE } else { 1 }
}

/// How often the thread of range deleters is away when the turn of a command comes, before it rests for it.
const PATIENCE: u32 = if cfg!(shuttle) { 1 } else { 2 };

/// How many commands are lined up in one hold of the lock, if they have few leases.
const LINED_UP_AT_ONCE: usize = 32;

impl State {
    /// Has leases revoked that have expired, unless that is on its way.
    pub(super) fn revoke_own(&mut self, revocations: &[Revocation]) {
        let own = &mut self.own;
        let is_new = |one: &&Revocation| own.begin_revoke(one);
        let new: Vec<_> = revocations.iter().filter(is_new).copied().collect();
        self.queue_revokes(new);
    }

    fn queue_revokes(&mut self, revocations: Vec<Revocation>) {
        let needs_deleter = |one: &Revocation| self.needs_deleter(one.id);
        let (deletions, others): (Vec<_>, Vec<_>) =
            revocations.into_iter().partition(needs_deleter);
        for (kind, some) in [(Kind::Expiries, others), (Kind::Deletions, deletions)] {
            if !some.is_empty() {
                self.queue_own(kind, Job::own(Command::Revoke(some), Purpose::Expiry, 0));
            }
        }
    }

    /// Has checkpoints applied.
    pub(super) fn checkpoint_own(&mut self, checkpoints: Vec<Checkpoint>, purpose: Purpose) {
        if !checkpoints.is_empty() {
            let job = Job::own(Command::Checkpoint(checkpoints), purpose, 0);
            self.queue_own(Kind::Checkpoints, job);
        }
    }

    fn queue_own(&mut self, kind: Kind, job: Job) {
        self.own.push(kind, job);
        self.ring_own(kind);
    }

    pub(super) fn ring_own(&mut self, kind: Kind) {
        // The alarms ring the others.
        if kind == Kind::Deletions && self.driver == Driver::Threads {
            self.errands.ring_deletions();
        }
    }

    /// Rings those whose own commands a recovery or an epoch has kept.
    pub(super) fn ring_kept(&mut self) {
        if self.has_own(Kind::Deletions) {
            self.ring_own(Kind::Deletions);
        }
    }

    /// Whether the thread of a kind has something to do. Not while nothing can be decided at all.
    pub(super) fn has_own(&self, kind: Kind) -> bool {
        self.own.has_work(kind, self.driver) && !self.is_kept() && !self.is_stopped
    }

    fn needs_deleter(&self, id: LeaseId) -> bool {
        self.range_deleter.is_some() && self.core.has_items(id)
    }

    /// Which thread carries a command of the lessor's own out, as things are now.
    fn kind_of(&self, job: &Job) -> Kind {
        match &job.command {
            Some(Command::Revoke(revocations)) => {
                if revocations.iter().any(|one| self.needs_deleter(one.id)) {
                    Kind::Deletions
                } else {
                    Kind::Expiries
                }
            }
            _ => Kind::Checkpoints,
        }
    }

    /// The turn of one of the lessor's own commands has come. Returns it, and who carries it out, if it is
    /// to be decided; else it stands aside.
    pub(super) fn call_own(&mut self, job: Job) -> Option<(Kind, LeftTo, Job)> {
        let kind = self.kind_of(&job);
        if let Some(left_to) = self.left_to(kind, job.stood_aside) {
            return Some((kind, left_to, job));
        }
        let stood_aside = job.stood_aside.saturating_add(1);
        self.own.put_aside(kind, Job { stood_aside, ..job });
        self.ring_own(kind);
        None
    }

    /// Who would carry out one of this kind that is decided now: its thread, which is there; or this
    /// thread, which looks for one, or does it before it waits for anything. That is one at a time, and
    /// not in code of the host's, which may wait for it. `None` if nobody would.
    fn left_to(&self, kind: Kind, stood_aside: u32) -> Option<LeftTo> {
        if self.own.is_sought(kind) {
            return Some(LeftTo::ThisThread);
        }
        let is_threads = self.driver == Driver::Threads;
        if is_threads && self.own.may_decide(kind) {
            return Some(LeftTo::ThreadOfItsKind);
        }
        let is_its_turn = if is_threads {
            // A range deleter that hangs keeps its own thread, and no command that is done.
            stood_aside > 0 && kind != Kind::Deletions
        } else {
            self.own.may_decide(kind)
        };
        let may_help = is_its_turn
            && !self.own.is_any_left()
            && !self.own.is_helper(current().id())
            && !super::isolate::is_inside_any();
        may_help.then_some(LeftTo::ThisThread)
    }

    /// Leaves one that is decided for whoever carries it out.
    pub(super) fn leave_own(&mut self, kind: Kind, decided: Box<Decided>, left_to: LeftTo) {
        self.own.leave(kind, decided, left_to);
        self.ring_own(kind);
    }

    /// The next of the lessor's own commands of a kind that can be carried out, by the thread that asks;
    /// and whether another look may find one.
    fn next_own(&mut self, kind: Kind) -> (Option<Box<Decided>>, bool) {
        if !self.has_own(kind) {
            return (None, false);
        }
        self.own.seek(Some(kind));
        let mut next = self.own.take(kind);
        let (mut jobs, mut leases) = (0, 0);
        while next.is_none()
            && !self.is_kept()
            && jobs < LINED_UP_AT_ONCE
            && leases < LEASES_AT_ONCE
            && let Some(job) = self.own.pop(kind)
        {
            jobs += 1;
            leases += job.command.as_ref().map_or(0, leases_of);
            let has_patience = self.has_patience(kind, &job);
            let place = self.line_up(kind, job);
            next = self.own.take(kind);
            if let Some(place) = place.filter(|place| !has_patience && self.is_waiting(*place)) {
                self.own.rest_for(kind, place);
                break;
            }
        }
        self.own.seek(None);
        if next.is_some() && self.driver == Driver::Threads {
            self.own.set_away(kind, true);
        }
        let has_more = next.is_none() && self.has_own(kind);
        (next, has_more)
    }

    /// Whether the thread of a kind begins others while this one stands in the line. That of range deleters
    /// rests for one that has stood aside often enough: it would be away at each of its turns.
    fn has_patience(&self, kind: Kind, job: &Job) -> bool {
        let is_never_helped = kind == Kind::Deletions && self.driver == Driver::Threads;
        !is_never_helped || job.stood_aside < PATIENCE
    }

    /// Gives a command of the lessor's own its place in the line; its leases that others touch each their
    /// own. Returns the last of the places.
    fn line_up(&mut self, kind: Kind, job: Job) -> Option<u64> {
        let (purpose, stood_aside) = (job.purpose, job.stood_aside);
        let own = |command| Job::own(command, purpose, stood_aside);
        let mut place = None;
        match job.command {
            Some(Command::Revoke(revocations)) => {
                let free = self.line_up_busy(
                    revocations,
                    |one| one.id,
                    |some| own(Command::Revoke(some)),
                    &mut place,
                );
                let is_its =
                    |one: &Revocation| self.needs_deleter(one.id) == (kind == Kind::Deletions);
                let (free, elsewhere): (Vec<_>, Vec<_>) = free.into_iter().partition(is_its);
                self.queue_revokes(elsewhere);
                if !free.is_empty() {
                    place = Some(self.admit(own(Command::Revoke(free)), None));
                }
            }
            Some(Command::Checkpoint(checkpoints)) => {
                let free = self.line_up_busy(
                    checkpoints,
                    |one| one.id,
                    |some| own(Command::Checkpoint(some)),
                    &mut place,
                );
                if !free.is_empty() {
                    place = Some(self.admit(own(Command::Checkpoint(free)), None));
                }
            }
            _ => unreachable!("the lessor gives itself no other commands"),
        }
        place
    }

    /// Gives what other commands touch its places in the line, the last of which is noted. Returns the rest.
    fn line_up_busy<T: Copy>(
        &mut self,
        all: Vec<T>,
        id: impl Fn(&T) -> LeaseId,
        own: impl Fn(Vec<T>) -> Job,
        place: &mut Option<u64>,
    ) -> Vec<T> {
        let (busy, free): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| self.is_busy(id(one)));
        for some in busy.chunks(in_line_together(busy.len())) {
            *place = Some(self.admit(own(some.to_vec()), None));
        }
        free
    }

    /// The thread of a kind has nothing to do and goes to sleep: from now on its commands are decided
    /// when their turn comes. Returns whether it may.
    pub(super) fn rest_own(&mut self, kind: Kind) -> bool {
        let may_rest = !self.has_own(kind);
        self.own.set_away(kind, !may_rest);
        may_rest
    }
}

impl Shared {
    /// Begins a round of the thread of a kind, which may be in code of the host's from now on. What was
    /// decided while it slept comes first: nobody else carries it out.
    pub(super) fn begin_round(&self, kind: Kind) {
        let is_there = |state: &State| !state.own.is_away(kind) && !state.own.is_resting(kind);
        if !self.is_manual() && self.state.read(is_there) {
            self.state.with(|state| state.own.set_away(kind, true));
        }
        self.carry_out_own(kind);
    }

    /// Ends a round of the thread of a kind, which has nothing to do until `next`. `None` if it has.
    #[expect(clippy::option_option, reason = "there may be nothing to sleep until")]
    pub(super) fn end_round(
        &self,
        kind: Kind,
        next: Option<Timestamp>,
    ) -> Option<Option<Timestamp>> {
        let may_rest = self.is_manual() || self.state.with(|state| state.rest_own(kind));
        may_rest.then_some(next)
    }

    /// Carries out those of the lessor's own commands that can be. Returns whether there were any.
    pub(super) fn carry_out_own(&self, kind: Kind) -> bool {
        let mut some = false;
        // Looked at beside others: mostly there is nothing.
        while self.state.read(|state| state.has_own(kind)) {
            let (next, has_more) = self.state.with(|state| {
                let (next, has_more) = state.next_own(kind);
                (next.map(|decided| state.take_on(kind, decided)), has_more)
            });
            let is_some = next.is_some();
            if let Some(taken) = next {
                some = true;
                self.carry_out_isolated(taken);
            }
            // To line one up may have let one of another kind be decided.
            self.help();
            if !is_some && !has_more {
                break;
            }
            self.state.give_way();
        }
        some
    }

    /// Carries out that one of the lessor's own commands that the end of a command of this thread's has
    /// let be decided, where no thread of the lessor's does: others wait behind it.
    pub(super) fn help(&self) {
        let me = current().id();
        for kind in Kind::ALL {
            if !self.state.read(|state| state.own.is_left_to(me)) {
                return;
            }
            let mine = self.state.with(|state| {
                let mine = state.own.take_left_to(kind, me)?;
                Some(state.take_on(kind, mine))
            });
            if let Some(taken) = mine {
                self.carry_out_isolated(taken);
            }
        }
    }

    /// Takes one of those that are left to this thread, which is not to carry it out itself.
    #[cfg(feature = "async")]
    pub(super) fn take_left(&self) -> Option<Taken> {
        let me = current().id();
        if !self.state.read(|state| state.own.is_left_to(me)) {
            return None;
        }
        self.state.with(|state| {
            let left = |kind: Kind| Some((kind, state.own.take_left_to(kind, me)?));
            let (kind, decided) = Kind::ALL.into_iter().find_map(left)?;
            Some(state.take_on(kind, decided))
        })
    }

    /// Nobody carries it out: it stands aside.
    #[cfg(feature = "async")]
    pub(super) fn give_back(&self, taken: Taken) {
        let Taken {
            kind,
            decided,
            generation,
        } = taken;
        self.state.with(|state| {
            let (purpose, decision) = (decided.purpose, decided.decision);
            let command = decision.map(|decision| state.core.abandon(decision));
            if let Some(command) = command
                && state.own.generation() == generation
            {
                state.own.put_aside(kind, Job::own(command, purpose, 1));
            }
            if state.driver == Driver::Manual {
                state.own.set_away(kind, false);
            }
            state.advance();
        });
    }

    /// A panic of the host's code, where nobody expects one, is not the panic of whoever helps.
    pub(super) fn carry_out_isolated(&self, taken: Taken) {
        if let Err(panic) = isolate("thread", || self.carry_out_one(taken)) {
            self.observe_failure(&LeaseError::Panicked(panic));
        }
    }

    fn carry_out_one(&self, taken: Taken) {
        let Taken {
            kind,
            decided,
            generation,
        } = taken;
        let _help = Help::begin(self, kind);
        let purpose = decided.purpose;
        let subject = Subject::of(decided.decision.as_ref());
        if let Err(error) = self.make_room() {
            self.abandon(decided.decision);
            return self.own_failed(purpose, subject, error, generation);
        }
        match self.carry_out(*decided) {
            // An epoch has come between, or a recovery: then it was meant for another state.
            Ok(Outcome::Void(job)) => self.state.with(|state| {
                if state.own.generation() == generation {
                    let kind = state.kind_of(&job);
                    state.queue_own(kind, job);
                }
            }),
            Ok(Outcome::Done(_)) => self.own_done(purpose, subject),
            Err(error) => self.own_failed(purpose, subject, error, generation),
        }
    }

    fn own_done(&self, purpose: Purpose, subject: Subject) {
        match subject {
            Subject::Revocations(revocations) => {
                self.state.with(|state| state.own.end_revokes(&revocations));
            }
            Subject::Checkpoints(records) => {
                self.end_checkpoints(purpose, records, Ok(()));
            }
        }
    }

    fn own_failed(&self, purpose: Purpose, subject: Subject, error: LeaseError, generation: u64) {
        match subject {
            // If the range deleter refuses one of the leases, the others go without it.
            Subject::Revocations(revocations)
                if revocations.len() > 1
                    && matches!(error, LeaseError::RangeDeleter(_))
                    && !planted!("alone-one-refusal-keeps-all") =>
            {
                self.state.with(|state| {
                    let is_for_it = state.own.generation() == generation;
                    for one in revocations.into_iter().filter(|_| is_for_it) {
                        state.queue_revokes(vec![one]);
                    }
                });
            }
            Subject::Revocations(revocations) => {
                if !planted!("alone-refused-revokes-are-not-tried-again") {
                    self.state.with(|state| state.own.end_revokes(&revocations));
                }
                self.attempt_failed(&revocations, &error);
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
                self.observe_failure_of_own(&error);
            }
        } else {
            self.state.with(|state| state.end_resets(&records, &result));
        }
    }

    /// Tells the observer, unless the lessor was stopped: then nothing has failed.
    pub(super) fn observe_failure_of_own(&self, error: &LeaseError) {
        if !matches!(error, LeaseError::Stopped) {
            self.observe_failure(error);
        }
    }
}

/// Of how many leases a command of the lessor's own is.
const fn leases_of(command: &Command) -> usize {
    match command {
        Command::Revoke(revocations) => revocations.len(),
        Command::Checkpoint(checkpoints) => checkpoints.len(),
        _ => 0,
    }
}

impl State {
    fn take_on(&mut self, kind: Kind, decided: Box<Decided>) -> Taken {
        if self.driver == Driver::Manual {
            self.own.set_away(kind, true);
        }
        Taken {
            kind,
            decided,
            generation: self.own.generation(),
        }
    }
}

/// A command of the lessor's own that a thread is about to carry out.
pub(super) struct Taken {
    pub(super) kind: Kind,
    decided: Box<Decided>,
    // For which state it was decided.
    generation: u64,
}

/// A command of the lessor's own that is carried out.
struct Help<'a> {
    shared: &'a Shared,
    kind: Kind,
}

impl<'a> Help<'a> {
    fn begin(shared: &'a Shared, kind: Kind) -> Self {
        shared.state.with(|state| state.own.begin_help());
        Self { shared, kind }
    }
}

impl Drop for Help<'_> {
    fn drop(&mut self) {
        let shared = self.shared;
        if !shared.state.is_poisoned() {
            shared.state.with(|state| {
                state.own.end_help();
                // Else its thread rests when it has nothing to do.
                if shared.is_manual() {
                    state.own.set_away(self.kind, false);
                }
            });
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
