//! What may happen, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::LessorConfig;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Grant {
        id: usize,
        ttl: usize,
        supplied: bool,
    },
    Revoke {
        id: usize,
    },
    Decide {
        id: usize,
        kind: usize,
        items: Vec<u8>,
        epoch: u64,
    },
    EndDecision {
        which: usize,
        fails: bool,
    },
    RevokeExpired {
        which: usize,
    },
    Renew {
        id: usize,
    },
    Attach {
        id: usize,
        items: Vec<u8>,
    },
    Detach {
        id: usize,
        items: Vec<u8>,
    },
    Advance {
        ms: u64,
    },
    ClockBack,
    Promote {
        epoch: u64,
        extend_ms: u64,
    },
    Demote {
        epoch: u64,
    },
    BeginEpoch {
        epoch: u64,
    },
    Poll,
    Take {
        which: usize,
    },
    AttemptFailed {
        which: usize,
    },
    PollCheckpoints,
    ApplyCheckpoint {
        which: usize,
    },
    ApplyReset {
        which: usize,
    },
    CheckpointOutcome {
        which: usize,
        failed: bool,
    },
    Suspend,
    Resume,
    Wait {
        id: usize,
    },
    GiveUp {
        which: usize,
    },
    Recover,
}

pub(crate) const IDS: [i64; 6] = [i64::MIN, -1, 1, 2, 300, i64::MAX];
pub(crate) const TTLS: [i64; 6] = [1, 2, 5, 30, 100, 9_000_000_000];

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let id = 0..IDS.len();
    let ttl = 0..TTLS.len();
    let items = prop::collection::vec(0_u8..4, 0..4);
    prop_oneof![
        8 => (id.clone(), ttl, any::<bool>())
            .prop_map(|(id, ttl, supplied)| Op::Grant { id, ttl, supplied }),
        2 => id.clone().prop_map(|id| Op::Revoke { id }),
        3 => (id.clone(), 0_usize..6, items.clone(), 0_u64..8)
            .prop_map(|(id, kind, items, epoch)| Op::Decide { id, kind, items, epoch }),
        3 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, fails)| Op::EndDecision { which, fails }),
        4 => any::<usize>().prop_map(|which| Op::RevokeExpired { which }),
        8 => id.clone().prop_map(|id| Op::Renew { id }),
        3 => (id.clone(), items.clone()).prop_map(|(id, items)| Op::Attach { id, items }),
        1 => (id.clone(), items).prop_map(|(id, items)| Op::Detach { id, items }),
        8 => prop_oneof![0_u64..20, 0_u64..3_000, 0_u64..40_000].prop_map(|ms| Op::Advance { ms }),
        1 => Just(Op::ClockBack),
        3 => (0_u64..8, 0_u64..3_000)
            .prop_map(|(epoch, extend_ms)| Op::Promote { epoch, extend_ms }),
        1 => (0_u64..8).prop_map(|epoch| Op::Demote { epoch }),
        1 => (0_u64..8).prop_map(|epoch| Op::BeginEpoch { epoch }),
        8 => Just(Op::Poll),
        3 => any::<usize>().prop_map(|which| Op::Take { which }),
        1 => any::<usize>().prop_map(|which| Op::AttemptFailed { which }),
        6 => Just(Op::PollCheckpoints),
        4 => any::<usize>().prop_map(|which| Op::ApplyCheckpoint { which }),
        4 => any::<usize>().prop_map(|which| Op::ApplyReset { which }),
        2 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, failed)| Op::CheckpointOutcome { which, failed }),
        1 => Just(Op::Suspend),
        1 => Just(Op::Resume),
        1 => id.prop_map(|id| Op::Wait { id }),
        1 => any::<usize>().prop_map(|which| Op::GiveUp { which }),
        1 => Just(Op::Recover),
    ]
}

pub(crate) fn config() -> impl Strategy<Value = LessorConfig> {
    let rate = prop_oneof![Just(None), (1_u32..4).prop_map(NonZeroU32::new)];
    (rate.clone(), rate, 1_u32..4, any::<u64>(), any::<bool>()).prop_map(
        |(revoke_rate, checkpoint_rate, batch, hash_seed, limited)| LessorConfig {
            checkpoint_interval: Duration::from_secs(10),
            revoke_rate_per_sec: revoke_rate,
            checkpoint_rate_per_sec: checkpoint_rate,
            max_expired_batch_size: NonZeroU32::new(batch).expect("not zero"),
            max_checkpoint_batch_size: NonZeroU32::new(batch).expect("not zero"),
            max_leases: limited.then_some(4),
            max_items_per_lease: limited.then_some(2),
            hash_seed: Some(hash_seed),
            ..LessorConfig::default()
        },
    )
}
