use lease_core::{LeaseId, Lessor, Revocation, probe};

use super::question::Question;
use super::renew::Asker;
use super::report::remaining_ms;
use super::{Host, Pending, hear};
use crate::event::{Event, Name};
use crate::plan::End;
use crate::wire::{Ask, Message, Reply, Request};

impl Host {
    /// What a client asks. A member that does not take itself for the primary forwards it, if it may.
    pub(super) fn serve(&mut self, call: u64, ask: Ask, forward: bool) {
        if self.lessor.primary_epoch().is_none() {
            match Question::of(ask).filter(|_| forward) {
                Some(question) => self.forward(call, ask, question),
                None => self.reply_not_primary(call),
            }
            return;
        }
        let request = match ask {
            Ask::Renew { id } => return self.ask_to_renew(Asker::Client(call), id),
            Ask::TimeToLive { id } => return self.tell_time_to_live(call, id),
            Ask::Grant { id, ttl } => match self.lessor.admit_ttl(ttl) {
                Ok(ttl) => Request::Grant { id, ttl },
                Err(_) => return self.reply(call, Reply::Refused),
            },
            Ask::Revoke { id } => Request::Revoke(vec![Revocation::by_user(id)]),
            Ask::Put { key, lease } => Request::Put { key, lease },
            Ask::GrantNew { .. } | Ask::RenewMany { .. } | Ask::Look { .. } => {
                unreachable!("{ask:?} is for replicas")
            }
        };
        self.propose(request, Pending::Client { call, ask });
    }

    pub(super) fn reply(&self, call: u64, reply: Reply) {
        self.send(End::Clients, &Message::Reply { call, reply });
    }

    pub(super) fn reply_not_primary(&self, call: u64) {
        probe::mark("host: a client asks a member that is no primary");
        self.reply(call, Reply::NotPrimary);
    }

    fn tell_time_to_live(&self, call: u64, id: LeaseId) {
        let answer = self.lessor.lookup(id).and_then(|lease| {
            let left_ms = remaining_ms(&lease)?;
            let name = Name::new(id, lease.incarnation());
            Some((name, left_ms, lease.ttl().as_secs() * 1000))
        });
        let event = Event::ToldTimeToLive {
            node: self.node,
            index: self.applied,
            lease: id.get(),
            answer,
        };
        hear(self, event);
        self.reply(call, Reply::Done);
    }
}
