use lease_core::{
    Epoch, Incarnation, LeaseError, LeaseId, Lessor, Renewal, TicketOutcome, Ttl, Wait, probe,
};

use super::report::remaining_ms;
use super::{Host, Pending, hear};
use crate::event::{Came, Event, Name, Told};
use crate::plan::End;
use crate::wire::{Message, Reply, Request};

/// Who asks for a renewal, and the number of the question.
#[derive(Clone, Copy)]
pub(super) enum Asker {
    /// A client. It hears of the renewal when the leadership is confirmed.
    Client(u64),
    /// Another member. The leadership was confirmed before.
    Member(u64),
}

/// A renewal that waits for the end of an expired lease.
pub(super) struct Waiting {
    number: u64,
    asker: Asker,
    name: Name,
    epoch: Epoch,
    wait: Wait,
    pub(super) until_ms: u64,
}

const WAIT_MS: u64 = 3_000;

impl Asker {
    const fn call(self) -> u64 {
        match self {
            Self::Client(call) | Self::Member(call) => call,
        }
    }
}

impl Host {
    /// Takes a question for a renewal.
    pub(super) fn ask_to_renew(&mut self, asker: Asker, id: LeaseId) {
        let (node, call) = (self.node, asker.call());
        hear(self, Event::RenewalAsked { node, call });
        self.renew(asker, id);
    }

    /// Renews a lease, once more if that needed a reset.
    pub(super) fn renew(&mut self, asker: Asker, id: LeaseId) {
        let Some(until_ms) = self.deadline_ms(asker) else {
            return;
        };
        let Some(epoch) = self.lessor.primary_epoch() else {
            return self.renewed(asker, Err(LeaseError::NotPrimary));
        };
        let before = self.standing(id);
        let renewal = self.lessor.try_renew(id);
        if let Some((name, is_alive)) = before {
            self.note_try(asker, epoch, name, is_alive, &renewal);
        }
        match renewal {
            Ok(Renewal::Renewed(ttl)) => {
                let Some(lease) = self.lessor.lookup(id) else {
                    unreachable!("lease {id} was renewed");
                };
                let incarnation = lease.incarnation();
                let name = Name::new(id, incarnation);
                self.world.hear_renewed(self.node, epoch.get(), name, ttl);
                self.confirm(asker, epoch, (incarnation, ttl));
            }
            Ok(Renewal::Reset(checkpoint)) => {
                probe::mark("host: a renewal resets a checkpoint");
                if probe::is_planted("renew-without-reset") {
                    self.acknowledge_wrongly(asker, id);
                    return;
                }
                if probe::is_planted("host-acknowledges-before-reset") {
                    self.acknowledge_wrongly(asker, id);
                }
                let request = Request::Checkpoint(vec![checkpoint]);
                self.propose(request, Pending::Reset { asker, id });
            }
            Ok(_) if probe::is_planted("renew-expiring") => self.acknowledge_wrongly(asker, id),
            Ok(_) => self.wait(asker, epoch, id, until_ms),
            Err(error) => self.renewed(asker, Err(error)),
        }
    }

    /// The lease, and whether it must be renewed unless it was delivered.
    fn standing(&self, id: LeaseId) -> Option<(Name, bool)> {
        let lease = self.lessor.lookup(id)?;
        let has_time = remaining_ms(&lease) > Some(0);
        // What has expired before and waits for the host is as good as delivered.
        let is_kept = self.is_suspended && self.expired.is_empty();
        if !has_time && is_kept {
            probe::mark("host: a lease whose time is up is renewed while expiry is suspended");
        }
        let name = Name::new(id, lease.incarnation());
        Some((name, has_time || is_kept))
    }

    fn note_try(
        &self,
        asker: Asker,
        epoch: Epoch,
        name: Name,
        is_alive: bool,
        renewal: &Result<Renewal, LeaseError>,
    ) {
        let event = Event::RenewalTried {
            node: self.node,
            epoch: epoch.get(),
            call: asker.call(),
            name,
            is_alive,
            came_to: match renewal {
                Ok(Renewal::Renewed(_)) => Came::Renewed,
                Ok(Renewal::Reset(_)) => Came::Reset,
                Ok(_) => Came::Expiring,
                Err(_) => Came::Refused,
            },
        };
        hear(self, event);
    }

    /// When a wait ends that begins now; `None` if nobody waits any more.
    fn deadline_ms(&self, asker: Asker) -> Option<u64> {
        match asker {
            Asker::Client(_) => Some(self.world.now_ms() + WAIT_MS),
            Asker::Member(call) => self.lease_deadline_ms(call),
        }
    }

    /// A lease was renewed. A client hears of it if this member still leads.
    fn confirm(&mut self, asker: Asker, epoch: Epoch, renewed: (Incarnation, Ttl)) {
        match asker {
            Asker::Client(call) if !probe::is_planted("host-unconfirmed-renewal") => {
                self.unconfirmed.insert(call, renewed);
                let epoch = epoch.get();
                self.send(End::Log, &Message::Confirm { call, epoch });
            }
            _ => self.renewed(asker, Ok(renewed)),
        }
    }

