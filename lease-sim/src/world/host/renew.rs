use lease_core::{Epoch, LeaseError, LeaseId, Lessor, Renewal, TicketOutcome, Wait, probe};

use super::{Host, Pending, hear};
use crate::event::{Event, Name};
use crate::plan::End;
use crate::wire::{Message, Reply, Request};

/// A renewal that waits for the end of an expired lease.
pub(super) struct Waiting {
    number: u64,
    call: u64,
    wait: Wait,
    pub(super) until_ms: u64,
}

const WAIT_MS: u64 = 3_000;

impl Host {
    /// Renews a lease; the client hears of it when the leadership is confirmed.
    pub(super) fn renew(&mut self, call: u64, id: LeaseId) {
        let Some(epoch) = self.lessor.primary_epoch() else {
            self.reply_not_primary(call);
            return;
        };
        match self.lessor.try_renew(id) {
            Ok(Renewal::Renewed(ttl)) => {
                let Some(lease) = self.lessor.lookup(id) else {
                    unreachable!("lease {id} was renewed");
                };
                let incarnation = lease.incarnation();
                hear(
                    self,
                    Event::Renewed {
                        node: self.node,
                        epoch: epoch.get(),
                        name: Name::new(id, incarnation),
                    },
                );
                if probe::is_planted("host-unconfirmed-renewal") {
                    self.reply(call, Reply::Alive { incarnation, ttl });
                    return;
                }
                self.unconfirmed.insert(call, (incarnation, ttl));
                let epoch = epoch.get();
                self.send(End::Log, &Message::Confirm { call, epoch });
            }
            Ok(Renewal::Reset(checkpoint)) => {
                probe::mark("host: a renewal resets a checkpoint");
                if probe::is_planted("renew-without-reset") {
                    self.acknowledge_wrongly(call, id);
                    return;
                }
                if probe::is_planted("host-acknowledges-before-reset") {
                    self.acknowledge_wrongly(call, id);
                }
                self.resetting.insert(call, id);
                let request = Request::Checkpoint(vec![checkpoint]);
                self.propose(request, Pending::Reset { call });
            }
            Ok(_) if probe::is_planted("renew-expiring") => self.acknowledge_wrongly(call, id),
            Ok(_) => self.wait(call, id),
            Err(LeaseError::NotPrimary) => self.reply_not_primary(call),
            Err(_) => self.reply(call, Reply::Refused),
        }
    }

    /// Whether this member still led after it had renewed.
    pub(super) fn confirmed(&mut self, call: u64, leads: bool) {
        let Some((incarnation, ttl)) = self.unconfirmed.remove(&call) else {
            return;
        };
        if leads {
            self.reply(call, Reply::Alive { incarnation, ttl });
        } else {
            probe::mark("host: a renewal is not confirmed");
            self.reply_not_primary(call);
        }
    }

    /// Ends the waits that are over.
    pub(super) fn poll_waits(&mut self) {
        let now_ms = self.world.now_ms();
        let mut at = 0;
        while let Some(waiting) = self.waits.get(at) {
            let outcome = waiting.wait.try_outcome();
            if outcome.is_none() && waiting.until_ms > now_ms {
                at += 1;
                continue;
            }
            let waiting = self.waits.remove(at);
            let event = Event::WaitEnded {
                node: self.node,
                wait: waiting.number,
            };
            hear(self, event);
            self.end_wait(&waiting, outcome);
        }
    }

    fn wait(&mut self, call: u64, id: LeaseId) {
        let Some(wait) = self.lessor.wait(id) else {
            self.reply(call, Reply::Refused);
            return;
        };
        self.wait_count += 1;
        let waiting = Waiting {
            number: self.wait_count,
            call,
            wait,
            until_ms: self.world.now_ms() + WAIT_MS,
        };
        let event = Event::WaitBegan {
            node: self.node,
            wait: waiting.number,
            until_ms: waiting.until_ms,
        };
        hear(self, event);
        self.waits.push(waiting);
    }

    fn end_wait(&mut self, waiting: &Waiting, outcome: Option<TicketOutcome>) {
        let call = waiting.call;
        match outcome {
            Some(TicketOutcome::NotPrimary) => {
                probe::mark("host: a demotion ends a wait");
                self.reply_not_primary(call);
            }
            Some(_) => {
                probe::mark("host: a revoke ends a wait");
                self.reply(call, Reply::Refused);
            }
            None => {
                probe::mark("host: a wait reaches its deadline");
                self.reply(call, Reply::Refused);
            }
        }
    }

    /// What a host must not do.
    fn acknowledge_wrongly(&self, call: u64, id: LeaseId) {
        if let Some(lease) = self.lessor.lookup(id) {
            let event = Event::Renewed {
                node: self.node,
                epoch: self.lessor.primary_epoch().map_or(0, Epoch::get),
                name: Name::new(id, lease.incarnation()),
            };
            hear(self, event);
            let reply = Reply::Alive {
                incarnation: lease.incarnation(),
                ttl: lease.ttl(),
            };
            self.reply(call, reply);
        }
    }
}
