use super::LessorCore;

/// What a lessor has counted since it was made, and how much it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct LessorStats {
    /// Leases granted.
    pub granted: u64,
    /// Leases revoked, by users and by expiry.
    pub revoked: u64,
    /// Renewals.
    pub renewed: u64,
    /// Leases delivered as expired, each attempt counted.
    pub expired: u64,
    /// Times that the revoke rate put the delivery of an overdue lease off.
    pub throttled: u64,
    /// Expiry-revokes that came too late to mean anything.
    pub stale_revokes: u64,
    /// Checkpoint records taken to be proposed.
    pub checkpoints_proposed: u64,
    /// Checkpoint records applied.
    pub checkpoints_applied: u64,
    /// Checkpoint records that came too late to mean anything.
    pub stale_checkpoints: u64,
    /// Times that the clock went back, to an earlier millisecond and by more than its lag, and was
    /// held. A thread that is held up for so long between its reading and its call counts as well.
    pub clock_regressions: u64,
    /// Leases that are there.
    pub leases: usize,
    /// Items that are attached.
    pub items: usize,
    /// Overdue leases that wait until the revoke rate lets them be delivered.
    pub backlog: usize,
    /// Leases delivered as expired and not revoked yet: the revokes in flight.
    pub expiring: usize,
    /// Callers that wait for the end of a lease, and commands that wait for others of the same lease.
    pub waiting: usize,
    /// Leases of the primary that are queued, throttled or delivered: all that are scheduled.
    pub expiry_entries: usize,
    /// Checkpoint proposals that may still be applied.
    pub open_checkpoints: usize,
    /// Leases that the host granted itself, not its log, on a lessor that it has never promoted: they do not
    /// expire. Of [`LessorCore`] always 0.
    pub grants_unpromoted: u64,
    /// Times that a batch of expired leases lay for ten seconds and nobody took any: the leases live on. Of
    /// [`LessorCore`] always 0.
    pub batches_not_taken: u64,
    /// Rows of the store that the latest recovery took with another value in a field, see
    /// [`StrangeRow`](crate::StrangeRow).
    pub rows_mended: u64,
    /// Rows of the store that the latest recovery left out.
    pub rows_skipped: u64,
}

impl LessorCore {
    /// The counters. O(1).
    ///
    /// ```
    /// # use lease_core::{Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch};
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let stats = lessor.stats();
    /// assert_eq!((stats.granted, stats.revoked, stats.leases), (1, 0, 1));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> LessorStats {
        let primary = self.primary.as_ref();
        LessorStats {
            clock_regressions: self.clock.regressions(),
            leases: self.table.records.len(),
            items: self.table.attachments.len(),
            backlog: primary.map_or(0, |primary| primary.throttled()),
            expiring: primary.map_or(0, |primary| primary.attempts.len()),
            waiting: self.tickets.waiting(),
            expiry_entries: primary.map_or(0, |primary| primary.entries()),
            open_checkpoints: primary.map_or(0, |primary| primary.checkpoints.open_len()),
            ..self.stats
        }
    }

    /// How many leases there are. O(1).
    ///
    /// ```
    /// # use lease_core::{Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch};
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// assert_eq!(lessor.len(), 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.records.len()
    }

    /// Whether there is no lease. O(1).
    ///
    /// ```
    /// # use lease_core::{LessorConfig, LessorCore};
    /// assert!(LessorCore::new(LessorConfig::default()).is_empty());
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
