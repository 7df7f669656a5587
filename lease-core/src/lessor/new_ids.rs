use super::state::State;
use crate::{Epoch, LeaseError, LeaseId, LeaseIds};

/// Where the ids of new leases come from.
pub(super) enum NewIds {
    /// The host has said it.
    Given(LeaseIds),
    /// They are counted in an epoch that is stored: no crash brings one of them again.
    Counted(Epoch, LeaseIds),
}

/// What came of the wish for an id.
pub(super) enum NewId {
    /// No lease has it.
    Free(LeaseId),
    /// A lease has the next one, whose id somebody else has chosen.
    InUse,
    /// There is no epoch yet to count in. This one can be begun.
    NoEpoch(Epoch),
}

impl Default for NewIds {
    fn default() -> Self {
        Self::Counted(Epoch::ZERO, LeaseIds::of_epoch(Epoch::ZERO))
    }
}

impl State {
    /// The next id for a new lease.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Stopped`].
    pub(super) fn new_id(&mut self) -> Result<NewId, LeaseError> {
        self.check_running()?;
        let ids = match &mut self.new_ids {
            NewIds::Given(ids) => ids,
            NewIds::Counted(counted, ids) => {
                let Some(epoch) = self.core.epoch_of_ids() else {
                    return Ok(NewId::NoEpoch(self.core.next_epoch()));
                };
                if *counted != epoch {
                    (*counted, *ids) = (epoch, LeaseIds::of_epoch(epoch));
                }
                ids
            }
        };
        let id = ids.next_id();
        Ok(if self.core.contains(id) {
            NewId::InUse
        } else {
            NewId::Free(id)
        })
    }
}
