mod commands;
mod expiry;
mod host;
mod store;
mod text;

pub(crate) use store::{MemoryStore, RedbStore, Store};

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lease_core::{
    BackendLessor, CheckpointMode, Clock, Driver, Lessor, LessorConfig, ManualClock, Timestamp, Ttl,
};

use crate::trace::{Checkpoints, Settings, Trace};
use expiry::{Taken, Waiting};
use host::Host;

/// Our lessor, driven by hand, and its host.
pub(crate) struct World<'s> {
    settings: Settings,
    store: &'s mut dyn Store,
    clock: Arc<ManualClock>,
    // `None` between one lessor and the next.
    lessor: Option<Arc<BackendLessor>>,
    host: Arc<Host>,
    is_held: bool,
    taken: Vec<Taken>,
    waiting: Vec<Waiting>,
    kept: Vec<String>,
    before: Counters,
}

/// What earlier lessors of the trace have counted.
#[derive(Clone, Copy, Default)]
struct Counters {
    granted: u64,
    revoked: u64,
    renewed: u64,
}

/// Runs a trace. The answers are those of the commands, a line each.
///
/// # Errors
///
/// If the store cannot be made or read.
pub(crate) fn run(trace: &Trace, store: &mut dyn Store) -> Result<Vec<String>> {
    let mut world = World::new(trace.settings.clone(), store)?;
    let run = |command| world.run(command);
    trace.commands.iter().map(run).collect()
}

impl<'s> World<'s> {
    fn new(settings: Settings, store: &'s mut dyn Store) -> Result<Self> {
        let clock = Arc::new(ManualClock::default());
        let host = Host::new(clock.clone());
        let lessor = start(&settings, store, &clock, &host)?;
        Ok(Self {
            settings,
            store,
            clock,
            lessor: Some(lessor),
            host,
            is_held: false,
            taken: Vec::new(),
            waiting: Vec::new(),
            kept: Vec::new(),
            before: Counters::default(),
        })
    }

    fn lessor(&self) -> &BackendLessor {
        self.lessor
            .as_deref()
            .expect("there is one between commands")
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stops the lessor and starts another one on its store.
    fn restart(&mut self) -> Result<()> {
        self.lessor().stop();
        self.settle()?;
        let counted = self.lessor().stats();
        self.before.granted += counted.granted;
        self.before.revoked += counted.revoked;
        self.before.renewed += counted.renewed;
        // The store is open for one at a time.
        self.lessor = None;
        self.store.close();
        let lessor = start(&self.settings, self.store, &self.clock, &self.host)?;
        self.lessor = Some(lessor);
        Ok(())
    }
}

fn start(
    settings: &Settings,
    store: &mut dyn Store,
    clock: &Arc<ManualClock>,
    host: &Arc<Host>,
) -> Result<Arc<BackendLessor>> {
    let mut builder = BackendLessor::builder(store.open()?)
        .config(config(settings))
        .clock(clock.clone())
        .driver(Driver::Manual)
        // Nobody is to wait for room here: etcd's half has an outbox of any size.
        .expired_capacity(1 << 20)
        .checkpoints(match settings.checkpoints {
            Checkpoints::None => CheckpointMode::Local,
            Checkpoints::Direct => CheckpointMode::Proposed(host.checkpointer()),
            Checkpoints::Deferred => CheckpointMode::Polled,
        });
    if settings.has_deleter {
        builder = builder.range_deleter(host.deleter());
    }
    let lessor = Arc::new(builder.build()?);
    host.set_lessor(&lessor);
    Ok(lessor)
}

fn config(settings: &Settings) -> LessorConfig {
    LessorConfig {
        min_ttl: Ttl::new(settings.min_ttl).unwrap_or(Ttl::MIN),
        checkpoint_interval: Duration::from_millis(settings.checkpoint_interval_ms),
        expired_lease_retry_interval: Duration::from_millis(settings.retry_interval_ms),
        checkpoint_persist: settings.persist,
        max_leases: settings.max_leases,
        max_items_per_lease: settings.max_items.or(Some(1 << 20)),
        clock_lag: Duration::from_millis(settings.clock_lag_ms),
        // A checkpoint a millisecond is more than etcd's rate, which no trace is about.
        checkpoint_rate_per_sec: match settings.checkpoint_interval_ms {
            0 => None,
            _ => NonZeroU32::new(1000),
        },
        ..LessorConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::generate;

    #[test]
    fn both_stores_answer_alike() {
        for seed in 1..=20 {
            let trace = generate(seed);
            let memory = run(&trace, &mut MemoryStore::default()).expect("it runs");
            let mut redb = RedbStore::new().expect("a folder");
            let redb = run(&trace, &mut redb).expect("it runs");
            assert_eq!(memory, redb, "seed {seed}");
        }
    }
}
