//! What a consensus engine does with a replica: applies committed entries one after the other, takes
//! snapshots of it and installs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::{pending, select};
use futures::pin_mut;
use lease_core::{BackendError, WriteBatch, probe};
use lease_raft::{ApplyError, Committed, InstallError};
use madsim::time::sleep;

use super::{Host, RETRY_AFTER_MS, lock};
use crate::event::Event;
use crate::plan::End;
use crate::wire::Message;

/// What has come and is not applied.
#[derive(Default)]
pub(super) struct Feed {
    // Entries that have come before their turn.
    inbox: BTreeMap<u64, Vec<u8>>,
    fetch_at_ms: u64,
    // After a failure of the disk.
    retry_at_ms: u64,
    failures: u32,
    nudge: Option<mpsc::Sender<()>>,
    is_closed: bool,
    // The last snapshot, which may be sent again when it is old.
    old: Option<Vec<u8>>,
}

/// How often a member asks the log whether there is more, and hears that it is there.
const FETCH_EVERY_MS: u64 = 900;

/// After so many failures in a row a member starts anew.
const MOST_FAILURES: u32 = 40;

impl Host {
    pub(super) fn open_feed(&self) -> mpsc::Receiver<()> {
        let (nudge, nudged) = mpsc::channel(1);
        lock(&self.feed).nudge = Some(nudge);
        nudged
    }

    /// Nothing is applied any more.
    pub(super) fn close_feed(&self) {
        lock(&self.feed).is_closed = true;
    }

    fn nudge(&self) {
        if let Some(nudge) = &mut lock(&self.feed).nudge {
            // If it is full the member is going to look.
            let _ = nudge.try_send(());
        }
    }

    /// Entries of the log have come, maybe again, maybe too early.
    pub(super) fn receive(&self, first: u64, entries: Vec<Vec<u8>>, length: u64) {
        let now_ms = self.world().now_ms();
        let member = self.around.member();
        if lock(&member.status).wants_snapshot_until_ms > now_ms {
            return;
        }
        let applied = self.replica.applied();
        let mut feed = lock(&self.feed);
        let last = first + entries.len() as u64;
        for (entry, index) in entries.into_iter().zip(first..) {
            if index > applied {
                feed.inbox.insert(index, entry);
            }
        }
        let has_gap = first > applied + 1 && !feed.inbox.contains_key(&(applied + 1));
        if has_gap || last <= length {
            probe::mark("raft: a member has missed entries");
            feed.fetch_at_ms = feed.fetch_at_ms.min(now_ms + 100);
        }
        drop(feed);
        self.nudge();
    }

    /// Applies what comes, in order, and asks for what does not come.
    pub(super) async fn apply_all(self: Arc<Self>, mut nudged: mpsc::Receiver<()>) {
        loop {
            self.apply_ready().await;
            self.engine.look_at_time();
            let now_ms = self.world().now_ms();
            let (fetches, wait_ms) = {
                let mut feed = lock(&self.feed);
                let fetches = now_ms >= feed.fetch_at_ms;
                if fetches {
                    feed.fetch_at_ms = now_ms + FETCH_EVERY_MS;
                }
                let mut until_ms = feed.fetch_at_ms;
                if feed.retry_at_ms > now_ms {
                    until_ms = until_ms.min(feed.retry_at_ms);
                }
                (fetches, until_ms.saturating_sub(now_ms).max(1))
            };
            if fetches {
                let from = self.replica.applied() + 1;
                self.around.send(End::Log, &Message::Fetch { from });
            }
            let (nudge, time) = (nudged.next(), sleep(Duration::from_millis(wait_ms)));
            pin_mut!(nudge, time);
            select(nudge, time).await;
        }
    }

    async fn apply_ready(&self) {
        loop {
            if self.world().has_objected() {
                // What a broken member does next proves nothing.
                return pending().await;
            }
            let index = self.replica.applied() + 1;
            let entry = {
                let feed = lock(&self.feed);
                let is_due = self.world().now_ms() >= feed.retry_at_ms && !feed.is_closed;
                feed.inbox.get(&index).filter(|_| is_due).cloned()
            };
            let Some(entry) = entry else { return };
            self.around.wait_for_disk().await;
            if self.world().happens(200) {
                // Other tasks of the member come between two entries.
                sleep(self.world().span(0, 3)).await;
            }
            self.apply(index, &entry);
            self.end_if_broken();
        }
    }

    fn apply(&self, index: u64, entry: &[u8]) {
        if self.replica.applied() >= index || lock(&self.feed).is_closed {
            return;
        }
        let committed = Committed {
            index,
            entry: Some(entry),
            writes: WriteBatch::default(),
        };
        match self.replica.apply(committed) {
            Ok(()) => {
                let mut feed = lock(&self.feed);
                feed.failures = 0;
                feed.inbox.remove(&index);
                drop(feed);
                self.applied(index);
            }
            Err(ApplyError::Lease(_)) => {
                self.not_applied();
                let mut feed = lock(&self.feed);
                feed.failures += 1;
                feed.retry_at_ms = self.world().now_ms() + RETRY_AFTER_MS;
                if feed.failures > MOST_FAILURES {
                    drop(feed);
                    self.world().lose_power(self.around.node);
                }
            }
            // It starts anew.
            Err(ApplyError::Failed(_)) => {}
            Err(error) => self.object(format!("entry {index}: {error}")),
        }
    }

