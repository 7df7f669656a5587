use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use lease_backend::testing::SimDisk;
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{
    Backend, BackendLessor, CheckpointMode, Driver, Durability, ExpiryMode, ItemMode, LeaseError,
    Lessor, LessorConfig, LessorEvent, Observer, Ttl, probe,
};

use super::checkpointer::Pusher;
use super::deleter::Deleter;
use super::ids::ids_of_member;
use super::ledger::Ledger;
use super::watch::{Plain, Watch};
use crate::plan::{Alone, Parameters};
use crate::world::clock::SimClock;

/// What the lessor calls of its host.
pub(super) struct Ports<'a> {
    pub(super) watch: &'a Arc<Watch>,
    pub(super) pusher: &'a Arc<Pusher>,
    pub(super) deleter: &'a Arc<Deleter>,
}

/// A lessor on what is stored, and its backend.
pub(super) fn start(
    parameters: &Parameters,
    alone: Alone,
    clock: &SimClock,
    disk: &SimDisk,
    memory: &Arc<MemoryBackend>,
    Ports {
        watch,
        pusher,
        deleter,
    }: Ports<'_>,
    is_suspended: bool,
) -> Result<(Arc<Ledger>, Arc<BackendLessor>), LeaseError> {
    let backend: Arc<dyn Backend> = if alone.in_memory {
        Arc::clone(memory) as _
    } else {
        let redb = RedbBackend::create_with_storage(disk.clone());
        Arc::new(redb.map_err(LeaseError::Backend)?)
    };
    let backend = Arc::new(Ledger::of(backend));
    let config = LessorConfig {
        min_ttl: Ttl::new(parameters.min_ttl[0]).expect("the plan is sound"),
        checkpoint_interval: Duration::from_millis(parameters.checkpoint_interval_ms),
        checkpoint_persist: alone.stores_checkpoints,
        revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
        max_leases: Some(alone.max_leases)
            .filter(|most| *most > 0 && !probe::is_planted("alone-without-a-limit")),
        max_items_per_lease: Some(alone.max_items)
            .filter(|most| *most > 0 && !probe::is_planted("alone-items-without-a-limit")),
        hash_seed: Some(parameters.hash_seed),
        ..delivery_of(parameters, alone)
    };
    let durability = if parameters.durable && !probe::is_planted("alone-writes-late") {
        Durability::EveryCommand
    } else {
        Durability::Batched {
            interval: match probe::is_planted("alone-writes-wait-longer") {
                true => Duration::from_millis(3 * parameters.commit_interval_ms),
                false => Duration::from_millis(parameters.commit_interval_ms),
            },
            max_writes: NonZeroUsize::new(alone.max_writes).unwrap_or(MAX_WRITES),
        }
    };
    let wants = watch.wants();
    let observer: Arc<dyn Observer> = match wants.items || wants.attachments {
        true => Arc::clone(watch) as _,
        false => Arc::new(Plain(Arc::clone(watch))),
    };
    let mut builder = BackendLessor::builder(Arc::clone(&backend) as _)
        .config(config)
        .clock(Arc::new(clock.clone()))
        .driver(Driver::Manual)
        .expiry(match alone.delivers {
            true => ExpiryMode::Deliver,
            false => ExpiryMode::AutoRevoke,
        })
        .expired_capacity(parameters.expired_capacity)
        .items(match alone.replays_items {
            true => ItemMode::Replayed,
            false => ItemMode::Stored,
        })
        .observer(match parameters.hash_seed.is_multiple_of(3) {
            true => Arc::new(vec![Arc::new(Deaf) as _, observer]),
            false => observer,
        })
        .durability(durability);
    if is_suspended && !probe::is_planted("alone-expires-while-suspended") {
        builder = builder.suspend_expiry();
    }
    if alone.ids_of_member {
        builder = builder.ids(ids_of_member(clock));
    }
    if alone.polls_checkpoints {
        builder = builder.checkpoints(CheckpointMode::Polled);
    }
    // In the one way or the other.
    let is_set_later = parameters.hash_seed.is_multiple_of(2);
    if alone.pushes_checkpoints && !is_set_later {
        builder = builder
            .checkpointer(Arc::clone(pusher) as _)
            .checkpoint_timeout(CHECKPOINT_TIMEOUT);
    }
    let lessor = Arc::new(builder.build()?);
    if alone.keeps_rows && !probe::is_planted("alone-rows-outlive-their-lease") {
        lessor.set_range_deleter(Arc::clone(deleter) as _);
    }
    if alone.pushes_checkpoints && is_set_later {
        lessor.set_checkpointer(Arc::clone(pusher) as _);
    }
    pusher.set_lessor(&lessor);
    // The observer is told of items also if nobody else is, and a stream also if the observer is not.
    let rest = parameters.hash_seed / 4;
    watch.follow(
        &lessor,
        parameters.hash_seed % 4 <= 1,
        !rest.is_multiple_of(3),
    );
    Ok((backend, lessor))
}

/// An observer that wants nothing, beside one that may.
struct Deaf;

impl Observer for Deaf {
    fn observe(&self, _: &LessorEvent<'_>) {}
}

/// How long the host may take for checkpoints, where it is not as long as by default.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(2);

/// How many writes start a commit, if the plan does not say.
const MAX_WRITES: NonZeroUsize = NonZeroUsize::new(50).expect("not zero");

/// How expired leases are delivered, where the host takes them.
fn delivery_of(parameters: &Parameters, alone: Alone) -> LessorConfig {
    let batch = NonZeroU32::new(parameters.expired_batch);
    let mut config = LessorConfig {
        max_expired_batch_size: batch.expect("the plan is sound"),
        ..LessorConfig::default()
    };
    if alone.delivers {
        let retry_ms = match probe::is_planted("alone-retries-too-soon") {
            true => parameters.retry_interval_ms / 2,
            false => parameters.retry_interval_ms,
        };
        config.expired_lease_retry_interval = Duration::from_millis(retry_ms);
    }
    config
}
