use lease_core::{
    Checkpoint, CheckpointFence, Epoch, ExpiryFence, Incarnation, LeaseId, LeaseRow, Revocation,
    Ttl,
};

use crate::ConvertError;
use crate::etcdserverpb::{LeaseCheckpoint, LeaseRevokeRequest};
use crate::leasepb;

/// Fails where an id, a TTL or an incarnation is out of range, or more remains than was granted.
impl TryFrom<&leasepb::Lease> for LeaseRow {
    type Error = ConvertError;

    fn try_from(lease: &leasepb::Lease) -> Result<Self, ConvertError> {
        let ttl = ttl(lease.ttl)?;
        Ok(Self {
            id: lease_id(lease.id)?,
            ttl,
            remaining: remaining(lease.remaining_ttl, ttl)?,
            incarnation: lease.incarnation.map(supplied).transpose()?,
            checkpoint_generation: lease.checkpoint_generation,
        })
    }
}

/// Fails where the id or the remaining TTL is out of range, or a part of the fence is missing.
impl TryFrom<&LeaseCheckpoint> for Checkpoint {
    type Error = ConvertError;

    fn try_from(record: &LeaseCheckpoint) -> Result<Self, ConvertError> {
        Ok(Self {
            id: lease_id(record.id)?,
            remaining: remaining(record.remaining_ttl, Ttl::MAX)?,
            fence: checkpoint_fence(record)?,
        })
    }
}

/// Fails where the id is zero, or a part of the fence is missing.
impl TryFrom<&LeaseRevokeRequest> for Revocation {
    type Error = ConvertError;

    fn try_from(request: &LeaseRevokeRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            id: lease_id(request.id)?,
            fence: expiry_fence(request)?,
        })
    }
}

fn lease_id(number: i64) -> Result<LeaseId, ConvertError> {
    LeaseId::new(number).ok_or(ConvertError::IdZero)
}

fn ttl(secs: i64) -> Result<Ttl, ConvertError> {
    Ttl::new(secs).map_err(|source| ConvertError::TtlOutOfRange { secs, source })
}

// On the wire zero means all of the TTL.
fn remaining(secs: i64, most: Ttl) -> Result<Option<Ttl>, ConvertError> {
    if secs == 0 {
        return Ok(None);
    }
    match Ttl::new(secs) {
        Ok(remaining) if remaining <= most => Ok(Some(remaining)),
        _ => Err(ConvertError::RemainingTtlOutOfRange { secs }),
    }
}

fn supplied(number: u64) -> Result<Incarnation, ConvertError> {
    Incarnation::supplied(number).ok_or(ConvertError::IncarnationOutOfRange { number })
}

fn checkpoint_fence(record: &LeaseCheckpoint) -> Result<Option<CheckpointFence>, ConvertError> {
    match (record.incarnation, record.epoch, record.generation) {
        (None, None, None) => Ok(None),
        (Some(incarnation), Some(epoch), Some(generation)) => Ok(Some(CheckpointFence {
            incarnation: Incarnation::from_wire(incarnation),
            epoch: Epoch::new(epoch),
            generation,
        })),
        _ => Err(ConvertError::FenceIncomplete),
    }
}

fn expiry_fence(request: &LeaseRevokeRequest) -> Result<Option<ExpiryFence>, ConvertError> {
    match (request.incarnation, request.epoch) {
        (None, None) => Ok(None),
        (Some(incarnation), Some(epoch)) => Ok(Some(ExpiryFence {
            incarnation: Incarnation::from_wire(incarnation),
            epoch: Epoch::new(epoch),
        })),
        _ => Err(ConvertError::FenceIncomplete),
    }
}
