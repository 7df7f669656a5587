use alloc::collections::{BTreeSet, VecDeque};

use crate::LeaseId;

/// A place in the queue of those who wait for what becomes of a lease.
///
/// Its outcome comes from [`LessorCore::poll_ticket`](crate::LessorCore::poll_ticket).
///
/// ```
/// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch};
/// # use std::collections::BTreeMap;
/// # use std::time::Duration;
/// # let mut lessor = LessorCore::new(LessorConfig::default());
/// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
/// # let id = LeaseId::try_from(7)?;
/// # let grant = Grant::new(id, Ttl::new(10)?).into();
/// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
/// // The host keeps whom to tell under the ticket.
/// let mut clients = BTreeMap::new();
/// clients.insert(lessor.wait_for(id).expect("the lease is there"), "client 3");
/// lessor.demote(Epoch::new(1));
/// while let Some((ticket, outcome)) = lessor.poll_ticket() {
///     let client = clients.remove(&ticket).expect("it waits");
///     println!("{client}: {outcome:?}");
/// }
/// assert!(clients.is_empty());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket {
    lease: LeaseId,
    number: u64,
}

impl Ticket {
    /// The lease that is waited for.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let ticket = lessor.wait_for(id).expect("the lease is there");
    /// assert_eq!(ticket.lease(), id);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.lease
    }
}

/// What became of a lease that somebody waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TicketOutcome {
    /// The lease is gone: lease not found.
    Revoked,
    /// Nobody will know here: not a primary lessor, or not any more.
    NotPrimary,
}

/// All tickets that wait, and the outcomes nobody has taken yet.
///
/// Invariant: every ticket is in one of the two, until its outcome is polled or it is cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tickets {
    waiting: BTreeSet<Ticket>,
    resolved: VecDeque<(Ticket, TicketOutcome)>,
    issued: u64,
}

impl Tickets {
    pub(crate) fn issue(&mut self, lease: LeaseId) -> Ticket {
        self.issued += 1;
        let ticket = Ticket {
            lease,
            number: self.issued,
        };
        self.waiting.insert(ticket);
        ticket
    }

    /// Ends the wait of a caller who gave up. O(log n), or O(n) of the untaken outcomes.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        if !self.waiting.remove(&ticket) {
            self.resolved.retain(|(resolved, _)| *resolved != ticket);
        }
    }

    /// Answers everybody who waits for `lease`.
    pub(crate) fn resolve(&mut self, lease: LeaseId, outcome: TicketOutcome) {
        if self.waiting.is_empty() {
            return;
        }
        let first = Ticket { lease, number: 0 };
        let last = Ticket {
            lease,
            number: u64::MAX,
        };
        while let Some(ticket) = self.waiting.range(first..=last).next().copied() {
            self.waiting.remove(&ticket);
            self.resolved.push_back((ticket, outcome));
        }
    }

    pub(crate) fn resolve_all(&mut self, outcome: TicketOutcome) {
        while let Some(ticket) = self.waiting.pop_first() {
            self.resolved.push_back((ticket, outcome));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<(Ticket, TicketOutcome)> {
        self.resolved.pop_front()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an outcome waits to be polled.
    pub(crate) fn has_resolved(&self) -> bool {
        !self.resolved.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    #[test]
    fn each_ticket_is_answered_once() {
        let mut tickets = Tickets::default();
        let [a, b, c] = [id(-1), id(2), id(-1)].map(|lease| tickets.issue(lease));
        tickets.resolve(id(-1), TicketOutcome::Revoked);
        assert_eq!(tickets.poll(), Some((a, TicketOutcome::Revoked)));
        assert_eq!(tickets.poll(), Some((c, TicketOutcome::Revoked)));
        assert_eq!(tickets.poll(), None);
        tickets.resolve_all(TicketOutcome::NotPrimary);
        assert_eq!(tickets.poll(), Some((b, TicketOutcome::NotPrimary)));
        assert_eq!(tickets.waiting(), 0);
    }

    #[test]
    fn a_cancelled_ticket_leaves_nothing() {
        let mut tickets = Tickets::default();
        let waiting = tickets.issue(id(1));
        tickets.cancel(waiting);
        let resolved = tickets.issue(id(1));
        tickets.resolve(id(1), TicketOutcome::Revoked);
        tickets.cancel(resolved);
        assert_eq!((tickets.waiting(), tickets.poll()), (0, None));
    }
}
