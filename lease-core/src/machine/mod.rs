mod attach;
mod checkpoint;
mod claims;
mod command;
mod decide;
mod decision;
mod effect;
mod epoch;
mod expire;
mod grant;
mod list;
mod promote;
mod recover;
mod renew;
mod revoke;
mod stats;
pub(crate) mod ticket;
pub(crate) mod time;

pub use checkpoint::ProposalOutcome;
#[cfg(feature = "std")]
pub(crate) use checkpoint::WhileOpen;
#[cfg(feature = "std")]
pub(crate) use claims::Obstacle;
pub use command::{Answer, Command};
pub use decide::Busy;
pub use decision::Decision;
pub use expire::AttemptOutcome;
pub use grant::Grant;
#[cfg(feature = "std")]
pub(crate) use list::{Found, Items, Listing};
pub use promote::{Promotion, Retired};
pub use recover::{Recovery, Replaced};
pub use renew::Renewal;
pub use stats::LessorStats;

use alloc::boxed::Box;

use claims::Claims;
use lease_queue::Timestamp;
use ticket::{Ticket, TicketOutcome, Tickets};
use time::{Clockwork, Now};

use crate::primary::{Primary, ceil_millis, earlier};
use crate::probe::planted;
use crate::table::LeaseTable;
use crate::table::record::Tag;
use crate::{Epoch, LessorConfig, Ttl};

/// The lessor as a state machine: it is given the time and a command, and returns an answer.
///
/// It owns no clock, thread, lock, channel or log. Its methods are of four families, as in a
/// sans-IO protocol: queries; commands, most of which take `now`; `handle_*`, which reports a
/// timeout or the outcome of something that the machine asked for; `poll_*`, which takes what the
/// machine asks for.
///
/// # How a command goes
///
/// A change of what is replicated is a [`Command`]. It is [decided](Self::decide) against the state,
/// which gives rows; the host writes them; then the decision is [applied](Self::apply). What is not
/// written has not happened, for anybody. [`execute`](Self::execute) does both at once, for a host
/// that writes later. Renewals change nothing that is replicated and go beside this.
///
/// # The host's loop
///
/// After every command and every `handle_*` call the host
///
/// 1. takes the outcomes of waits: [`poll_ticket`](Self::poll_ticket) until `None`;
/// 2. at [`next_wakeup`](Self::next_wakeup), and not before, calls
///    [`handle_timeout`](Self::handle_timeout), and then
/// 3. takes the leases to revoke: [`poll_expired`](Self::poll_expired) until `None`, as long as it
///    has room for them;
/// 4. takes the checkpoints to propose: [`poll_checkpoints`](Self::poll_checkpoints) until `None`.
///
/// Each call does a bounded amount of work, so that a host that holds a lock around it never holds
/// it for long; `next_wakeup` answers a time that has passed while more is to be done. A call that
/// comes early or twice changes nothing.
///
/// ```
/// use lease_core::{Command, Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
/// use lease_core::WriteBatch;
/// use std::time::Duration;
///
/// let mut lessor = LessorCore::new(LessorConfig::default());
/// let mut rows = WriteBatch::default(); // for the host's store
/// lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
/// let id = LeaseId::new(7).expect("not zero");
/// let grant = Grant::new(id, Ttl::new(10)?).into();
/// lessor.execute(Timestamp::ZERO, &grant, &mut rows);
///
/// let due = lessor.next_wakeup().expect("the lease ends one day");
/// assert!(due <= Timestamp::from_secs(10));
/// lessor.handle_timeout(Timestamp::from_secs(10));
/// let batch = lessor.poll_expired(Timestamp::from_secs(10)).expect("due");
/// lessor.handle_taken(Timestamp::from_secs(10), &batch);
/// let revoke = Command::Revoke(batch.revocations().collect());
/// lessor.execute(Timestamp::from_secs(10), &revoke, &mut rows);
/// assert!(lessor.is_empty());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LessorCore {
    config: LessorConfig,
    clock_lag_ms: u64,
    clock: Clockwork,
    table: LeaseTable,
    claims: Claims,
    // Counts the recoveries: a decision that was made before the latest is void.
    generation: u64,
    primary: Option<Box<Primary>>,
    // The newest epoch that a promotion or demotion has named; an older one comes too late.
    settled_epoch: Epoch,
    last_tag: Tag,
    tickets: Tickets,
    suspended: bool,
    stats: LessorStats,
}

