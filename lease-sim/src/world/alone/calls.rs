use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lease_core::{
    Backend, Epoch, LeaseError, LeaseItem, LeaseRow, Lessor, Lookup, RecvError, Ttl, WriteBatch,
    probe,
};

use super::Host;
use super::clients::id_of;
use super::rows::rows;
use super::sleeper::Sleeper;
use super::strange::stored_items;
use super::stream::is_forgotten;
use super::watch::Notice;

/// So many that the store may be too far behind for another one.
const MANY_WRITES: usize = 20;

/// Calls that are seldom made.
impl Host {
    /// The lessor is stopped. It commits what was acknowledged, and refuses every command from then on.
    pub(super) fn stop(&mut self) {
        self.settle();
        // Nobody has asked for what happens last.
        let first = self.held.keys().next().copied();
        if let Some(lease) = first.filter(|lease| !self.deliveries.has(*lease)) {
            self.renew(lease);
        }
        if self.steps.is_multiple_of(5) && !self.alone.in_memory {
            // The last commit of the stop fails, if there is one, and cannot be made again.
            self.write();
            self.cut_power(1);
            if self.steps.is_multiple_of(2) && !self.parameters.durable {
                (0..MANY_WRITES).for_each(|_| self.write());
            }
        }
        let lessor = Arc::clone(&self.lessor);
        let mut sleeper = Sleeper::default();
        let mut moved = pin!(lessor.wakeup_moved());
        let before = sleeper.poll(moved.as_mut());
        if !probe::is_planted("alone-not-stopped") {
            self.lessor.stop();
        }
        if before.0.is_pending() && sleeper.poll(moved) != (Poll::Ready(()), false) {
            self.object("who sleeps until the lessor has something to do sleeps on after a stop");
        }
        self.look_for_waits("after a stop");
        self.end_renewals();
        probe::mark("alone: a lessor that is stopped is asked");
        let told = self.watch.take(&std::mem::take(&mut self.owed));
        if let Some(untold) = told.otherwise.as_ref().or(told.streamed.as_ref()) {
            self.object(format!("a lessor that is stopped has told {untold:?}"));
        }
        let is_failure = |notice: &Notice| matches!(notice, Notice::Failed(_));
        let has_failed = told.notices.iter().any(is_failure);
        self.look_at_last_commit(has_failed);
        self.look_at_stored_items();
        let operations = self.disk.operations();
        let id = self
            .held
            .keys()
            .next()
            .map_or(id_of(1), |lease| id_of(*lease));
        let item = [LeaseItem::new([0])];
        let none = WriteBatch::default;
        let many = lessor
            .renew_many(&[id])
            .into_iter()
            .map(|one| one.map(drop));
        let answers = [
            ("a grant", lessor.grant(id, 5).map(drop)),
            ("a new grant", lessor.grant_new(5).map(drop)),
            ("a new id", lessor.new_id().map(drop)),
            ("a revoke", lessor.revoke(id)),
            ("a revoke of many", lessor.revoke_many(&[id, id]).map(drop)),
            ("an attach", lessor.attach(id, &item)),
            ("a detach", lessor.detach(id, &item)),
            ("a checkpoint", lessor.checkpoint(id, 1)),
            ("a write", lessor.write(none())),
            ("a renewal", lessor.renew(id).map(drop)),
            ("a renewal at once", lessor.try_renew(id).map(drop)),
            (
                "a renewal in time",
                lessor.renew_timeout(id, Duration::ZERO).map(drop),
            ),
            ("a renewal of many", many.collect()),
            ("a promotion", lessor.promote(Duration::ZERO).map(drop)),
            (
                "a recovery",
                lessor.recover(Arc::clone(&self.backend) as _, None),
            ),
        ];
        for (what, answer) in answers {
            if answer != Err(LeaseError::Stopped) {
                self.object(format!("stopped, {what} was answered {answer:?}"));
            }
        }
        let received = lessor.expired_leases().try_recv();
        let sleeps = lessor.tick().is_none() && lessor.next_wakeup().is_none();
        let is_at_rest = sleeps || self.now_ms() < self.disturbed_until_ms;
        let is_at_rest = is_at_rest && lessor.wait(id).is_none();
        if received != Err(RecvError::Stopped) || !is_at_rest {
            self.object(format!(
                "stopped, the lessor goes on, and delivers {received:?}"
            ));
        }
        lessor.stop();
        let shown: BTreeSet<_> = lessor
            .leases()
            .iter()
            .map(|lease| lease.id().get())
            .collect();
        if !shown.iter().eq(self.held.keys()) {
            self.object(format!("stopped, the lessor shows the leases {shown:?}"));
        }
        let again = self.watch.take(&[]);
        let is_told = [&told, &again].map(|heard| heard.otherwise.is_some()) != [false; 2];
        if is_told || !told.gone.is_empty() || !again.gone.is_empty() {
            self.object("stopped, the observer was told of something");
        }
        // What is left to be written may be written again and again.
        let is_idle = has_failed || self.disk.operations() == operations;
        if !again.notices.is_empty() || !is_idle {
            self.object(format!(
                "stopped, the lessor does something, and tells {:?}",
                again.notices
            ));
        }
    }