    /// Of an entry that cannot be applied nothing is seen.
    pub(super) fn not_applied(&self) {
        probe::mark("raft: an entry cannot be applied yet");
        self.lessor(|lessor| self.around.tell_waits(lessor, true));
    }

    pub(super) fn applied(&self, index: u64) {
        self.around.member().set_applied(index);
        let node = self.around.node;
        let effects = lock(&self.world().log).effects(index);
        self.check_events(index, &effects);
        let digest = self.digest();
        self.world().hear(Event::Applied {
            node,
            index,
            digest,
        });
        if self.world().is_first_to_apply(index) {
            for event in effects {
                self.world().hear(event);
            }
        }
        self.look();
    }

    /// Sends this member's whole state to another one: as of now, though further entries are applied
    /// before it goes, or an older one, or only its beginning.
    pub(super) fn send_snapshot(self: &Arc<Self>, to: usize) {
        let Ok(snapshot) = self.replica.snapshot() else {
            return;
        };
        let world = self.world();
        let later = match world.happens(500) {
            true => world.span(0, 300),
            false => Duration::ZERO,
        };
        let host = Arc::clone(self);
        madsim::task::spawn(async move {
            sleep(later).await;
            let mut bytes = Vec::new();
            if snapshot.write(&mut bytes).is_err() {
                return;
            }
            let world = host.world();
            let old = lock(&host.feed).old.replace(bytes.clone());
            if let Some(old) = old.filter(|_| world.happens(200)) {
                probe::mark("raft: an old snapshot is sent");
                bytes = old;
            }
            if world.happens(150) {
                probe::mark("raft: a snapshot is cut off");
                bytes.truncate(bytes.len() / 2);
            }
            host.around.send(End::Node(to), &Message::State { bytes });
        });
    }

    /// Takes another member's state in the place of its own, unless its own is newer.
    pub(super) fn install(&self, bytes: &[u8]) {
        if lock(&self.feed).is_closed {
            return;
        }
        lock(&self.around.member().status).wants_snapshot_until_ms = 0;
        let was_primary = self.around.member().primary_epoch().is_some();
        let applied_before = self.replica.applied();
        let installed = self
            .replica
            .install(&mut &bytes[..], &WriteBatch::default());
        if was_primary && matches!(installed, Ok(true)) {
            probe::mark("raft: a primary gets a snapshot");
        }
        self.has_installed(applied_before, &installed);
    }

    /// A snapshot has come in the place of the state, or not.
    pub(super) fn has_installed(
        &self,
        applied_before: u64,
        installed: &Result<bool, InstallError>,
    ) {
        match installed {
            Ok(true) => {
                probe::mark("raft: a snapshot is installed");
                self.around.note_over(None);
                self.forget_events();
                if self.replica.applied() <= applied_before {
                    let index = self.replica.applied();
                    self.object(format!(
                        "a snapshot of entry {index} is installed on that of {applied_before}"
                    ));
                }
                let applied = self.replica.applied();
                let mut feed = lock(&self.feed);
                feed.inbox = feed.inbox.split_off(&(applied + 1));
                feed.fetch_at_ms = 0;
                drop(feed);
                if self.recovered(false).is_err() {
                    // The disk fails: what is compared is compared after the next entry.
                    probe::mark("raft: a snapshot is installed on a bad disk");
                }
                self.nudge();
            }
            Ok(false) => probe::mark("raft: a snapshot is older than the state"),
            Err(InstallError::Damaged(_)) => {
                probe::mark("raft: a snapshot is damaged");
                // It has left no trace.
                let _ = self.digest();
            }
            Err(InstallError::Lease(_)) => probe::mark("raft: a snapshot cannot be written"),
            Err(InstallError::HalfDone(_)) => {
                probe::mark("raft: a member cannot go on from a snapshot");
            }
            // It starts anew.
            Err(InstallError::Failed(_)) => {}
            Err(error) => self.object(format!("a snapshot is refused: {error}")),
        }
        self.look();
    }

    /// Tells the checkers what there is, of the disk or of a snapshot.
    pub(super) fn recovered(&self, from_disk: bool) -> Result<(), BackendError> {
        let (node, index) = (self.around.node, self.replica.applied());
        let member = self.around.member();
        if from_disk && index < member.applied() {
            probe::mark("raft: a loss of power takes what was not written");
        }
        member.set_applied(index);
        self.check_rows(index)?;
        self.world().tell_up_to(index);
        let digest = self.digest();
        self.world().hear(Event::Recovered {
            node,
            index,
            digest,
            from_disk,
        });
        Ok(())
    }

    pub(super) fn object(&self, message: String) {
        self.around.object(message);
    }

    pub(super) fn ticks(&self) -> u64 {
        self.around.ticks.load(Ordering::Relaxed)
    }

    /// What the lessor says, which is there as long as the replica.
    pub(super) fn lessor<T>(&self, asks: impl FnOnce(&lease_core::BackendLessor) -> T) -> T {
        let inside = self.replica.inside();
        inside.with(asks).expect("the replica is there")
    }
}
