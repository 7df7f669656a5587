use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use lease_backend::testing::SimDisk;
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{
    Backend, BackendLessor, CheckpointMode, Driver, Durability, ExpiryMode, ItemMode, LeaseError,
    LeaseId, Lessor, LessorConfig, Ttl, probe,
};

use super::checkpointer::Pusher;
use super::watch::Watch;
use super::{DISTURBED_MS, Held, Host};
use crate::plan::{Alone, Parameters, Plan};
use crate::world::clock::{Round, SimClock};

/// What goes wrong, and ends again.
impl Host {
    /// An operation of the disk fails; when that will be nobody knows.
    pub(super) fn fail_disk(&mut self, after_operations: u64) {
        self.disturbed_until_ms = u64::MAX;
        self.fails_at = Some(self.disk.operations() + after_operations);
        self.disk.fail_after(after_operations);
    }

    /// The power goes in the middle of an operation.
    pub(super) fn cut_power(&mut self, after_operations: u64) {
        self.disturbed_until_ms = u64::MAX;
        self.disk.cut_power_after(after_operations);
    }

    pub(super) fn fill_disk(&mut self, for_ms: u64) {
        probe::mark("alone: a disk is full");
        self.disturbed_until_ms = u64::MAX;
        self.full_until_ms = Some(self.now_ms() + for_ms);
        self.disk.fill();
    }

    /// What is over with the disk.
    pub(super) fn look_at_disk(&mut self) {
        if !self.disk.is_powered() {
            probe::mark("alone: the power goes in the middle of an operation");
            return self.restart(Exit::PowerLost);
        }
        let now_ms = self.now_ms();
        let is_over = self
            .full_until_ms
            .is_some_and(|until_ms| until_ms <= now_ms);
        let has_failed = self.fails_at.is_some_and(|at| at < self.disk.operations());
        if is_over || has_failed {
            self.mend();
        }
    }

    /// Nothing may expire for a while, also if the lessor starts again meanwhile.
    pub(super) fn suspend(&mut self, for_ms: u64) {
        if self.suspended_until_ms.is_none() {
            self.suspended_at_ms = self.clock.own_time(Round::Up).to_ms;
        }
        self.suspended_until_ms = Some(self.now_ms() + for_ms);
        if !probe::is_planted("alone-expires-while-suspended") {
            self.lessor.suspend_expiry();
        }
    }

    /// The disk works again.
    fn mend(&mut self) {
        self.disk.heal();
        self.disk.set_capacity(u64::MAX);
        (self.full_until_ms, self.fails_at) = (None, None);
        let mended_ms = self.now_ms() + DISTURBED_MS;
        self.disturbed_until_ms = self.disturbed_until_ms.min(mended_ms);
    }

    pub(super) fn disturb(&mut self, for_ms: u64) {
        self.disturbed_until_ms = self.disturbed_until_ms.max(self.now_ms() + for_ms);
    }

    /// Starts again from the disk.
    pub(super) fn restart(&mut self, exit: Exit) {
        if !self.alone.in_memory {
            self.disk = self.disk.restart();
        }
        (self.full_until_ms, self.fails_at) = (None, None);
        self.clock.forget_readings();
        let (backend, lessor) = match self.start() {
            Ok(started) => started,
            Err(error) => return self.object(format!("a sound disk is not read: {error}")),
        };
        (self.backend, self.lessor) = (backend, lessor);
        probe::mark("alone: a lessor starts again");
        self.look_at_checkpoints();
        self.attach_again();
        // Of writes that were held back some may be lost, and of a commit that failed nobody knows.
        let is_exact = exit == Exit::InOrder || self.parameters.durable;
        self.come_back(is_exact && self.now_ms() >= self.disturbed_until_ms);
        if self.disturbed_until_ms == u64::MAX {
            self.disturbed_until_ms = self.now_ms();
        }
        self.count_anew();
    }