    /// A client asks for what clients seldom ask for.
    pub(super) fn ask_seldom(&mut self, lease: i64) {
        self.look_up_in_parts(lease);
        match self.steps % 7 {
            1 => self.write_what_is_reserved(lease),
            2 => self.set_checkpoint(lease),
            3 => self.flush(),
            4 => self.apply_refused(lease),
            5 => self.grant_at_the_ends(lease),
            6 => self.look_at_a_dropped_stream(),
            _ => self.renew_in_time(lease),
        }
    }

    /// All is in the store when it was flushed.
    fn flush(&mut self) {
        self.write();
        let flushed = self.lessor.flush().map_err(LeaseError::Backend);
        if self.expect("a flush", &flushed, None) {
            self.look_at_stored_items();
        }
    }

    /// The longest TTL that there is is granted, and none beyond; the shortest ones are raised.
    fn grant_at_the_ends(&mut self, lease: i64) {
        probe::mark("alone: the longest lease is granted");
        let longest = lease_core::MAX_LEASE_TTL;
        for (at, ttl) in (42..).zip([longest, longest + 1, i64::MAX, longest - 1, 0, i64::MIN]) {
            let id = lease.wrapping_add(1 << at);
            if self.grant_as(Some(id), ttl).is_some() {
                self.revoke(id);
            }
        }
    }

    fn look_at_a_dropped_stream(&mut self) {
        probe::mark("alone: a stream of events is dropped");
        if !is_forgotten(&self.lessor) {
            self.object("a stream that was dropped is not forgotten");
        }
    }

    /// A look-up that never waits leaves out very many items, and nothing else.
    fn look_up_in_parts(&mut self, lease: i64) {
        let id = id_of(lease);
        let (whole, part) = (self.lessor.lookup(id), self.lessor.try_lookup(id));
        let is_right = match (&whole, part) {
            (None, None) => true,
            (Some(whole), Some(Lookup::Whole(found))) => found == *whole,
            (Some(whole), Some(Lookup::WithoutItems(found))) => {
                probe::mark("alone: a look-up leaves out very many items");
                found.ttl() == whole.ttl()
                    && found.remaining() == whole.remaining()
                    && found.keys().is_empty()
                    && whole.keys().len() > MANY
            }
            _ => false,
        };
        if !is_right {
            self.object(format!("lease {lease} is not looked up as {whole:?}"));
        }
    }

