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
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.table.epoch()
    }

    /// The epoch that a lessor without a host to count them promotes itself to.
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        self.table.epoch().max(self.settled_epoch).next()
    }
}