    /// A host that keeps the items attaches them to the leases that are there, before any may expire.
    fn attach_again(&mut self) {
        if !self.alone.replays_items || probe::is_planted("alone-attaches-nothing-again") {
            return;
        }
        for (lease, held) in self.held.clone() {
            let found = LeaseId::new(lease).and_then(|id| self.lessor.lookup(id));
            let Some(found) = found else {
                continue;
            };
            if !found.keys().is_empty() {
                self.object(format!("lease {lease} has items that nobody has stored"));
            }
            if !held.items.is_empty() {
                probe::mark("alone: a host attaches its items again");
                let items: Vec<_> = held.items.into_iter().collect();
                let attached = self.lessor.attach(found.id(), &items);
                self.expect("an attach after a start", &attached, None);
            }
        }
    }

    /// Reads the store again, without an end of the process.
    pub(super) fn recover(&mut self) {
        let flushed = self.lessor.flush().map_err(LeaseError::Backend);
        if !self.expect("a flush", &flushed, None) {
            return;
        }
        probe::mark("alone: a lessor reads its store again");
        let recovered = self.lessor.recover(Arc::clone(&self.backend), None);
        if self.expect("a recovery", &recovered, None) {
            self.look_at_checkpoints();
            self.attach_again();
            self.come_back(true);
            self.count_anew();
        }
    }

    /// The lessor gives up its office and takes it again.
    pub(super) fn step_down(&mut self) {
        probe::mark("alone: a lessor is demoted and promoted");
        if !probe::is_planted("alone-never-demoted") {
            self.lessor.demote();
        }
        let first = self
            .held
            .keys()
            .next()
            .and_then(|lease| LeaseId::new(*lease));
        if let Some(id) = first {
            let renewed = self.lessor.try_renew(id);
            if renewed != Err(LeaseError::NotPrimary) {
                self.object(format!(
                    "a renewal without a primary was answered {renewed:?}"
                ));
            }
            let left = self.lessor.lookup(id).and_then(|lease| lease.remaining());
            if left.is_some() {
                self.object(format!("without a primary lease {id} has {left:?}"));
            }
        }
        self.look_for_waits("without a primary");
        // What is not written yet is not in the store.
        let written = self.written.take();
        self.come_back(true);
        self.written = written;
    }

    /// Nobody waits any more.
    pub(super) fn look_for_waits(&mut self, when: &str) {
        let mut waits = self.waits.iter();
        if waits.any(|(_, _, wait)| wait.try_outcome().is_none()) {
            self.object(format!("a wait goes on {when}"));
        }
    }

    /// What is read from the store has no checkpoint, if they are kept out of it.
    fn look_at_checkpoints(&mut self) {
        let rows = self.lessor.rows();
        let stored = rows.iter().find(|row| row.remaining.is_some());
        if let Some(row) = stored.filter(|_| !self.alone.stores_checkpoints) {
            self.object(format!("a checkpoint of lease {} was stored", row.id));
        }
    }

    /// All leases are counted anew, from what the lessor has of them.
    fn come_back(&mut self, is_exact: bool) {
        let rows = self.lessor.rows();
        let found: BTreeSet<_> = rows.iter().map(|row| row.id.get()).collect();
        if is_exact {
            self.look_at_number();
        } else {
            self.written = None;
        }
        self.waits.clear();
        // What was due may have gone.
        let is_same = found.iter().eq(self.held.keys());
        if is_exact && !is_same {
            let held = self.held.keys();
            let message = format!("leases {held:?} came back as {found:?}");
            self.object(message);
        }
        self.promote();
        let before = std::mem::take(&mut self.held);
        for row in rows {
            let lease = self.lessor.lookup(row.id);
            let items = lease.iter().flat_map(|lease| lease.keys().iter().cloned());
            let items: BTreeSet<_> = items.collect();
            let known = before.get(&row.id.get());
            if is_exact && known.is_some_and(|held| held.items != items) {
                let count = items.len();
                self.object(format!("lease {} came back with {count} items", row.id));
            }
            let left_ms = row.remaining.unwrap_or(row.ttl).as_secs() * 1000;
            self.grants += 1;
            let held = Held {
                grant: self.grants,
                ttl_ms: row.ttl.as_secs() * 1000,
                until: self.until(left_ms),
                since_ms: self.own_ms(),
                items,
            };
            self.held.insert(row.id.get(), held);
        }
        self.look_at_items();
        // What was told of what a start has found, and of what is before it.
        self.owed.clear();
        drop(self.watch.take());
    }