    /// A host that writes the lessor's own rows is refused, and nothing of it is done.
    fn write_what_is_reserved(&mut self, lease: i64) {
        probe::mark("alone: a host writes what is the lessor's");
        let (id, stranger) = (id_of(lease), id_of(lease.wrapping_add(1 << 40)));
        let mut writes = WriteBatch::default();
        writes.put(rows(), "reserved", "");
        match self.steps / 6 % 3 {
            0 => writes.put_lease(LeaseRow::new(id, Ttl::MIN)),
            1 => writes.put_epoch(Epoch::MAX),
            _ if self.alone.replays_items => writes.delete_lease(id),
            _ => writes.put(stored_items(), "reserved", stranger.get().to_be_bytes()),
        }
        let item = [LeaseItem::from("reserved")];
        let refused = [
            self.lessor.write(writes.clone()),
            self.lessor
                .grant_with(stranger, 1, writes.clone())
                .map(drop),
            self.lessor.revoke_with(id, writes.clone()),
            self.lessor.attach_with(id, &item, writes.clone()),
            self.lessor.detach_with(id, &item, writes),
        ];
        for refused in refused {
            if refused != Err(LeaseError::ReservedRows) {
                self.object(format!("a write of reserved rows was answered {refused:?}"));
            }
        }
        let stored = self.backend.get(&rows(), b"reserved");
        if stored.is_ok_and(|stored| stored.is_some()) {
            self.object("what was refused is written");
        }
    }

    /// A host says what a lease has left after a promotion; the running time does not change.
    fn set_checkpoint(&mut self, lease: i64) {
        let id = id_of(lease);
        let ttl = self.held.get(&lease).map(|held| held.ttl_ms / 1000);
        let left = match self.steps / 6 % 4 {
            0 => -1,
            1 => 0,
            2 => i64::MAX,
            _ => ttl.map_or(1, |ttl| 1 + ttl.cast_signed() / 2),
        };
        let is_sound = (0..=lease_core::MAX_LEASE_TTL).contains(&left);
        let want = (!is_sound).then_some(LeaseError::RemainingTtlOutOfRange);
        let given = match probe::is_planted("alone-checkpoint-of-the-whole") {
            true => left.min(0),
            false => left,
        };
        let set = self.lessor.checkpoint(id, given);
        if !self.expect("a checkpoint of the host's", &set, want) {
            return;
        }
        let own_ms = self.own_ms();
        if let Some(held) = self.held.get_mut(&lease) {
            // The lessor's next one comes in its time: an interval after as much was left as this one says.
            let left_ms = left.unsigned_abs() * 1000;
            let worth_ms = held.until.to_ms.saturating_sub(left_ms);
            held.since_ms = own_ms.max(if left > 0 { worth_ms } else { 0 });
        }
        if left == 0 {
            self.note_reset(lease);
        }
        probe::mark("alone: a host sets a checkpoint");
        let must = ttl
            .filter(|_| left > 0)
            .map(|ttl| ttl.min(left.unsigned_abs()));
        let found = self.lessor.lookup(id);
        let found = found.and_then(|lease| lease.checkpointed_remaining());
        if found.map(Ttl::as_secs) != must {
            self.object(format!(
                "of {left} s lease {lease} has the checkpoint {found:?}"
            ));
        }
    }

    /// A client renews a lease, and does not wait long.
    fn renew_in_time(&mut self, lease: i64) {
        let now = self.between();
        let held = self.held.get(&lease);
        let is_over = held.is_some_and(|held| held.until.from_ms <= now.to_ms);
        // Who waits for a reset that the host has to bring waits in vain.
        if is_over || self.alone.polls_checkpoints {
            return;
        }
        let want = match held {
            _ if !self.office.is_primary() => Some(LeaseError::NotPrimary),
            None => Some(LeaseError::LeaseNotFound),
            Some(_) => None,
        };
        let renewed = self
            .lessor
            .renew_timeout(id_of(lease), Duration::from_secs(1));
        if self.expect("a renewal in time", &renewed, want) {
            self.renewed(lease);
        }
    }
}

/// How many items a look-up brings in any case.
const MANY: usize = 2;
