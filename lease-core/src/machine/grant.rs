use lease_queue::Timestamp;

use super::LessorCore;
use super::effect::Effect;
use crate::table::record::Record;
use crate::table::{LeaseTable, Remainder};
use crate::{Answer, Incarnation, LeaseError, LeaseId, Ttl, WriteBatch};

/// An order to grant a lease.
///
/// ```
/// # use lease_core::{Grant, Incarnation, LeaseId, Ttl};
/// # let index = 17;
/// // Of a host with a log: `index` is that of the entry.
/// let grant = Grant {
///     incarnation: Incarnation::supplied(index),
///     ..Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?)
/// };
/// # assert!(grant.incarnation.is_some());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    ///
    /// ```
    /// # use lease_core::{Answer, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let answer = lessor.execute(Timestamp::ZERO, &grant.into(), &mut rows);
    /// assert!(matches!(answer, Answer::Granted(Ok(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
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
    pub(super) fn decide_grant(&self, grant: &Grant, rows: &mut WriteBatch) -> (Answer, Effect) {
        match self.admit(grant) {
            Err(refusal) => (Answer::Granted(Err(refusal)), Effect::None),
            Ok((incarnation, counted)) => {
                let record = Record::new(grant.id, grant.ttl, incarnation);
                rows.put_lease(LeaseTable::row(&record, Remainder::default()));
                let effect = Effect::Grant {
                    incarnation,
                    counted,
                };
                (Answer::Granted(Ok(incarnation)), effect)
            }
        }
    }

    /// Decides and applies at once.
    #[cfg(feature = "std")]
    pub(crate) fn grant(
        &mut self,
        now: Timestamp,
        grant: &Grant,
        rows: &mut WriteBatch,
    ) -> Result<Incarnation, LeaseError> {
        let (incarnation, counted) = self.admit(grant)?;
        let record = Record::new(grant.id, grant.ttl, incarnation);
        rows.put_lease(LeaseTable::row(&record, Remainder::default()));
        self.apply_grant(now, grant, incarnation, counted);
        Ok(incarnation)
    }

    /// Whether a lease has this id. O(1).
    #[cfg(feature = "std")]
    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.table.records.get(id).is_some()
    }

    /// Adds the lease and, on the primary, starts its time.
    pub(super) fn apply_grant(
        &mut self,
        now: Timestamp,
        grant: &Grant,
        incarnation: Incarnation,
        counted: Option<u64>,
    ) {
        let now = self.read_clock(now);
        let deadline_ms = self.full_deadline_ms(now, grant.ttl);
        self.stats.granted += 1;
        self.table.note_count(counted);
        let record = Record::new(grant.id, grant.ttl, incarnation);
        let record = self.table.grant(record);
        if let Some(primary) = &mut self.primary {
            primary.schedule(record, deadline_ms, false);
        }
    }

    /// The incarnation of a grant, and the number that was counted for it, unless it is refused.
    fn admit(&self, grant: &Grant) -> Result<(Incarnation, Option<u64>), LeaseError> {
        if let Some(incarnation) = grant.incarnation
            && incarnation.as_supplied().is_none()
        {
            return Err(LeaseError::IncarnationOutOfRange);
        }
        let records = &self.table.records;
        if records.get(grant.id).is_some() {
            return Err(LeaseError::LeaseExists);
        }
        if self
            .config
            .max_leases
            .is_some_and(|limit| records.len() >= limit)
        {
            return Err(LeaseError::TooManyLeases);
        }
        Ok(match grant.incarnation {
            Some(incarnation) => (incarnation, None),
            None => {
                let (incarnation, number) = self.table.count_incarnation(self.claims.counted);
                (incarnation, Some(number))
            }
        })
    }
}
