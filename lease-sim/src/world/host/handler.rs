use std::time::Duration;

use lease_core::{Incarnation, LeaseError, LeaseId, Lessor, Ttl, probe};
use lease_http::Timeouts;
use lease_http::messages::{Kind, Reply, Request, check_lease};

use super::Host;
use super::renew::Asker;
use crate::plan::End;
use crate::wire::{HttpAnswer, Message};

/// A request of another member that has no answer yet. What lease-http's handler does with futures and
/// timers this does by hand, with the handler's own steps, time-outs and replies.
pub(super) struct Serving {
    node: usize,
    request: Request,
    stage: Stage,
    wait: u64,
    pub(super) until_ms: u64,
}

/// What it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The log: whether this member leads, and how far it has to apply.
    Confirmed,
    /// That this entry is applied.
    Applied(u64),
    /// The lease.
    Lease(LeaseId),
}

/// The lease that an answer is about; no refusal is about one.
type About = Option<(LeaseId, Incarnation)>;

impl Host {
    /// Takes another member's request.
    pub(super) fn hear_request(&mut self, node: usize, call: u64, path: &str, body: &[u8]) {
        // The network may bring it twice, which a connection does not.
        if self.serving.contains_key(&call) {
            return;
        }
        let request = match Request::decode(path, body) {
            Ok(request) => request,
            Err(refusal) => return self.answer_member(node, call, refusal, None),
        };
        let until_ms = self.world.now_ms() + millis(Timeouts::default().applied);
        let serving = Serving {
            node,
            request,
            stage: Stage::Confirmed,
            wait: self.begin_wait(until_ms),
            until_ms,
        };
        self.serving.insert(call, serving);
        self.wait_applied(call);
    }

    /// The host's wait for what is committed: the log says how far it is, and whether this member
    /// leads, without which it must not answer.
    fn wait_applied(&mut self, call: u64) {
        let Some(epoch) = self.lessor.primary_epoch() else {
            probe::mark("host: a request is forwarded to a member that is no primary");
            return self.caught_up(call, Some(Err(LeaseError::NotPrimary)));
        };
        if probe::is_planted("host-answers-before-caught-up") {
            return self.caught_up(call, Some(Ok(())));
        }
        let epoch = epoch.get();
        self.send(End::Log, &Message::Confirm { call, epoch });
    }

    /// The log has said whether this member leads, and how long it is.
    pub(super) fn confirmed_for_member(&mut self, call: u64, leads: bool, length: u64) {
        let serving = self.serving.get_mut(&call);
        // The network may bring this twice as well.
        let Some(serving) = serving.filter(|it| it.stage == Stage::Confirmed) else {
            return;
        };
        if !leads {
            probe::mark("host: a request is forwarded to a primary that leads no more");
            self.caught_up(call, Some(Err(LeaseError::NotPrimary)));
        } else if self.applied < length {
            probe::mark("host: a forwarded request waits for the log");
            serving.stage = Stage::Applied(length);
        } else {
            self.caught_up(call, Some(Ok(())));
        }
    }

    /// Goes on with the requests that have waited for the log, and ends those that have taken too
    /// long.
    pub(super) fn poll_serving(&mut self) {
        let now_ms = self.world.now_ms();
        while let Some((call, stage)) = self.due(now_ms) {
            match stage {
                Stage::Applied(index) if index <= self.applied => {
                    self.caught_up(call, Some(Ok(())));
                }
                Stage::Confirmed | Stage::Applied(_) => self.caught_up(call, None),
                Stage::Lease(id) => {
                    probe::mark("host: a forwarded renewal takes too long");
                    self.end_serving(call, Reply::to_renewal(id, None), None);
                }
            }
        }
    }

    fn due(&self, now_ms: u64) -> Option<(u64, Stage)> {
        let mut serving = self.serving.iter().map(|(call, it)| (*call, it));
        let due = serving.find(|(_, it)| match it.stage {
            Stage::Applied(index) if index <= self.applied => true,
            _ => it.until_ms <= now_ms,
        });
        due.map(|(call, it)| (call, it.stage))
    }

    /// The wait for what is committed is over, or its time is up.
    fn caught_up(&mut self, call: u64, applied: Option<Result<(), LeaseError>>) {
        let Some(serving) = self.serving.get(&call) else {
            return;
        };
        if let Err(refusal) = Reply::check_applied(serving.request.kind(), applied) {
            return self.end_serving(call, refusal, None);
        }
        match serving.request {
            Request::Renew(id) => match check_lease(Kind::Renew, id) {
                Ok(id) => self.renew_for_member(call, id),
                Err(refusal) => self.end_serving(call, refusal, None),
            },
            Request::TimeToLive { id, keys } => match check_lease(Kind::TimeToLive, id) {
                Ok(id) => {
                    let lease = self.lessor.lookup(id);
                    let about = lease.as_ref().map(|lease| (id, lease.incarnation()));
                    let reply = Reply::time_to_live(lease.as_ref(), keys);
                    self.end_serving(call, reply, about);
                }
                Err(refusal) => self.end_serving(call, refusal, None),
            },
            _ => unreachable!("members do not send {:?}", serving.request),
        }
    }

    fn renew_for_member(&mut self, call: u64, id: LeaseId) {
        let until_ms = self.world.now_ms() + millis(Timeouts::default().lease);
        let wait = self.begin_wait(until_ms);
        let Some(serving) = self.serving.get_mut(&call) else {
            unreachable!("request {call} is being served");
        };
        serving.stage = Stage::Lease(id);
        serving.until_ms = until_ms;
        let before = std::mem::replace(&mut serving.wait, wait);
        self.end_wait(before);
        self.ask_to_renew(Asker::Member(call), id);
    }

    /// When the wait for a lease ends, of a renewal that still has no answer.
    pub(super) fn lease_deadline_ms(&self, call: u64) -> Option<u64> {
        let serving = self.serving.get(&call)?;
        Some(serving.until_ms)
    }

    /// What became of a renewal that another member has asked for.
    pub(super) fn renewed_for_member(
        &mut self,
        call: u64,
        renewed: Result<(Incarnation, Ttl), LeaseError>,
    ) {
        if let Some(Stage::Lease(id)) = self.serving.get(&call).map(|it| it.stage) {
            let about = renewed
                .as_ref()
                .ok()
                .map(|(incarnation, _)| (id, *incarnation));
            let reply = Reply::to_renewal(id, Some(renewed.map(|(_, ttl)| ttl)));
            self.end_serving(call, reply, about);
        }
    }

    fn end_serving(&mut self, call: u64, reply: Reply, about: About) {
        if let Some(serving) = self.serving.remove(&call) {
            self.end_wait(serving.wait);
            self.answer_member(serving.node, call, reply, about);
        }
    }

    fn answer_member(&self, node: usize, call: u64, reply: Reply, about: About) {
        let answer = HttpAnswer {
            status: reply.status(),
            about: about.filter(|_| !reply.is_refusal()),
            body: reply.into_body(),
        };
        self.send(End::Node(node), &Message::HttpAnswer { call, answer });
    }
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}
