use std::pin::pin;
use std::task::Context;

use futures::task::noop_waker_ref;
use lease_core::Lessor;

use super::Host;
use super::ledger::Commits;

/// What the lessor does when nobody asks.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) struct Work {
    commits: Commits,
    expired: u64,
    revoked: u64,
    checkpoints: (u64, u64),
}

impl Host {
    /// The lessor is driven. It does what it has said to be due, and nothing else, and says when there is more:
    /// whoever sleeps until then is woken when that comes closer.
    pub(super) fn drive(&mut self) {
        let due = self.lessor.next_wakeup();
        let is_closer = due.is_some_and(|due| self.told.is_none_or(|told| due < told));
        if is_closer && !self.is_woken() {
            let told = self.told;
            self.object(format!(
                "nobody is woken at {due:?} who sleeps until {told:?}"
            ));
        }
        let now = self.clock.latest();
        let is_due = due.is_some_and(|due| due <= now);
        let before = self.work();
        self.rows.deleter.set_driven(true);
        let next = self.lessor.tick();
        self.rows.deleter.set_driven(false);
        let after = self.work();
        if !is_due && before != after {
            self.object(format!(
                "at {now:?} {after:?} is done after {before:?}, and was due at {due:?}"
            ));
        }
        if next.is_some_and(|next| next <= self.clock.exact()) {
            self.object(format!("something is due at {next:?} when all is done"));
        }
        if next != self.lessor.next_wakeup() || self.is_woken() {
            self.object(format!(
                "nothing has come closer than {next:?}, and it is told"
            ));
        }
        self.told = next;
    }

    fn is_woken(&self) -> bool {
        let mut cx = Context::from_waker(noop_waker_ref());
        let moved = pin!(self.lessor.wakeup_moved());
        moved.poll(&mut cx).is_ready()
    }

    pub(super) fn work(&self) -> Work {
        let stats = self.lessor.stats();
        Work {
            commits: self.backend.commits(),
            expired: stats.expired,
            revoked: stats.revoked,
            checkpoints: (stats.checkpoints_proposed, stats.checkpoints_applied),
        }
    }
}
