use super::claims::Claims;
use super::ticket::TicketOutcome;
use super::{LessorCore, Promotion};
use crate::probe::planted;
use crate::table::LeaseTable;
use crate::{Epoch, LeaseError, LeaseId, LeaseItem, LeaseRow, RowFault, StrangeRow};

/// The replicated state that a recovery builds up beside the running one.
///
/// ```
/// use lease_core::{Epoch, LeaseId, LeaseRow, LessorConfig, LessorCore, Ttl};
///
/// let mut lessor = LessorCore::new(LessorConfig::default());
/// let mut recovery = lessor.begin_recovery();
/// let id = LeaseId::new(-9).expect("not zero");
/// recovery.insert(&LeaseRow::new(id, Ttl::new(60)?))?;
/// lessor.finish_recovery(recovery, Epoch::new(4));
/// assert_eq!(lessor.len(), 1);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Debug)]
pub struct Recovery {
    table: LeaseTable,
    mended: u64,
    skipped: u64,
}

impl Recovery {
    /// Adds the lease of a stored row. If more remains than was granted, that is brought down to the
    /// TTL, and returned to be told. O(1).
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseExists`] if another row had the same id.
    ///
    /// ```
    /// # use lease_core::{LeaseError, LeaseId, LeaseRow, LessorConfig, LessorCore, Ttl};
    /// # let lessor = LessorCore::new(LessorConfig::default());
    /// let row = LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let mut recovery = lessor.begin_recovery();
    /// recovery.insert(&row)?;
    /// assert_eq!(recovery.insert(&row), Err(LeaseError::LeaseExists), "the store is damaged");
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn insert(&mut self, row: &LeaseRow) -> Result<Option<StrangeRow>, LeaseError> {
        self.table.restore(row)?;
        let above = row.remaining.filter(|remaining| *remaining > row.ttl);
        let strange = above.map(|remaining| StrangeRow {
            key: row.id.get(),
            fault: RowFault::RemainingTooLong {
                secs: remaining.get(),
                ttl_secs: row.ttl.get(),
            },
        });
        if let Some(strange) = &strange {
            self.count(strange);
        }
        Ok(strange)
    }

    /// Attaches an item to a lease that was added, for a host that stores the items; nothing happens if
    /// there is no such lease. O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, LeaseId, LeaseItem, LeaseRow, LessorConfig, LessorCore, Ttl};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let id = LeaseId::try_from(7)?;
    /// let mut recovery = lessor.begin_recovery();
    /// recovery.insert(&LeaseRow::new(id, Ttl::new(60)?))?;
    /// recovery.attach(id, LeaseItem::from("services/web/1"));
    /// lessor.finish_recovery(recovery, Epoch::ZERO);
    /// assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn attach(&mut self, id: LeaseId, item: LeaseItem) {
        self.table.attach(id, &[item]);
    }

    /// Counts what the store has told of a row. O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, LessorConfig, LessorCore, RowFault, StrangeRow};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// let mut recovery = lessor.begin_recovery();
    /// recovery.count(&StrangeRow { key: 0, fault: RowFault::NoLease });
    /// lessor.finish_recovery(recovery, Epoch::ZERO);
    /// assert_eq!(lessor.stats().rows_skipped, 1);
    /// ```
    pub const fn count(&mut self, strange: &StrangeRow) {
        if strange.fault.is_skipped() {
            self.skipped += 1;
        } else {
            self.mended += 1;
        }
    }
}

impl LessorCore {
    /// Starts a recovery. The lessor goes on with what it has until
    /// [`finish_recovery`](Self::finish_recovery).
    ///
    /// ```
    /// # use lease_core::{Epoch, LeaseId, LeaseRow, LessorConfig, LessorCore, Ttl};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// let mut recovery = lessor.begin_recovery();
    /// recovery.insert(&LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?))?;
    /// assert!(lessor.is_empty(), "it goes on with what it has");
    /// lessor.finish_recovery(recovery, Epoch::ZERO);
    /// assert_eq!(lessor.len(), 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn begin_recovery(&self) -> Recovery {
        Recovery {
            table: LeaseTable::new(self.config.hash_seed.unwrap_or(0)),
            mended: 0,
            skipped: 0,
        }
    }

    /// Replaces the whole state by the recovered one and the stored epoch. The lessor is no primary
    /// afterwards; everybody who waits is answered, and a decision that was not applied is void. Items
    /// are attached again by the host as it replays its keys.
    ///
    /// Unlike in etcd no TTL is raised to the configured minimum: members with different settings
    /// would diverge.
    ///
    /// O(1); what it returns is to be dropped outside any lock.
    ///
    /// ```
    /// # use lease_core::{Command, Epoch, LeaseId, LeaseItem, LeaseRow, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let id = LeaseId::try_from(7)?;
    /// # let mut recovery = lessor.begin_recovery();
    /// # recovery.insert(&LeaseRow::new(id, Ttl::new(60)?))?;
    /// lessor.finish_recovery(recovery, Epoch::new(4));
    /// assert_eq!(lessor.epoch(), Epoch::new(4));
    /// // The host replays its keys.
    /// let items = vec![LeaseItem::from("services/web/1")];
    /// lessor.execute(Timestamp::ZERO, &Command::Attach { id, items }, &mut WriteBatch::default());
    /// assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn finish_recovery(&mut self, mut recovery: Recovery, epoch: Epoch) -> Replaced {
        let retired = if planted!("recover-stays-primary") {
            None
        } else {
            self.retire()
        };
        self.tickets.resolve_all(TicketOutcome::NotPrimary);
        self.claims = Claims::default();
        self.generation += 1;
        self.stats.rows_mended = recovery.mended;
        self.stats.rows_skipped = recovery.skipped;
        recovery.table.restore_epoch(epoch);
        let attachments = &mut recovery.table.attachments;
        attachments.follow(&self.table.attachments);
        let table = core::mem::replace(&mut self.table, recovery.table);
        Replaced {
            _table: table,
            _promotion: Promotion::Changed(retired),
        }
    }
}

/// What a recovery has replaced. It does nothing but take up memory.
#[derive(Debug)]
pub struct Replaced {
    _table: LeaseTable,
    _promotion: Promotion,
}
