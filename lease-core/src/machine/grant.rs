use lease_queue::Timestamp;

use super::LessorCore;
use super::time::Now;
use crate::probe::sometimes;
use crate::table::LeaseTable;
use crate::table::record::{Phase, Record};
use crate::{Incarnation, LeaseError, LeaseId, Ttl, WriteBatch};

/// An order to grant a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Grant {
    /// The id, which must be free.
    pub id: LeaseId,
    /// The final TTL; see [`LessorConfig::admit_ttl`](crate::LessorConfig::admit_ttl).
    pub ttl: Ttl,
    /// The index of the log entry, if the host has a log; `None` makes the lessor count.
    pub incarnation: Option<Incarnation>,
}

impl Grant {
    /// A grant whose incarnation the lessor counts.
    #[must_use]
    pub const fn new(id: LeaseId, ttl: Ttl) -> Self {
        Self {
            id,
            ttl,
            incarnation: None,
        }
    }
}

impl LessorCore {
    /// Grants a lease and puts its row into `rows`. On the primary it counts from `now`.
    ///
    /// O(1) but for the growth of one part of the table.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseExists`] if the id is in use, [`LeaseError::IncarnationOutOfRange`] for a
    /// supplied incarnation above [`Incarnation::MAX_SUPPLIED`], and [`LeaseError::TooManyLeases`]
    /// at the configured limit.
    pub fn grant(
        &mut self,
        now: Timestamp,
        grant: &Grant,
        rows: &mut WriteBatch,
    ) -> Result<Incarnation, LeaseError> {
        let now = self.read_clock(now);
        let incarnation = self.insert(grant, rows)?.incarnation();
        self.start(now, grant.id);
        Ok(incarnation)
    }

    /// The first half of a grant whose row is written before anybody may see the lease: it takes
    /// the id and puts the row into `rows`. [`finish_grant`](Self::finish_grant) or
    /// [`cancel_grant`](Self::cancel_grant) must follow.
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Self::grant).
    pub fn begin_grant(
        &mut self,
        grant: &Grant,
        rows: &mut WriteBatch,
    ) -> Result<Incarnation, LeaseError> {
        let record = self.insert(grant, rows)?;
        record.set_phase(Phase::Granting);
        Ok(record.incarnation())
    }

    /// The row of a begun grant is written: the lease is there and counts from `now`.
    pub fn finish_grant(&mut self, now: Timestamp, id: LeaseId) {
        let now = self.read_clock(now);
        if self.end_granting(id) {
            self.start(now, id);
        }
    }

    /// The row of a begun grant could not be written: the id is free again.
    pub fn cancel_grant(&mut self, id: LeaseId) {
        if self.end_granting(id) {
            sometimes!("core: a grant is cancelled");
            self.table.remove(id);
        }
    }

    fn insert(&mut self, grant: &Grant, rows: &mut WriteBatch) -> Result<&mut Record, LeaseError> {
        if let Some(incarnation) = grant.incarnation
            && incarnation.as_supplied().is_none()
        {
            return Err(LeaseError::IncarnationOutOfRange);
        }
        let is_full = |limit| self.table.records.len() >= limit;
        if self.config.max_leases.is_some_and(is_full) && self.table.records.get(grant.id).is_none()
        {
            return Err(LeaseError::TooManyLeases);
        }
        let record = self.table.grant(grant.id, grant.ttl, grant.incarnation)?;
        rows.put_lease(LeaseTable::row(record, Default::default()));
        Ok(record)
    }

    /// Ends the first half of a grant; a begun grant is in no queue.
    fn end_granting(&mut self, id: LeaseId) -> bool {
        let record = self.table.records.get_mut(id);
        record
            .filter(|record| record.phase() == Phase::Granting)
            .map(|record| record.set_phase(Phase::Active))
            .is_some()
    }

    /// Counts the grant and, on the primary, starts the lease's time.
    fn start(&mut self, now: Now, id: LeaseId) {
        self.stats.granted += 1;
        let Some(record) = self.table.records.get(id) else {
            return;
        };
        let deadline_ms = self.full_deadline_ms(now, record.ttl());
        if let Some(primary) = &mut self.primary
            && let Some(record) = self.table.records.get_mut(id)
        {
            primary.schedule(record, deadline_ms, false);
        }
    }
}
