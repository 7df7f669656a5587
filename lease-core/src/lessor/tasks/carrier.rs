use std::collections::BTreeMap;

use super::super::Shared;
use super::super::carry_out::Taken;
use super::super::isolate::isolate;
use super::super::job::{Call, Decided, Done, Job, Seat};
use super::super::own::Kind;
use super::super::road::Outcome;
use super::callers::Callers;
use super::pool::{Asked, Pools, Work};
use super::queue::{Awaitable, Queue};
use super::reply::{Answers, Reply};
use super::teller::{Finished, Teller};
use crate::sync::thread;
use crate::sync::{Arc, Deadline, Mutex, MutexGuard, Slot, lock};
use crate::{Decision, HostError, LeaseError};

/// Takes the commands of tasks down the road, which must not wait there themselves.
///
/// One thread lines up all that have come, and those that are decided together are written in one
/// transaction: however many tasks wait, there is one thread, and a commit for many of them. It runs no code
/// of the host's but the backend's: what a range deleter is called for is done in [threads of its own](Pools), and so are
/// the lessor's own commands that its commands let be decided; an observer is told by the [`Teller`].
pub(super) struct Carrier {
    shared: Arc<Shared>,
    inbox: Mutex<Inbox>,
    callers: Arc<Callers>,
    pub(super) pools: Pools,
    pub(super) answers: Answers,
    teller: Option<Arc<Teller>>,
    end: Arc<Slot<()>>,
}

#[derive(Default)]
struct Inbox {
    requests: Queue<Request>,
    is_closed: bool,
}

/// A command that a task has given.
pub(super) struct Request {
    pub(super) job: Job,
    pub(super) reply: Reply<Done>,
}

/// The commands that are in the line, by numbers that rise.
#[derive(Default)]
struct Standing {
    all: BTreeMap<u64, Place>,
    next: u64,
    // How many were left when those were taken out that nobody waits for any more.
    swept: usize,
}

struct Place {
    // In the line.
    number: u64,
    reply: Reply<Done>,
}

/// The most that are lined up before others are looked at, or that are in a transaction: to enter so many
/// holds the lock for some 200 µs.
const AT_A_TIME: usize = if cfg!(shuttle) { 2 } else { 1024 };

impl Carrier {
    /// # Errors
    ///
    /// [`LeaseError::Spawn`].
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, LeaseError> {
        let teller = shared.observer.as_ref().map(|_| Teller::start(shared));
        let carrier = Arc::new(Self {
            shared: Arc::clone(shared),
            inbox: Mutex::default(),
            callers: Arc::default(),
            pools: Pools::default(),
            answers: Answers::default(),
            teller: teller.transpose()?,
            end: Arc::default(),
        });
        let its = Arc::clone(&carrier);
        let run = move || {
            its.run();
            let end = Arc::clone(&its.end);
            // Who waits for it is to have the last of what it has.
            drop(its);
            let _nobody_polls = end.put(());
        };
        let spawned = thread::spawn("lease-tasks", run);
        if spawned.is_err() {
            carrier.close_teller();
        }
        spawned.map_err(|error| LeaseError::Spawn(HostError::new(error)))?;
        Ok(carrier)
    }

    pub(super) fn give(&self, request: Request) {
        let mut inbox = self.lock();
        if inbox.is_closed {
            drop(inbox);
            request.reply.answer(Err(LeaseError::Stopped));
        } else {
            let given_up = inbox.requests.push(request);
            drop(inbox);
            drop(given_up);
            self.callers.ring();
        }
    }

