use std::sync::{Arc, Weak};
use std::time::Duration;

use lease_core::probe;

use super::member::Letter;
use lease_backend::testing::SimDisk;

use super::member::Part;
use super::{World, lock, replica};
use crate::event::{Event, Exit};
use crate::plan::{Action, End, Engine};

impl World {
    /// Builds the members and starts them.
    pub(super) fn start_members(self: &Arc<Self>) {
        for (node, member) in self.members.iter().enumerate() {
            // The runtime keeps this closure, and the world keeps the runtime.
            let world = Arc::downgrade(self);
            let builder = self.runtime.create_node().name(format!("node-{node}"));
            let handle = builder
                .init(move || {
                    let world = Weak::clone(&world);
                    async move {
                        let Some(world) = world.upgrade() else {
                            return;
                        };
                        replica::run(world, node).await;
                    }
                })
                .build();
            *lock(&member.handle) = Some(handle);
        }
    }

    /// Ends everything that runs, so that nothing keeps the world.
    pub(super) fn end_all(&self) {
        for node in 0..self.members.len() {
            self.members[node].close_mailbox();
            self.with_handle(node, |world, id| world.runtime.kill(id));
        }
        self.runtime.kill(self.outside.id());
    }

    /// Does what the plan says.
    pub(super) fn act(self: &Arc<Self>, action: Action) {
        match action {
            Action::Elect { node } => self.elect(node),
            Action::Transfer { node } => self.transfer(node),
            Action::Crash { node, for_ms } => self.crash(node, millis(for_ms)),
            Action::Blackout { for_ms } => {
                probe::mark("raft: all members lose power at once");
                for node in 0..self.members.len() {
                    self.crash(node, millis(for_ms));
                }
            }
            Action::LoseDisk { node, for_ms } => self.lose_disk(node, millis(for_ms)),
            Action::PowerCut {
                node,
                after_operations,
                for_ms,
            } => {
                lock(&self.members[node].status).down_for = millis(for_ms);
                self.harm_disk(node);
                lock(&self.members[node].disk).cut_power_after(after_operations);
            }
            Action::Stop { node, for_ms } => self.members[node].post(Letter::Stop(millis(for_ms))),
            Action::Pause { node, for_ms } => self.pause(node, for_ms),
            Action::Cut { from, to, for_ms } => self.cut(&[(from, to)], for_ms, action),
            Action::Isolate { node, for_ms } => {
                let others = (0..self.members.len()).filter(|other| *other != node);
                let others = others.map(End::Node).chain([End::Log, End::Clients]);
                let node = End::Node(node);
                let links = others.flat_map(|other| [(node, other), (other, node)]);
                self.cut(&links.collect::<Vec<_>>(), for_ms, action);
            }
            Action::Clog { node, for_ms } => {
                lock(&self.network).clog(node);
                self.after_fault(node, for_ms, move |world| world.unclog(node, false));
            }
            Action::ClockBack { node, by_ms } => {
                self.members[node].clock.set_back(millis(by_ms));
                self.hear(Event::ClockSetBack { node, by_ms });
            }
            Action::DiskError {
                node,
                after_operations,
                times,
            } => {
                self.harm_disk(node);
                lock(&self.members[node].status).more_disk_errors = times.saturating_sub(1);
                lock(&self.members[node].disk).fail_after(after_operations);
            }
            Action::DiskFull { node, for_ms } => {
                self.harm_disk(node);
                lock(&self.members[node].disk).fill();
                self.after_fault(node, for_ms, move |world| {
                    lock(&world.members[node].disk).set_capacity(u64::MAX);
                });
            }
            Action::DiskSlow {
                node,
                by_ms,
                for_ms,
            } => {
                lock(&self.members[node].status).slow_by = millis(by_ms);
                self.hear(Event::DiskHarmed { node });
                self.after_fault(node, for_ms, move |world| {
                    lock(&world.members[node].status).slow_by = Duration::ZERO;
                });
            }
            Action::Snapshot { node } if self.parameters.engine != Engine::Raft => {
                self.send_snapshot_to(node);
            }
            Action::Snapshot { .. } => {}
            Action::Learn { node } => self.want(node, Part::Learner),
            Action::Admit { node } => self.want(node, Part::Voter),
            Action::Remove { node } => self.want(node, Part::Gone),
            Action::Suspend { node, for_ms } => {
                lock(&self.members[node].status).suspends += 1;
                self.members[node].post(Letter::SuspendExpiry(true));
                self.after_fault(node, for_ms, move |world| {
                    let member = &world.members[node];
                    let mut status = lock(&member.status);
                    status.suspends = status.suspends.saturating_sub(1);
                    let is_over = status.suspends == 0;
                    drop(status);
                    if is_over {
                        member.post(Letter::SuspendExpiry(false));
                    }
                });
            }
            _ => self.client(action),
        }
    }

    /// Cuts a member's power. Its disk is fenced before its process goes.
    pub(super) fn crash(self: &Arc<Self>, node: usize, down_for: Duration) {
        self.end_process(node, down_for, Exit::PowerLost);
    }

    /// Ends a member whose power is gone.
    pub(super) fn lose_power(self: &Arc<Self>, node: usize) {
        let down_for = lock(&self.members[node].status).down_for;
        self.crash(node, down_for.max(millis(100)));
    }

    /// Takes a member's disk, and with it all that it knows. On openraft it never comes back, since it would not
    /// know what it has promised. If the others could not go on without it, it loses no more than its power.
    fn lose_disk(self: &Arc<Self>, node: usize, down_for: Duration) {
        if !lock(&self.members[node].status).is_up {
            return;
        }
        self.crash(node, down_for);
        if self.parameters.engine == Engine::Raft {
            if !self.give_up(node) {
                return;
            }
            let comes_back = probe::is_planted("openraft-comes-back-empty");
            lock(&self.members[node].status).is_lost = !comes_back;
        }
        probe::mark("raft: a member loses its disk");
        *lock(&self.members[node].disk) = SimDisk::new(self.seed ^ self.now_ms());
        self.members[node].set_applied(0);
        self.hear(Event::DiskLost { node });
    }

