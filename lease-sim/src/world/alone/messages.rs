use std::fmt::Debug;

use lease_core::{
    Checkpoint, CheckpointFence, Epoch, ExpiryFence, Incarnation, Lease, LeaseRow, Revocation, Ttl,
    probe,
};
use lease_pb::ConvertError;
use lease_pb::etcdserverpb::{LeaseCheckpoint, LeaseRevokeRequest};
use lease_pb::leasepb;
use prost::Message;

/// What is sent and stored of a lease comes back as it was, and half of it is refused.
pub(super) fn wrong_message(lease: &Lease, epoch: Epoch, generation: u32) -> Option<String> {
    let (id, ttl, incarnation) = (lease.id(), lease.ttl(), lease.incarnation());
    let lasts = [None, Some(Ttl::MIN), Some(ttl)];
    let row = |remaining| LeaseRow {
        id,
        ttl,
        remaining,
        incarnation: incarnation.as_supplied().and_then(Incarnation::supplied),
        checkpoint_generation: generation,
    };
    let checkpoint = |remaining| Checkpoint {
        id,
        remaining,
        fence: Some(CheckpointFence {
            incarnation,
            epoch,
            generation,
        }),
    };
    let revocation = Revocation {
        id,
        fence: Some(ExpiryFence { incarnation, epoch }),
    };
    let checkpoints = lasts.map(checkpoint);
    let mut all = checkpoints
        .into_iter()
        .chain(lasts.map(|left| Checkpoint::new(id, left)));
    comes_back::<LeaseRevokeRequest, _>(&revocation)
        .or_else(|| comes_back::<LeaseRevokeRequest, _>(&Revocation::by_user(id)))
        .or_else(|| all.find_map(|one| comes_back::<LeaseCheckpoint, _>(&one)))
        .or_else(|| {
            let mut rows = lasts.iter().map(|left| row(*left));
            rows.find_map(|row| comes_back::<leasepb::Lease, _>(&row))
        })
        .or_else(|| wrong_refusal(&row(None), &checkpoints[1], &revocation))
}

/// Goes over the wire, and back.
fn comes_back<M, T>(value: &T) -> Option<String>
where
    M: Message + Default + for<'t> From<&'t T>,
    T: for<'m> TryFrom<&'m M, Error = ConvertError> + PartialEq + Debug,
{
    let bytes = M::from(value).encode_to_vec();
    let read = M::decode(&*bytes).map(|message| T::try_from(&message));
    match read {
        Ok(Ok(read)) if read == *value => None,
        read => Some(format!(
            "{value:?} is sent as {bytes:x?} and read as {read:?}"
        )),
    }
}

/// What no member sends is refused.
fn wrong_refusal(row: &LeaseRow, checkpoint: &Checkpoint, expiry: &Revocation) -> Option<String> {
    let stored = || leasepb::Lease::from(row);
    let sent = || LeaseCheckpoint::from(checkpoint);
    let ordered = || match probe::is_planted("alone-half-a-fence-is-none") {
        true => LeaseRevokeRequest::from(&Revocation::by_user(expiry.id)),
        false => LeaseRevokeRequest::from(expiry),
    };
    let ttl = row.ttl.get();
    let rows = [
        leasepb::Lease { id: 0, ..stored() },
        leasepb::Lease { ttl: 0, ..stored() },
        leasepb::Lease {
            ttl: Ttl::MAX.get() + 1,
            ..stored()
        },
        leasepb::Lease {
            remaining_ttl: -1,
            ..stored()
        },
        leasepb::Lease {
            remaining_ttl: ttl + 1,
            ..stored()
        },
        leasepb::Lease {
            incarnation: Some(u64::MAX),
            ..stored()
        },
    ];
    let checkpoints = [
        LeaseCheckpoint { id: 0, ..sent() },
        LeaseCheckpoint {
            remaining_ttl: -ttl,
            ..sent()
        },
        LeaseCheckpoint {
            remaining_ttl: Ttl::MAX.get() + 1,
            ..sent()
        },
        LeaseCheckpoint {
            incarnation: None,
            ..sent()
        },
        LeaseCheckpoint {
            epoch: None,
            ..sent()
        },
        LeaseCheckpoint {
            generation: None,
            ..sent()
        },
    ];
    let revokes = [
        LeaseRevokeRequest { id: 0, ..ordered() },
        LeaseRevokeRequest {
            incarnation: None,
            ..ordered()
        },
        LeaseRevokeRequest {
            epoch: None,
            ..ordered()
        },
    ];
    taken::<_, LeaseRow>(&rows)
        .or_else(|| taken::<_, Checkpoint>(&checkpoints))
        .or_else(|| taken::<_, Revocation>(&revokes))
}

/// A message that is taken for something.
fn taken<M: Debug, T: for<'m> TryFrom<&'m M> + Debug>(all: &[M]) -> Option<String> {
    let mut read = all
        .iter()
        .filter_map(|it| T::try_from(it).ok().zip(Some(it)));
    let (read, message) = read.next()?;
    Some(format!("{message:?} is taken for {read:?}"))
}