    /// Has the thread end when all that was given is done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.callers.ring();
    }

    /// Waits for the end of the thread, and answers whoever would wait longer.
    pub(super) fn end(&self, deadline: &Deadline) {
        self.end.take_waiting(deadline.left());
        if let Some(teller) = &self.teller {
            teller.join(deadline);
        }
        self.pools.close(&self.shared);
        self.answers.stop(&self.shared);
        self.pools.join(deadline);
    }

    fn close_teller(&self) {
        if let Some(teller) = &self.teller {
            teller.close();
        }
    }

    fn run(&self) {
        if let Err(panic) = isolate("thread", || self.carry_until_closed()) {
            self.shared.observe_failure(&LeaseError::Panicked(panic));
            let mut inbox = self.lock();
            inbox.is_closed = true;
            let left = std::mem::take(&mut inbox.requests);
            drop(inbox);
            drop(left);
        }
        self.close_teller();
    }

    fn carry_until_closed(&self) {
        let mut standing = Standing::default();
        loop {
            self.pass_on_own();
            let has_ended = self.line_up_new(&mut standing);
            let called = standing.take(self.callers.take(AT_A_TIME));
            self.pass_on_own();
            if !called.is_empty() {
                self.tell(self.carry(called));
            } else if !self.lock().requests.is_empty() {
                // More has come than was lined up at a time.
            } else if has_ended && standing.all.is_empty() {
                return;
            } else {
                self.callers.wait();
            }
        }
    }

    /// Lines up what has come. Returns whether nothing will come any more.
    fn line_up_new(&self, standing: &mut Standing) -> bool {
        let mut inbox = self.lock();
        let mut new = inbox.requests.take(AT_A_TIME);
        let has_ended = inbox.is_closed && inbox.requests.is_empty();
        drop(inbox);
        new.retain(|request| !request.is_given_up());
        if !new.is_empty() {
            let shared = &self.shared;
            let ready = shared.time().and_then(|_| shared.make_room());
            for request in new {
                match &ready {
                    Ok(()) => self.line_up(request, standing),
                    Err(error) => request.reply.answer(Err(error.clone())),
                }
            }
            self.withdraw_given_up(standing);
        }
        has_ended
    }

    fn line_up(&self, request: Request, standing: &mut Standing) {
        let Request { job, reply } = request;
        let place = standing.next;
        let seat = Seat::one_of_many(&self.callers, place);
        let admitted = self.shared.state.with(|state| {
            state.check_running()?;
            Ok(state.admit(job, Some(seat)))
        });
        match admitted {
            Ok(number) => {
                standing.next += 1;
                standing.all.insert(place, Place { number, reply });
            }
            Err(stopped) => reply.answer(Err(stopped)),
        }
    }

    /// Takes those out of the line that nobody waits for any more, when there are twice as many as the last
    /// time: while one lease is held up tasks may come, wait for it, give up and come again.
    fn withdraw_given_up(&self, standing: &mut Standing) {
        if standing.all.len() < 2 * standing.swept.max(AT_A_TIME) {
            return;
        }
        // From the back: nobody else is let forward by it.
        let places: Vec<_> = standing.all.keys().rev().copied().collect();
        for place in places {
            let one = &standing.all[&place];
            if one.reply.is_given_up()
                && self
                    .shared
                    .state
                    .with(|state| state.withdraw(one.number))
                    .is_some()
            {
                standing.all.remove(&place);
            }
        }
        standing.swept = standing.all.len();
    }

    /// Tells of what is done whoever is to hear of it.
    fn tell(&self, finished: Vec<Finished>) {
        match &self.teller {
            Some(teller) => teller.give(finished),
            None => finished.into_iter().for_each(|one| one.tell(&self.shared)),
        }
    }

    /// Has those of the lessor's own commands carried out that this thread has let be decided: it has others
    /// to carry out, and calls no observer.
    fn pass_on_own(&self) {
        while let Some(taken) = self.shared.take_left() {
            let pool = match taken.kind {
                Kind::Deletions => &self.pools.deletions,
                Kind::Expiries | Kind::Checkpoints => &self.pools.commits,
            };
            pool.run(&self.shared, Box::new(Own(taken)));
        }
    }

    /// Before all that has come since.
    fn give_again(&self, again: Vec<Request>) {
        if !again.is_empty() {
            self.lock().requests.push_before(again);
        }
    }

    /// Writes and applies what is decided, in one transaction as far as nobody else is writing.
    fn carry(&self, called: Vec<(Call, Reply<Done>)>) -> Vec<Finished> {
        let shared = &self.shared;
        let mut finished = Vec::with_capacity(called.len());
        let mut entering = Vec::with_capacity(called.len());
        for (call, reply) in called {
            let Call::Decided(mut decided) = call else {
                finished.push(Finished::of(Err(LeaseError::Stopped), reply));
                continue;
            };
            if decided.is_dropped() {
                let done = shared.apply_decision(decided.decision.take());
                finished.push(Finished::of(Ok(done), reply));
            } else if self.needs_deleter(&decided) {
                self.set_aside(*decided, reply);
            } else {
                let told = shared.items_to_tell(&decided);
                shared.store_items(&mut decided);
                entering.push((decided, told, reply));
            }
        }
        let now = shared.time_inside();
        // Until the last of them has entered nobody else can be given the right to write by them.
        let entered = shared.state.with(|state| {
            let enter = |(decided, told, reply): (Box<Decided>, _, _)| {
                let seat = Seat::new();
                let step = state.enter(*decided, &seat, now, false);
                (step, seat, told, reply)
            };
            entering.into_iter().map(enter).collect::<Vec<_>>()
        });
        let mut again = Vec::new();
        for (step, seat, told, reply) in entered {
            // Here it may wait for a commit.
            self.pass_on_own();
            // In the order in which they wait to be written: the right to write comes to the first of
            // them.
            match shared.take_step(step, &seat, now) {
                Ok(Outcome::Void(job)) => again.push(Request { job, reply }),
                Ok(Outcome::Done(done)) => finished.push(Finished {
                    result: Ok(done),
                    told,
                    reply,
                }),
                Err(error) => finished.push(Finished::of(Err(error), reply)),
            }
        }
        self.give_again(again);
        finished
    }

    fn needs_deleter(&self, decided: &Decided) -> bool {
        let revoked = decided.decision.as_ref().map_or(&[][..], Decision::revoked);
        self.shared.state.read(|state| {
            let has_items = |id| state.core.has_items(id);
            state.range_deleter.is_some() && revoked.iter().copied().any(has_items)
        })
    }

    /// Leaves a revoke that the host's range deleter is called for to a thread that may wait for that. It
    /// loses its place in the line.
    fn set_aside(&self, decided: Decided, reply: Reply<Done>) {
        let command = self.shared.state.with(|state| {
            let command = decided.decision.map(|one| state.core.abandon(one));
            state.advance();
            command
        });
        let job = Job {
            command,
            writes: decided.writes,
            refusal: decided.refusal,
            purpose: decided.purpose,
            stood_aside: 0,
        };
        let work = move |shared: &Shared| shared.go(job);
        let asked = Box::new(Asked { reply, work });
        self.pools.deletions.run(&self.shared, asked);
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }
}