    /// Ends a member's process and starts it again later.
    pub(super) fn end_process(self: &Arc<Self>, node: usize, down_for: Duration, how: Exit) {
        let member = &self.members[node];
        {
            let mut status = lock(&member.status);
            if !status.is_up {
                return;
            }
            status.is_up = false;
            status.ended += 1;
            status.primary = None;
            // Its disk comes back without faults; they can come while it is down.
            status.has_bad_disk = false;
            status.more_disk_errors = 0;
            if status.pauses > 0 {
                status.pauses = 0;
                self.with_handle(node, |world, id| world.runtime.resume(id));
            }
        }
        probe::mark(match how {
            Exit::PowerLost => "world: a member loses power",
            Exit::Stopped => "world: a member is stopped in order",
        });
        let mut disk = lock(&member.disk);
        let survivor = disk.restart();
        *disk = survivor;
        drop(disk);
        member.close_mailbox();
        let index = member.applied();
        self.hear(Event::Ended { node, index, how });
        self.with_handle(node, |world, id| world.runtime.kill(id));
        self.after_fault(node, down_for.as_millis() as u64, move |world| {
            world.restart(node);
        });
    }

    fn restart(&self, node: usize) {
        {
            let mut status = lock(&self.members[node].status);
            if status.is_up || status.is_lost {
                return;
            }
            status.is_up = true;
        }
        self.with_handle(node, |world, id| world.runtime.restart(id));
    }

    /// Makes the first members whole; what is broken of the others stays so.
    pub(super) fn heal(self: &Arc<Self>) {
        for node in 0..self.parameters.core {
            let member = &self.members[node];
            {
                let mut status = lock(&member.status);
                status.suspends = 0;
                status.slow_by = Duration::ZERO;
                status.more_disk_errors = 0;
            }
            lock(&member.disk).heal();
            self.resume(node, true);
            lock(&self.network).mend_all(node);
            self.unclog(node, true);
            member.post(Letter::SuspendExpiry(false));
        }
        self.is_healed
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.hear(Event::Healed);
        for node in 0..self.parameters.core {
            self.restart(node);
        }
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            // A member that has just lost its power restarts once more.
            madsim::time::sleep(Duration::from_millis(200)).await;
            for node in 0..world.parameters.core {
                world.restart(node);
            }
            world.elect(world.seed as usize % world.parameters.core);
        });
    }

    fn pause(self: &Arc<Self>, node: usize, for_ms: u64) {
        {
            let mut status = lock(&self.members[node].status);
            if !status.is_up {
                return;
            }
            status.pauses += 1;
        }
        if self.members[node].primary_epoch().is_some() {
            probe::mark("world: a primary is paused");
        }
        self.hear(Event::Paused { node });
        self.with_handle(node, |world, id| world.runtime.pause(id));
        self.after_fault(node, for_ms, move |world| world.resume(node, false));
    }

    fn resume(&self, node: usize, all: bool) {
        {
            let mut status = lock(&self.members[node].status);
            if status.pauses == 0 {
                return;
            }
            status.pauses = if all { 0 } else { status.pauses - 1 };
            if status.pauses > 0 {
                return;
            }
            status.resumed_ms = self.now_ms();
        }
        self.hear(Event::Resumed { node });
        self.with_handle(node, |world, id| world.runtime.resume(id));
    }

    fn cut(self: &Arc<Self>, links: &[(End, End)], for_ms: u64, action: Action) {
        let Some(node) = action.node() else { return };
        for (from, to) in links {
            lock(&self.network).cut(*from, *to);
        }
        if self.members[node].primary_epoch().is_some() {
            probe::mark("world: a primary is cut off");
        }
        let links = links.to_vec();
        self.after_fault(node, for_ms, move |world| {
            for (from, to) in links {
                lock(&world.network).mend(from, to);
            }
        });
    }

    fn unclog(self: &Arc<Self>, node: usize, all: bool) {
        let held = lock(&self.network).unclog(node, all);
        if held.len() > 1 {
            probe::mark("world: held up messages come at once");
        }
        for letter in held {
            self.arrive(letter);
        }
    }

    fn harm_disk(&self, node: usize) {
        lock(&self.members[node].status).has_bad_disk = true;
        self.hear(Event::DiskHarmed { node });
    }

    /// Has the member that is furthest send its state; until then the other one hears nothing of
    /// the log.
    fn send_snapshot_to(&self, node: usize) {
        let sources = self.members.iter().enumerate();
        let source = sources
            .filter(|(other, member)| *other != node && member.is_running())
            .max_by_key(|(_, member)| member.applied());
        if let Some((_, source)) = source {
            lock(&self.members[node].status).wants_snapshot_until_ms = self.now_ms() + 3_000;
            source.post(Letter::SendSnapshot(node));
        }
    }

    /// Ends a fault of a member, unless it is one of those that stay broken.
    fn after_fault(
        self: &Arc<Self>,
        node: usize,
        for_ms: u64,
        end: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        self.later(millis(for_ms), move |world| {
            if !world.is_healed() || node < world.parameters.core {
                end(world);
            }
        });
    }

    fn with_handle(&self, node: usize, act: impl FnOnce(&Self, madsim::task::NodeId)) {
        if let Some(handle) = &*lock(&self.members[node].handle) {
            act(self, handle.id());
        }
    }
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
