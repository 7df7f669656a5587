use lease_core::{Checkpoint, Incarnation, LeaseRow, Revocation, Ttl};

use crate::etcdserverpb::{LeaseCheckpoint, LeaseRevokeRequest};
use crate::leasepb;

/// An incarnation that no host supplied is left out, because it means nothing after a restart.
impl From<&LeaseRow> for leasepb::Lease {
    fn from(row: &LeaseRow) -> Self {
        Self {
            id: row.id.get(),
            ttl: row.ttl.get(),
            remaining_ttl: remaining_secs(row.remaining),
            incarnation: row.incarnation.and_then(Incarnation::as_supplied),
            checkpoint_generation: row.checkpoint_generation,
        }
    }
}

/// The fence's fields are all there or, without a fence, all absent.
impl From<&Checkpoint> for LeaseCheckpoint {
    fn from(checkpoint: &Checkpoint) -> Self {
        let fence = checkpoint.fence.as_ref();
        Self {
            id: checkpoint.id.get(),
            remaining_ttl: remaining_secs(checkpoint.remaining),
            incarnation: fence.map(|fence| fence.incarnation.get()),
            epoch: fence.map(|fence| fence.epoch.get()),
            generation: fence.map(|fence| fence.generation),
        }
    }
}

/// The fence's fields are all there or, in a user's revoke, all absent.
impl From<&Revocation> for LeaseRevokeRequest {
    fn from(revocation: &Revocation) -> Self {
        let fence = revocation.fence.as_ref();
        Self {
            id: revocation.id.get(),
            incarnation: fence.map(|fence| fence.incarnation.get()),
            epoch: fence.map(|fence| fence.epoch.get()),
        }
    }
}

// On the wire zero means all of the TTL.
fn remaining_secs(remaining: Option<Ttl>) -> i64 {
    remaining.map_or(0, Ttl::get)
}
