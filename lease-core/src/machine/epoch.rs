use super::LessorCore;
use super::effect::Effect;
use crate::{Answer, Epoch, LeaseError, WriteBatch};

impl LessorCore {
    /// Raising the epoch to what it is, or was, changes nothing.
    pub(super) fn decide_epoch(&self, epoch: Epoch, rows: &mut WriteBatch) -> (Answer, Effect) {
        if epoch > Epoch::MAX {
            return (
                Answer::Epoch(Err(LeaseError::EpochOutOfRange)),
                Effect::None,
            );
        }
        if epoch <= self.epoch() {
            return (Answer::Epoch(Ok(self.epoch())), Effect::None);
        }
        rows.put_epoch(epoch);
        (Answer::Epoch(Ok(epoch)), Effect::Epoch(epoch))
    }

    /// The replicated epoch: the newest that an applied [`Command::BeginEpoch`](crate::Command)
    /// has brought.
    ///
    /// ```
    /// # use lease_core::{Command, Epoch, LessorConfig, LessorCore, Timestamp, WriteBatch};
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// assert_eq!(lessor.epoch(), Epoch::ZERO);
    /// let begin = Command::BeginEpoch(Epoch::new(4));
    /// lessor.execute(Timestamp::ZERO, &begin, &mut WriteBatch::default());
    /// assert_eq!(lessor.epoch(), Epoch::new(4));
    /// ```
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.table.epoch()
    }

    /// The epoch in which ids can be made that differ from all others: the one that was begun since
    /// the latest recovery, or in which this lessor is the primary.
    #[cfg(feature = "std")]
    pub(crate) fn epoch_of_ids(&self) -> Option<Epoch> {
        let own = self.table.own_epoch();
        let own = (own != Epoch::ZERO).then_some(own);
        own.or_else(|| self.primary_epoch())
    }

    /// The epoch that a lessor without a host to count them promotes itself to.
    ///
    /// ```
    /// # use lease_core::{Command, LessorConfig, LessorCore, Timestamp, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// let epoch = lessor.next_epoch();
    /// lessor.execute(Timestamp::ZERO, &Command::BeginEpoch(epoch), &mut rows);
    /// // Here the host writes `rows`: after a restart no epoch comes twice.
    /// lessor.promote(Timestamp::ZERO, epoch, Duration::ZERO);
    /// assert_eq!(lessor.primary_epoch(), Some(epoch));
    /// assert!(lessor.next_epoch() > epoch);
    /// ```
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        self.table.epoch().max(self.settled_epoch).next()
    }
}
