use lease_core::{LessorStats, probe};

use super::{Held, Host, LATE_MS, LOOK_MS};

/// What has happened since the lessor was asked how much it had counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) granted: u64,
    pub(super) revoked: u64,
    pub(super) renewed: u64,
    pub(super) expired: u64,
    pub(super) stale_revokes: u64,
    before: LessorStats,
}

impl Host {
    /// Counts from now on, after a start.
    pub(super) fn count_anew(&mut self) {
        self.counts = Counts {
            before: self.lessor.stats(),
            ..Counts::default()
        };
    }

    /// The lessor has counted what has happened, and holds what there is.
    pub(super) fn look_at_counts(&mut self) {
        let (counts, stats) = (&self.counts, self.lessor.stats());
        let Counts { before, .. } = counts;
        let items = self.held.values().map(|held| held.items.len());
        let waiting = self.waits.len() + self.renewals.len();
        let pairs = [
            ("grants", stats.granted - before.granted, counts.granted),
            ("revokes", stats.revoked - before.revoked, counts.revoked),
            ("renewals", stats.renewed - before.renewed, counts.renewed),
            ("deliveries", stats.expired - before.expired, counts.expired),
            (
                "revokes that came too late",
                stats.stale_revokes - before.stale_revokes,
                counts.stale_revokes,
            ),
            ("leases", stats.leases as u64, self.held.len() as u64),
            ("items", stats.items as u64, items.sum::<usize>() as u64),
            ("waits", stats.waiting as u64, waiting as u64),
            (
                "grants without a promotion",
                stats.grants_unpromoted,
                self.office.grants,
            ),
            (
                "batches that lie too long",
                stats.batches_not_taken,
                self.deliveries.told,
            ),
        ];
        let wrong = pairs.iter().find(|(_, counted, is)| counted != is);
        if let Some((what, counted, is)) = wrong {
            self.object(format!("{counted} {what} are counted, and there were {is}"));
        }
        self.look_at_backlog(stats.backlog);
    }

    /// What is overdue waits for the rate of revokes, if nothing else holds it up.
    fn look_at_backlog(&mut self, backlog: usize) {
        let now = self.between();
        let is_limited = self.parameters.revoke_rate_per_sec > 0;
        let holds_up = !is_limited || !self.is_calm() || !self.deliveries.waiting.is_empty();
        let overdue = |held: &&Held| held.until.from_ms <= now.to_ms;
        let most = self.held.values().filter(overdue).count();
        let waits = |(lease, held): &(&i64, &Held)| {
            // One that was refused has had its turn.
            let is_refused = self.rows.held_on.contains(&held.grant);
            let due_ms = held.until.to_ms + LATE_MS + LOOK_MS;
            !holds_up && !is_refused && due_ms < now.from_ms && !self.deliveries.has(**lease)
        };
        let least = self.held.iter().filter(waits).count();
        if least > 0 {
            probe::mark("alone: leases wait for the rate of revokes");
        }
        let most = if is_limited { most } else { 0 };
        let backlog = match probe::is_planted("alone-backlog-not-told") {
            true => 0,
            false => backlog,
        };
        if !(least..=most).contains(&backlog) {
            self.object(format!(
                "{backlog} leases wait for the rate, and not {least} to {most}"
            ));
        }
    }
}
