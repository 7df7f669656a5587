use super::super::Shared;
use super::super::expiry::RevokedItems;
use super::super::isolate::isolate;
use super::super::job::{Call, Decided, Done, Job, Seat};
use super::super::road::Outcome;
use super::aside::{Aside, Asked};
use super::queue::{Awaitable, Queue};
use super::reply::Reply;
use crate::sync::thread;
use crate::sync::{Arc, Bell, Deadline, Mutex, MutexGuard, Slot, lock};
use crate::{Decision, HostError, LeaseError};

/// Takes the commands of tasks down the road, which must not wait there themselves.
///
/// One thread lines up all that have come, and those that are decided together are written in one
/// transaction: however many tasks wait, there is one thread, and a commit for many of them. It runs no code
/// of the host's but the backend's, and the observer's when none of its commands is on the road: what
/// a range deleter is called for is done aside.
pub(super) struct Carrier {
    shared: Arc<Shared>,
    inbox: Mutex<Inbox>,
    bell: Arc<Bell>,
    pub(super) aside: Arc<Aside>,
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

/// A command that is in the line.
struct Standing {
    number: u64,
    seat: Arc<Seat>,
    reply: Reply<Done>,
}

/// A command at the end of the road.
struct Finished {
    result: Result<Done, LeaseError>,
    items: RevokedItems,
    reply: Reply<Done>,
}

/// The most that are in the line, or in a transaction, at a time. Each looks at all that stand in the line
/// before it, and to enter so many holds the lock for some 200 µs.
const AT_A_TIME: usize = 1024;

impl Carrier {
    /// # Errors
    ///
    /// [`LeaseError::Spawn`].
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, LeaseError> {
        let carrier = Arc::new(Self {
            shared: Arc::clone(shared),
            inbox: Mutex::default(),
            bell: Arc::default(),
            aside: Arc::default(),
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
        thread::spawn("lease-tasks", run)
            .map_err(|error| LeaseError::Spawn(HostError::new(error)))?;
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
            self.bell.ring();
        }
    }

    /// Has the thread end when all that was given is done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.bell.ring();
    }

    /// Waits for the end of the thread.
    pub(super) fn join(&self, deadline: &Deadline) {
        self.end.take_waiting(deadline.left());
    }

    fn run(&self) {
        // It is not there for the lessor's own commands: it has others to carry out meanwhile.
        self.shared.state.with(|state| state.own.begin_help());
        if let Err(panic) = isolate("thread", || self.carry_until_closed()) {
            self.shared.observe_failure(&LeaseError::Panicked(panic));
            let mut inbox = self.lock();
            inbox.is_closed = true;
            let left = std::mem::take(&mut inbox.requests);
            drop(inbox);
            drop(left);
        }
        if !self.shared.state.is_poisoned() {
            self.shared.state.with(|state| state.own.end_help());
        }
    }

    fn carry_until_closed(&self) {
        let mut standing = Vec::new();
        loop {
            let has_ended = self.line_up_new(&mut standing);
            let called = take_called(&mut standing);
            if !called.is_empty() {
                self.round(called, &mut standing);
            } else if has_ended && standing.is_empty() {
                return;
            } else {
                self.bell.wait();
            }
        }
    }

    /// Lines up what has come, as far as there is room. Returns whether nothing will come any more.
    fn line_up_new(&self, standing: &mut Vec<Standing>) -> bool {
        let mut inbox = self.lock();
        let room = AT_A_TIME.saturating_sub(standing.len());
        let mut new = inbox.requests.take(room);
        let has_ended = inbox.is_closed && inbox.requests.is_empty();
        drop(inbox);
        new.retain(|request| !request.is_given_up());
        if !new.is_empty() {
            let shared = &self.shared;
            let ready = shared.time().and_then(|_| shared.make_room());
            for request in new {
                match &ready {
                    Ok(()) => standing.extend(self.line_up(request)),
                    Err(error) => request.reply.answer(Err(error.clone())),
                }
            }
        }
        has_ended
    }

    fn line_up(&self, request: Request) -> Option<Standing> {
        let Request { job, reply } = request;
        let seat = Seat::one_of_many(&self.bell);
        let its = Arc::clone(&seat);
        let admitted = self.shared.state.with(|state| {
            state.check_running()?;
            Ok(state.admit(job, Some(its)))
        });
        match admitted {
            Ok(number) => Some(Standing {
                number,
                seat,
                reply,
            }),
            Err(stopped) => {
                reply.answer(Err(stopped));
                None
            }
        }
    }

    /// Takes those that are decided to their end.
    fn round(&self, called: Vec<(Call, Reply<Done>)>, standing: &mut Vec<Standing>) {
        let mut finished = self.carry(called);
        if self.shared.observer.is_some() && !standing.is_empty() {
            // The observer may wait for a command of its own, which would wait behind one that is
            // decided and that nobody carries out meanwhile.
            let late = self.take_back(std::mem::take(standing));
            finished.extend(self.carry(late));
        }
        for one in finished {
            if let Ok(done) = &one.result {
                self.shared.tell_done(done, &one.items);
            }
            one.reply.answer(one.result);
        }
    }

    /// Takes what stands in the line out of it again. Returns those that were decided before.
    fn take_back(&self, standing: Vec<Standing>) -> Vec<(Call, Reply<Done>)> {
        let (mut late, mut again) = (Vec::new(), Vec::new());
        for Standing {
            number,
            seat,
            reply,
        } in standing
        {
            match self.shared.state.with(|state| state.withdraw(number)) {
                Some(job) => again.push(Request { job, reply }),
                None => late.push((seat.next(), reply)),
            }
        }
        self.give_again(again);
        late
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
                let items = shared.items_to_tell(&decided);
                shared.store_items(&mut decided);
                entering.push((decided, items, reply));
            }
        }
        let now = shared.time_inside();
        // Until the last of them has entered nobody else can be given the right to write by them.
        let entered = shared.state.with(|state| {
            let enter = |(decided, items, reply): (Box<Decided>, _, _)| {
                let seat = Seat::new();
                let step = state.enter(*decided, &seat, now, false);
                (step, seat, items, reply)
            };
            entering.into_iter().map(enter).collect::<Vec<_>>()
        });
        let mut again = Vec::new();
        for (step, seat, items, reply) in entered {
            // In the order in which they wait to be written: the right to write comes to the first of
            // them.
            match shared.take_step(step, &seat, now) {
                Ok(Outcome::Void(job)) => again.push(Request { job, reply }),
                Ok(Outcome::Done(done)) => finished.push(Finished {
                    result: Ok(done),
                    items,
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
        self.aside
            .run(&self.shared, Box::new(Asked { reply, work }));
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

impl Finished {
    fn of(result: Result<Done, LeaseError>, reply: Reply<Done>) -> Self {
        Self {
            result,
            items: RevokedItems::default(),
            reply,
        }
    }
}

/// Takes those out that the line has called.
fn take_called(standing: &mut Vec<Standing>) -> Vec<(Call, Reply<Done>)> {
    let mut called = Vec::new();
    let mut left = Vec::new();
    for one in std::mem::take(standing) {
        match one.seat.try_next() {
            Some(call) => called.push((call, one.reply)),
            None => left.push(one),
        }
    }
    *standing = left;
    called
}
