use std::collections::{BTreeSet, VecDeque};

use lease_core::{LeaseId, LessorCore, Promotion, Ticket, TicketOutcome};

/// Who waits at a machine for the end of leases, and what they are to be told, in this order.
#[derive(Default)]
pub(super) struct Tickets {
    waiting: BTreeSet<Ticket>,
    owed: VecDeque<(Ticket, TicketOutcome)>,
}

impl Tickets {
    /// Somebody waits for the end of a lease, if that is there and the machine is the primary.
    pub(super) fn wait(&mut self, core: &mut LessorCore, id: LeaseId) -> Option<String> {
        let may_wait = core.primary_epoch().is_some() && core.lookup(core.now(), id).is_some();
        let ticket = core.wait_for(id);
        self.waiting.extend(ticket);
        let is_right = ticket.map(|ticket| ticket.lease()) == may_wait.then_some(id);
        (!is_right).then(|| format!("who waits for {id} gets {ticket:?}"))
    }

    /// One of those who wait, or are owed an answer, gives up.
    pub(super) fn give_up(&mut self, core: &mut LessorCore, which: u64) {
        let owed = self.owed.iter().map(|(ticket, _)| *ticket);
        let all: Vec<_> = self.waiting.iter().copied().chain(owed).collect();
        if let Some(ticket) = all.get(which as usize % all.len().max(1)).copied() {
            core.cancel_ticket(ticket);
            self.waiting.remove(&ticket);
            self.owed.retain(|(other, _)| *other != ticket);
        }
    }

    /// A lease is gone.
    pub(super) fn revoked(&mut self, id: LeaseId) {
        let of_it: Vec<_> = self
            .waiting
            .iter()
            .filter(|one| one.lease() == id)
            .collect();
        let of_it: Vec<_> = of_it.into_iter().copied().collect();
        for ticket in of_it {
            self.waiting.remove(&ticket);
            self.owed.push_back((ticket, TicketOutcome::Revoked));
        }
    }

    /// The machine was promoted, or is not the primary any more.
    pub(super) fn changed(&mut self, promotion: &Promotion) {
        if matches!(promotion, Promotion::Changed(_)) {
            self.end_all();
        }
    }

    pub(super) fn end_all(&mut self) {
        while let Some(ticket) = self.waiting.pop_first() {
            self.owed.push_back((ticket, TicketOutcome::NotPrimary));
        }
    }

    /// What they are told is what they are owed.
    pub(super) fn wrong_told(&mut self, core: &mut LessorCore) -> Option<String> {
        let told: Vec<_> = std::iter::from_fn(|| core.poll_ticket()).collect();
        let owed: Vec<_> = self.owed.drain(..).collect();
        let waiting = core.stats().waiting;
        let is_right = told == owed && waiting == self.waiting.len();
        (!is_right).then(|| format!("who waits is told {told:?}, and not {owed:?}"))
    }
}
