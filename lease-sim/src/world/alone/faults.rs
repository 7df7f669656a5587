use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{BackendLessor, LeaseError, LeaseId, LeaseItem, LeaseRow, Lessor, probe};

use super::deleter::has_held_on;
use super::ledger::Ledger;
use super::office::Office;
use super::start::{Ports, start};
use super::watch::Notice;
use super::{DISTURBED_MS, Held, Host};
use crate::plan::Plan;
use crate::world::clock::Round;

/// What goes wrong, and ends again.
/// How long nothing may expire after a start, where the host waits until its clients have come back.
const SUSPENDED_MS: u64 = 2_500;

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
            self.look_at_store();
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
        // Each of them keeps the lessor.
        self.renewals.clear();
        self.resetting.clear();
        self.polled.drop_all();
        let is_quiet = self.now_ms() >= self.disturbed_until_ms;
        if exit == Exit::InOrder && is_quiet {
            self.spoil_store();
        }
        if self.suspended_until_ms.is_none() && self.parameters.hash_seed % 3 == 1 {
            probe::mark("alone: a lessor starts with expiry suspended");
            self.suspended_at_ms = self.own_ms();
            self.suspended_until_ms = Some(self.now_ms() + SUSPENDED_MS);
        }
        let (backend, lessor) = match self.start() {
            Ok(started) => started,
            Err(error) => return self.object(format!("a sound disk is not read: {error}")),
        };
        (self.backend, self.lessor) = (backend, lessor);
        probe::mark("alone: a lessor starts again");
        self.told = None;
        self.office = Office::default();
        self.deliveries.told = 0;
        self.deliveries.drop_all();
        self.drawn = self.drawn_anew();
        self.look_at_strange();
        self.look_at_checkpoints();
        // Of writes that were held back some may be lost, and of a commit that failed nobody knows.
        let is_quiet = self.now_ms() >= self.disturbed_until_ms;
        let is_exact = match exit {
            Exit::InOrder => is_quiet || !self.parameters.durable && !self.undone.is_lost(),
            Exit::PowerLost => is_quiet && self.parameters.durable,
        };
        self.begin_ledger();
        self.attach_again();
        self.come_back(match is_exact {
            true => Known::Whole,
            false => Known::Partly,
        });
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
        let keeps_rows = self.alone.keeps_rows;
        let deleter = keeps_rows.then(|| Arc::clone(&self.rows.deleter) as _);
        let was_primary = self.lessor.primary_epoch().is_some();
        let recovered = self.lessor.recover(Arc::clone(&self.backend) as _, deleter);
        if self.expect("a recovery", &recovered, None) {
            if self.watch.has_told(&Notice::Demoted) != was_primary {
                self.object("the observer was not told that the lessor is no primary any more");
            }
            self.deliveries.drop_all();
            self.polled.drop_all();
            self.look_at_strange();
            self.look_at_checkpoints();
            self.begin_ledger();
            self.attach_again();
            self.come_back(Known::Whole);
            self.count_anew();
        }
    }

    /// The lessor gives up its office and takes it again.
    pub(super) fn step_down(&mut self) {
        probe::mark("alone: a lessor is demoted and promoted");
        self.settle();
        if !probe::is_planted("alone-never-demoted") {
            self.lessor.demote();
        }
        let must = self.office.is_primary().then_some(Notice::Demoted);
        let told = self.watch.take_notices();
        if told != Vec::from_iter(must) && !probe::is_planted("alone-never-demoted") {
            self.object(format!("of a demotion the observer was told {told:?}"));
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
        self.end_renewals();
        self.come_back(Known::InMemory);
        self.take_while_demoted();
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
        let is_stored =
            |row: &&LeaseRow| row.remaining.is_some() && !self.strange.has(row.id.get());
        let stored = rows.iter().find(is_stored);
        if let Some(row) = stored.filter(|_| !self.alone.stores_checkpoints) {
            self.object(format!("a checkpoint of lease {} was stored", row.id));
        }
    }

    /// All leases are counted anew, from what the lessor has of them.
    fn come_back(&mut self, known: Known) {
        let rows = self.lessor.rows();
        let found: BTreeSet<_> = rows.iter().map(|row| row.id.get()).collect();
        let is_exact = known != Known::Partly;
        match known {
            Known::Whole => {
                self.look_at_rows();
                if self.alone.in_memory {
                    self.look_at_memory();
                }
            }
            // What is not written yet is not in the store.
            Known::InMemory => {}
            Known::Partly => {
                self.forget_rows();
                self.read_rows();
            }
        }
        self.waits.clear();
        self.renewals.clear();
        self.deliveries.end_promotion();
        self.polled.end_promotion();
        // What was due may have gone.
        let is_same = found.iter().eq(self.held.keys());
        if is_exact && !is_same {
            let held = self.held.keys();
            let message = format!("leases {held:?} came back as {found:?}");
            self.object(message);
        }
        for row in &rows {
            let held = self.held.get(&row.id.get());
            if is_exact && held.is_some_and(|held| held.ttl_ms != row.ttl.as_secs() * 1000) {
                self.object(format!("lease {} came back with {} s", row.id, row.ttl));
            }
        }
        for (lease, held) in self.held.clone() {
            let items = self.items_of(lease);
            if is_exact && held.items != items {
                let count = items.len();
                self.object(format!("lease {lease} came back with {count} items"));
            }
        }
        self.take_office();
        self.count_leases();
    }

    fn items_of(&self, lease: i64) -> BTreeSet<LeaseItem> {
        let lease = LeaseId::new(lease).and_then(|id| self.lessor.lookup(id));
        let items = lease.iter().flat_map(|lease| lease.keys().iter().cloned());
        items.collect()
    }

    /// All leases are counted from what the lessor has of them. One that was there before is the same.
    pub(super) fn count_leases(&mut self) {
        let before = std::mem::take(&mut self.held);
        for row in self.lessor.rows() {
            let items = self.items_of(row.id.get());
            let left_ms = row.remaining.unwrap_or(row.ttl).as_secs() * 1000;
            self.grants += 1;
            let known = before.get(&row.id.get());
            let held = Held {
                grant: known.map_or(self.grants, |held| held.grant),
                ttl_ms: row.ttl.as_secs() * 1000,
                until: self.until(left_ms),
                since_ms: self.own_ms(),
                items,
            };
            if has_held_on(&held.items) {
                self.rows.held_on.insert(held.grant);
            }
            self.held.insert(row.id.get(), held);
        }
        self.look_at_items();
        // What was told of what a start has found, and of what is before it.
        self.owed.clear();
        drop(self.watch.take(&[]));
    }

    pub(super) fn promote(&mut self) {
        self.office.note_promotion();
        let promoted = self.lessor.promote(Duration::ZERO);
        if let Ok(epoch) = &promoted {
            let told = self.watch.take_notices();
            if told.last() != Some(&Notice::Promoted(*epoch)) {
                self.object(format!("of a promotion the observer was told {told:?}"));
            }
        }
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
        self.office.hurry();
        self.deliveries.lingers_until_ms = self.deliveries.lingers_until_ms.min(self.now_ms());
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
    pub(super) fn start(&self) -> Result<(Arc<Ledger>, Arc<BackendLessor>), LeaseError> {
        let (parameters, alone) = (&self.parameters, self.alone);
        start(
            parameters,
            alone,
            &self.clock,
            &self.disk,
            &self.memory,
            Ports {
                watch: &self.watch,
                pusher: &self.pusher,
                deleter: &self.rows.deleter,
            },
            self.suspended_until_ms.is_some(),
        )
    }
}

/// What must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// All that was done.
    Whole,
    /// That too, but some of it is not in the store yet.
    InMemory,
    /// Nobody knows of the last commands.
    Partly,
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    InOrder,
    PowerLost,
}