    /// Whether this member led when the log was asked, and how long that was.
    pub(super) fn confirmed(&mut self, call: u64, leads: bool, length: u64) {
        let Some(renewed) = self.unconfirmed.remove(&call) else {
            return self.confirmed_for_member(call, leads, length);
        };
        if !leads {
            probe::mark("host: a renewal is not confirmed");
        }
        let renewed = leads.then_some(renewed).ok_or(LeaseError::NotPrimary);
        self.renewed(Asker::Client(call), renewed);
    }

    /// Answers whoever has asked for a renewal.
    pub(super) fn renewed(
        &mut self,
        asker: Asker,
        renewed: Result<(Incarnation, Ttl), LeaseError>,
    ) {
        let (node, call) = (self.node, asker.call());
        hear(self, Event::RenewalAnswered { node, call });
        match (asker, renewed) {
            (Asker::Member(call), renewed) => self.renewed_for_member(call, renewed),
            (Asker::Client(call), Ok((incarnation, ttl))) => {
                self.reply(call, Reply::Alive { incarnation, ttl });
            }
            (Asker::Client(call), Err(LeaseError::NotPrimary)) => self.reply_not_primary(call),
            (Asker::Client(call), Err(_)) => self.reply(call, Reply::Refused),
        }
    }

    /// Ends the waits that are over.
    pub(super) fn poll_waits(&mut self) {
        let now_ms = self.world.now_ms();
        self.tell_waits(true);
        let mut at = 0;
        while let Some(waiting) = self.waits.get(at) {
            let outcome = waiting.wait.try_outcome();
            if outcome.is_none() && waiting.until_ms > now_ms {
                at += 1;
                continue;
            }
            let waiting = self.waits.remove(at);
            self.end_wait(waiting.number);
            let error = error_of(outcome);
            self.renewed(waiting.asker, Err(error));
        }
    }

    /// Tells the checkers what the lessor says to whoever waits, where that is news or all is over.
    pub(super) fn tell_waits(&self, is_running: bool) {
        for waiting in &self.waits {
            let id = waiting.wait.lease();
            let lease = self.lessor.lookup(id);
            let is_there = lease.is_some_and(|it| Name::new(id, it.incarnation()) == waiting.name);
            let is_primary = is_running && self.lessor.primary_epoch() == Some(waiting.epoch);
            let told = match waiting.wait.try_outcome() {
                None if is_there && is_primary => continue,
                None => Told::Nothing,
                Some(TicketOutcome::NotPrimary) => Told::NotPrimary,
                Some(_) => Told::Gone,
            };
            let event = Event::WaitTold {
                node: self.node,
                name: waiting.name,
                told,
                is_there,
                is_primary,
            };
            hear(self, event);
        }
    }

    fn wait(&mut self, asker: Asker, epoch: Epoch, id: LeaseId, until_ms: u64) {
        let lease = self.lessor.lookup(id);
        let wait = self.lessor.wait(id).zip(lease);
        let Some((wait, lease)) = wait else {
            return self.renewed(asker, Err(LeaseError::LeaseNotFound));
        };
        let waiting = Waiting {
            number: self.begin_wait(until_ms),
            asker,
            name: Name::new(id, lease.incarnation()),
            epoch,
            wait,
            until_ms,
        };
        self.waits.push(waiting);
    }

    /// Tells the checkers of a wait, and returns its number.
    pub(super) fn begin_wait(&mut self, until_ms: u64) -> u64 {
        self.wait_count += 1;
        let event = Event::WaitBegan {
            node: self.node,
            wait: self.wait_count,
            until_ms,
        };
        hear(self, event);
        self.wait_count
    }

    /// Tells the checkers that a wait is over.
    pub(super) fn end_wait(&self, wait: u64) {
        let node = self.node;
        hear(self, Event::WaitEnded { node, wait });
    }

    /// What a host must not do.
    fn acknowledge_wrongly(&mut self, asker: Asker, id: LeaseId) {
        if let Some(lease) = self.lessor.lookup(id) {
            let event = Event::Renewed {
                node: self.node,
                epoch: self.lessor.primary_epoch().map_or(0, Epoch::get),
                name: Name::new(id, lease.incarnation()),
            };
            hear(self, event);
            self.renewed(asker, Ok((lease.incarnation(), lease.ttl())));
        }
    }
}

/// What the end of a wait means; none is its deadline.
fn error_of(outcome: Option<TicketOutcome>) -> LeaseError {
    match outcome {
        Some(TicketOutcome::NotPrimary) => {
            probe::mark("host: a demotion ends a wait");
            LeaseError::NotPrimary
        }
        Some(_) => {
            probe::mark("host: a revoke ends a wait");
            LeaseError::LeaseNotFound
        }
        None => {
            probe::mark("host: a wait reaches its deadline");
            LeaseError::DeadlineExceeded
        }
    }
}