impl Awaitable for Request {
    fn is_given_up(&self) -> bool {
        self.reply.is_given_up()
    }
}

/// One of the lessor's own commands, for another thread to carry out.
struct Own(Taken);

impl Awaitable for Own {
    fn is_given_up(&self) -> bool {
        false
    }
}

impl Work for Own {
    fn run(self: Box<Self>, shared: &Shared, may_begin: Result<(), LeaseError>) {
        match may_begin {
            Ok(()) => shared.carry_out_isolated(self.0),
            Err(_) => shared.give_back(self.0),
        }
    }
}

impl Standing {
    /// Takes those out that the line has called.
    fn take(&mut self, calls: Vec<(u64, Call)>) -> Vec<(Call, Reply<Done>)> {
        let mut called = Vec::with_capacity(calls.len());
        for (place, call) in calls {
            let one = self.all.remove(&place);
            called.extend(one.map(|one| (call, one.reply)));
        }
        called
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Sender, channel};

    use futures::executor::block_on;

    use super::*;
    use crate::{AsyncLessor, BackendLessor, Driver, LeaseId, LessorEvent, NullBackend, Observer};

    struct Tells(Sender<LeaseError>);

    impl Observer for Tells {
        fn observe(&self, event: &LessorEvent<'_>) {
            if let LessorEvent::Failed(error) = event {
                let _nobody_waits = self.0.send((*error).clone());
            }
        }
    }

    /// After a panic under the lock, which is a bug, the thread panics too.
    #[test]
    fn tasks_have_an_answer_when_the_thread_panics_and_the_observer_is_told() {
        let (tells, told) = channel();
        let lessor = BackendLessor::builder(Arc::new(NullBackend)).driver(Driver::Manual);
        let lessor = lessor.observer(Arc::new(Tells(tells))).build();
        let tasks = AsyncLessor::new(lessor.expect("an empty store")).expect("there is room");
        let breaks = || tasks.lessor().shared.state.with(|_| panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(breaks)).is_err());
        let id = LeaseId::new(1).expect("not zero");
        let answer = block_on(tasks.grant(id, 60)).map(|lease| lease.id());
        assert!(
            matches!(answer, Err(LeaseError::Panicked(_) | LeaseError::Stopped)),
            "{answer:?}"
        );
        // It has the observer until its end.
        drop(tasks);
        assert!(matches!(told.recv(), Ok(LeaseError::Panicked(_))));
    }
}