impl LessorCore {
    /// An empty lessor that is not the primary.
    ///
    /// Without a [`hash_seed`](LessorConfig::hash_seed) it takes 0, which everybody knows.
    /// [`BackendLessor`](crate::BackendLessor) draws one at random then; another host does so
    /// itself if clients that are not trusted choose ids or items.
    ///
    /// ```
    /// use lease_core::{LessorConfig, LessorCore};
    ///
    /// let lessor = LessorCore::new(LessorConfig::default());
    /// assert!(lessor.is_empty() && !lessor.is_primary());
    /// ```
    #[must_use]
    pub fn new(config: LessorConfig) -> Self {
        Self {
            clock_lag_ms: ceil_millis(config.clock_lag),
            clock: Clockwork::new(config.clock_lag),
            table: LeaseTable::new(config.hash_seed.unwrap_or(0)),
            claims: Claims::default(),
            generation: 0,
            primary: None,
            settled_epoch: Epoch::ZERO,
            last_tag: Tag::default(),
            tickets: Tickets::default(),
            suspended: false,
            stats: LessorStats::default(),
            config,
        }
    }

    /// The configuration.
    ///
    /// ```
    /// # use lease_core::{LessorConfig, LessorCore};
    /// let lessor = LessorCore::new(LessorConfig::default());
    /// // A host that makes a grant brings the TTL that a client asks for into range.
    /// assert_eq!(lessor.config().admit_ttl(0)?.as_secs(), 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn config(&self) -> &LessorConfig {
        &self.config
    }

    /// Whether this lessor is the primary.
    ///
    /// ```
    /// # use lease_core::{Epoch, LessorConfig, LessorCore, Timestamp};
    /// # use std::time::Duration;
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// assert!(!lessor.is_primary());
    /// lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// assert!(lessor.is_primary());
    /// ```
    #[must_use]
    pub const fn is_primary(&self) -> bool {
        self.primary.is_some()
    }

    /// The epoch of the running promotion, `None` on any member but the primary.
    ///
    /// ```
    /// # use lease_core::{Epoch, LessorConfig, LessorCore, Timestamp};
    /// # use std::time::Duration;
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// lessor.promote(Timestamp::ZERO, Epoch::new(4), Duration::ZERO);
    /// assert_eq!(lessor.primary_epoch(), Some(Epoch::new(4)));
    /// lessor.demote(Epoch::new(4));
    /// assert_eq!(lessor.primary_epoch(), None);
    /// ```
    #[must_use]
    pub fn primary_epoch(&self) -> Option<Epoch> {
        self.primary.as_ref().map(|primary| primary.epoch)
    }

    /// The latest time that a call has brought; queries only look at theirs. O(1).
    ///
    /// ```
    /// # use lease_core::{LessorConfig, LessorCore, Timestamp};
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// lessor.handle_timeout(Timestamp::from_secs(3));
    /// lessor.handle_timeout(Timestamp::from_secs(2));
    /// assert_eq!(lessor.now(), Timestamp::from_secs(3), "it does not go back");
    /// ```
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.clock.last()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, or `None` while nothing
    /// will ever be due. It may be earlier than the next expiry, never later.
    ///
    /// O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut rows = WriteBatch::default();
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// assert_eq!(lessor.next_wakeup(), None);
    /// lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// lessor.handle_timeout(Timestamp::ZERO);
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(10)?).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut rows);
    /// assert!(lessor.next_wakeup().is_some_and(|due| due <= Timestamp::from_secs(10)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        earlier(self.next_expiry(), self.next_checkpoint())
    }

    /// The part of [`next_wakeup`](Self::next_wakeup) that
    /// [`handle_timeout`](Self::handle_timeout) and [`poll_expired`](Self::poll_expired) see to.
    /// O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # lessor.handle_timeout(Timestamp::ZERO);
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(10)?).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// assert!(lessor.next_expiry().is_some());
    /// lessor.suspend_expiry();
    /// assert_eq!(lessor.next_expiry(), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let primary = self.primary.as_ref()?;
        if primary.is_scheduling() {
            // At once, also if the clock is behind what it was.
            Some(Timestamp::ZERO)
        } else if self.suspended {
            None
        } else {
            primary.next_expiry()
        }
    }

    /// The part of [`next_wakeup`](Self::next_wakeup) that
    /// [`poll_checkpoints`](Self::poll_checkpoints) sees to. O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # lessor.handle_timeout(Timestamp::ZERO);
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(3600)?).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// assert_eq!(lessor.next_checkpoint(), Some(Timestamp::from_secs(300)), "5 minutes");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn next_checkpoint(&self) -> Option<Timestamp> {
        self.primary.as_ref()?.checkpoints.next_due()
    }

    /// Does what is due by `now` and needs nobody else: a slice of the scheduling that a promotion
    /// left behind. Early and repeated calls change nothing.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let now = Timestamp::from_secs(100);
    /// lessor.promote(now, Epoch::new(1), Duration::ZERO);
    /// while lessor.next_wakeup().is_some_and(|due| due <= now) {
    ///     lessor.handle_timeout(now); // another slice of the leases is scheduled
    /// }
    /// assert!(lessor.next_wakeup().is_some(), "the lease ends one day");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.clock.read(now);
        if let Some(primary) = &mut self.primary {
            primary.schedule_slice(&mut self.table);
        }
    }

    /// The next outcome of a wait, or `None` if there is none. O(1).
    ///
    /// ```
    /// # use lease_core::{Command, Epoch, Grant, LeaseId, LessorConfig, LessorCore, Revocation};
    /// # use lease_core::{TicketOutcome, Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(10)?).into(), &mut rows);
    /// let ticket = lessor.wait_for(id).expect("the lease is there");
    /// assert_eq!(lessor.poll_ticket(), None);
    /// lessor.execute(Timestamp::ZERO, &Revocation::by_user(id).into(), &mut rows);
    /// assert_eq!(lessor.poll_ticket(), Some((ticket, TicketOutcome::Revoked)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn poll_ticket(&mut self) -> Option<(Ticket, TicketOutcome)> {
        self.tickets.poll()
    }

    /// Whether [`poll_ticket`](Self::poll_ticket) has something.
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
    /// lessor.wait_for(id).expect("the lease is there");
    /// assert!(!lessor.has_ticket_outcomes());
    /// lessor.demote(Epoch::new(1));
    /// assert!(lessor.has_ticket_outcomes(), "nobody will know here");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn has_ticket_outcomes(&self) -> bool {
        self.tickets.has_resolved()
    }

    /// Answers everybody who waits that this is not a primary: when the host stops. O(waiting).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, TicketOutcome};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let ticket = lessor.wait_for(id).expect("the lease is there");
    /// lessor.release_waiters();
    /// assert_eq!(lessor.poll_ticket(), Some((ticket, TicketOutcome::NotPrimary)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn release_waiters(&mut self) {
        if !planted!("stop-forgets-waiters") {
            self.tickets.resolve_all(TicketOutcome::NotPrimary);
        }
    }

    /// Ends the wait of a caller who gave up; its outcome will not be polled. O(log n) of the
    /// waits, or O(n) of the outcomes if it is over already.
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
    /// lessor.cancel_ticket(ticket); // the caller's deadline has come
    /// lessor.demote(Epoch::new(1));
    /// assert_eq!(lessor.poll_ticket(), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn cancel_ticket(&mut self, ticket: Ticket) {
        self.tickets.cancel(ticket);
    }

    /// Delivers no lease as expired until [`resume_expiry`](Self::resume_expiry): for a host that
    /// restores its state and is not ready to revoke. A lease whose time is up meanwhile can still
    /// be renewed.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Renewal, Timestamp};
    /// # use lease_core::{Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// lessor.suspend_expiry();
    /// let late = Timestamp::from_secs(11);
    /// lessor.handle_timeout(late);
    /// assert_eq!(lessor.poll_expired(late), None);
    /// assert!(matches!(lessor.renew(late, id)?, Renewal::Renewed(_)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub const fn suspend_expiry(&mut self) {
        self.suspended = true;
    }

    /// Ends what [`suspend_expiry`](Self::suspend_expiry) began.
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
    /// lessor.suspend_expiry();
    /// // Here the host restores its keys.
    /// lessor.resume_expiry();
    /// let late = Timestamp::from_secs(11);
    /// lessor.handle_timeout(late);
    /// assert!(lessor.poll_expired(late).is_some());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub const fn resume_expiry(&mut self) {
        self.suspended = false;
    }

    /// Whether expiry is suspended.
    ///
    /// ```
    /// # use lease_core::{LessorConfig, LessorCore};
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// lessor.suspend_expiry();
    /// assert!(lessor.is_expiry_suspended());
    /// lessor.resume_expiry();
    /// assert!(!lessor.is_expiry_suspended());
    /// ```
    #[must_use]
    pub const fn is_expiry_suspended(&self) -> bool {
        self.suspended
    }

    /// Checks every invariant that ties the parts together. O(n): for tests and simulations.
    ///
    /// # Panics
    ///
    /// If one does not hold.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// for number in 1..=10 {
    ///     let grant = Grant::new(LeaseId::try_from(number)?, Ttl::new(number)?).into();
    ///     lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    ///     lessor.check_invariants();
    /// }
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn check_invariants(&self) {
        self.table.check_invariants();
        if let Some(primary) = &self.primary {
            primary.check_invariants(&self.table);
        }
    }

    #[inline]
    fn read_clock(&mut self, now: Timestamp) -> Now {
        self.clock.read(now)
    }

    /// The deadline of a lease that gets its whole TTL now.
    #[inline]
    const fn full_deadline_ms(&self, now: Now, ttl: Ttl) -> u64 {
        full_deadline_ms(self.clock_lag_ms, now, ttl)
    }
}

#[inline]
const fn full_deadline_ms(clock_lag_ms: u64, now: Now, ttl: Ttl) -> u64 {
    now.ceil_ms
        .saturating_add(clock_lag_ms)
        .saturating_add(ttl.as_millis())
}

#[cfg(test)]
mod tests;