    pub(super) fn promote(&mut self) {
        let promoted = self.lessor.promote(Duration::ZERO);
        if !self.expect("a promotion", &promoted, None) {
            // A host promotes when its disk works again; without power it starts anew.
            self.mend();
            if self.disk.is_powered() {
                let promoted = self.lessor.promote(Duration::ZERO);
                self.expect("a promotion on a disk that works", &promoted, None);
            }
        }
    }

    pub(super) fn heal(&mut self, plan: &Plan) {
        if self.disturbed_until_ms == u64::MAX {
            self.mend();
        }
        self.suspended_until_ms = self.suspended_until_ms.map(|_| 0);
        let longest_ms = plan.parameters.longest_ttl.unsigned_abs() * 1000;
        let long = self
            .held
            .iter()
            .filter(|(_, held)| held.ttl_ms > longest_ms);
        let long: Vec<_> = long.map(|(lease, _)| *lease).collect();
        for lease in long {
            self.revoke(lease);
        }
    }

    /// A lessor on what is stored, and its backend.
    fn start(&self) -> Result<(Arc<dyn Backend>, Arc<BackendLessor>), LeaseError> {
        let (parameters, alone) = (&self.parameters, self.alone);
        start(
            parameters,
            alone,
            &self.clock,
            &self.disk,
            &self.memory,
            &self.watch,
            self.suspended_until_ms.is_some(),
        )
    }
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    InOrder,
    PowerLost,
}

pub(super) fn start(
    parameters: &Parameters,
    alone: Alone,
    clock: &SimClock,
    disk: &SimDisk,
    memory: &Arc<MemoryBackend>,
    watch: &Arc<Watch>,
    is_suspended: bool,
) -> Result<(Arc<dyn Backend>, Arc<BackendLessor>), LeaseError> {
    let backend: Arc<dyn Backend> = if alone.in_memory {
        Arc::clone(memory) as _
    } else {
        let redb = RedbBackend::create_with_storage(disk.clone());
        Arc::new(redb.map_err(LeaseError::Backend)?)
    };
    let config = LessorConfig {
        min_ttl: Ttl::new(parameters.min_ttl[0]).expect("the plan is sound"),
        checkpoint_interval: Duration::from_millis(parameters.checkpoint_interval_ms),
        checkpoint_persist: alone.stores_checkpoints,
        revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
        max_leases: Some(alone.max_leases)
            .filter(|most| *most > 0 && !probe::is_planted("alone-without-a-limit")),
        hash_seed: Some(parameters.hash_seed),
        ..LessorConfig::default()
    };
    let durability = if parameters.durable && !probe::is_planted("alone-writes-late") {
        Durability::EveryCommand
    } else {
        Durability::Batched {
            interval: Duration::from_millis(parameters.commit_interval_ms),
            max_writes: NonZeroUsize::new(50).expect("not zero"),
        }
    };
    let mut builder = BackendLessor::builder(Arc::clone(&backend))
        .config(config)
        .clock(Arc::new(clock.clone()))
        .driver(Driver::Manual)
        .expiry(ExpiryMode::AutoRevoke)
        .items(match alone.replays_items {
            true => ItemMode::Replayed,
            false => ItemMode::Stored,
        })
        .observer(Arc::clone(watch) as _)
        .durability(durability);
    if is_suspended && !probe::is_planted("alone-expires-while-suspended") {
        builder = builder.suspend_expiry();
    }
    let pusher = Arc::new(Pusher::default());
    builder = builder.checkpoints(match alone.pushes_checkpoints {
        true => CheckpointMode::Proposed(Arc::clone(&pusher) as _),
        false => CheckpointMode::Local,
    });
    let lessor = Arc::new(builder.build()?);
    pusher.set_lessor(&lessor);
    Ok((backend, lessor))
}
