//! What is known of the leases, from what was asked and answered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Quorum;
use crate::settings::{ELECTION, EXTEND};

/// A lease that was asked for, and is not gone as far as is known.
pub(crate) struct Entry {
    pub(crate) ttl: Duration,
    /// Whether it is renewed all the time.
    pub(crate) is_kept: bool,
    /// When it was known that it is there: by an answer, or because it was seen.
    pub(crate) known: Option<Instant>,
    /// When the last read began that has shown it.
    pub(crate) last_shown: Option<Instant>,
    /// When the last renewal was asked for that was acknowledged, or the grant: it is there for its TTL from
    /// then on, at least.
    pub(crate) secured: Option<Instant>,
    /// When the last renewal may have happened.
    pub(crate) touched: Instant,
    /// Renewals that are under way.
    pub(crate) renewing: u32,
    /// Whether its revoke may have happened.
    pub(crate) is_ending: bool,
    pub(crate) keys: BTreeMap<i64, Key>,
}

/// Whether a key is attached.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    There(Instant),
    Away(Instant),
    /// It is being changed, or what came of that is not known.
    Unknown,
}

/// A member has become the primary.
pub(crate) struct Promotion {
    pub(crate) epoch: u64,
    /// It was not, yet.
    pub(crate) after: Instant,
    /// It was.
    pub(crate) before: Instant,
}

/// A lease that a read has shown when it may be too late.
pub(crate) struct Suspect {
    pub(crate) id: i64,
    pub(crate) ttl: Duration,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// When it is due if nothing else has happened.
    pub(crate) due: Instant,
}

/// What all rounds have come to.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) grants: u64,
    pub(crate) renewals: u64,
    pub(crate) revokes: u64,
    pub(crate) attaches: u64,
    pub(crate) unknown: u64,
    pub(crate) expired: u64,
    pub(crate) reads: u64,
    pub(crate) longest_gap: Duration,
    pub(crate) longest_lateness: Duration,
    pub(crate) longest_stall: Duration,
}

pub(crate) struct Model {
    pub(crate) begun: Instant,
    pub(crate) leases: BTreeMap<i64, Entry>,
    /// Those that are gone for good: by when, and how that is known.
    pub(crate) gone: BTreeMap<i64, (Instant, &'static str)>,
    pub(crate) promotions: Vec<Promotion>,
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) violation: Option<String>,
    pub(crate) totals: Totals,
    /// When something was last answered that a quorum has to agree to.
    pub(crate) last_answer: Instant,
    /// When the driver itself was last held up, and for how long.
    pub(crate) stall: (Instant, Duration),
    /// Of the lease that was last seen to be gone by itself: when it was due, and its TTL.
    pub(crate) late_by: Option<(Instant, Duration)>,
    history: VecDeque<String>,
}

impl Entry {
    pub(crate) fn new(ttl: u64, is_kept: bool) -> Self {
        Self {
            ttl: Duration::from_secs(ttl),
            is_kept,
            known: None,
            last_shown: None,
            secured: None,
            touched: Instant::now(),
            renewing: 0,
            is_ending: false,
            keys: BTreeMap::new(),
        }
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            leases: BTreeMap::new(),
            gone: BTreeMap::new(),
            promotions: Vec::new(),
            suspects: Vec::new(),
            violation: None,
            totals: Totals::default(),
            last_answer: now,
            stall: (now, Duration::ZERO),
            late_by: None,
            history: VecDeque::new(),
        }
    }

    /// Notes what happens, for whoever looks for the cause of a violation.
    pub(crate) fn note(&mut self, what: &str) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let line = format!("{:9.3} {what}", self.begun.elapsed().as_secs_f64());
        self.history.push_back(line);
    }

    pub(crate) fn history(&self) -> String {
        self.history
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// A check has failed. The first one counts.
    pub(crate) fn fail(&mut self, violation: String) {
        self.note(&violation);
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn ago(&self, moment: Instant) -> f64 {
        (moment - self.begun).as_secs_f64()
    }

    /// Something was answered that a quorum has agreed to.
    pub(crate) fn note_answer(&mut self, quorum: Quorum) {
        let now = Instant::now();
        if let Quorum::There(since) = quorum {
            let gap = now - self.last_answer.max(since);
            self.totals.longest_gap = self.totals.longest_gap.max(gap);
        }
        self.last_answer = now;
    }

    pub(crate) fn see_status(&mut self, epoch: u64, after: Instant) {
        let newest = self
            .promotions
            .last()
            .map_or(0, |promotion| promotion.epoch);
        if epoch > newest {
            self.note(&format!("epoch {epoch} has begun"));
            self.promotions.push(Promotion {
                epoch,
                after,
                before: Instant::now(),
            });
        }
    }

    /// When a lease has to be gone that was last touched so long before, with what is known of the primaries. It
    /// is not due while there is no quorum.
    pub(crate) fn due(&self, due: Instant, ttl: Duration, quorum: Quorum) -> Option<Instant> {
        let Quorum::There(since) = quorum else {
            return None;
        };
        let promoted = self.promotions.last()?;
        let again = promoted.before + ttl + EXTEND;
        Some(due.max(again).max(since + ELECTION))
    }

    /// A lease was granted, which was asked for at `asked`.
    pub(crate) fn granted(&mut self, id: i64, asked: Instant) {
        let now = Instant::now();
        self.totals.grants += 1;
        if let Some(entry) = self.leases.get_mut(&id) {
            entry.known.get_or_insert(now);
            entry.secured = Some(asked);
            entry.touched = now;
        } else if let Some((gone, how)) = self.gone.get(&id) {
            // The answer was long on its way.
            let text = format!(
                "lease {id} was acknowledged, and {how} {:.3?} later",
                *gone - asked
            );
            if *gone < asked + Duration::from_secs(1) {
                self.fail(text);
            }
        }
    }

    /// Whether a lease was asked for, and it is certain that it does not come.
    pub(crate) fn refused(&mut self, id: i64, why: &str) {
        if self.leases.remove(&id).is_some() {
            self.gone.insert(id, (Instant::now(), "was refused"));
        }
        if why.contains("exists") {
            self.fail(format!(
                "lease {id} was asked for once, and granted twice: {why}"
            ));
        }
    }

    pub(crate) fn renewal_begins(&mut self, id: i64) {
        if let Some(entry) = self.leases.get_mut(&id) {
            entry.renewing += 1;
        }
    }

    /// A renewal has ended: renewed, gone, or neither is known.
    pub(crate) fn renewal_ended(&mut self, id: i64, asked: Instant, answer: char) {
        let now = Instant::now();
        if let Some(entry) = self.leases.get_mut(&id) {
            entry.renewing -= 1;
            // One whose end is not known may be on its way to the primary.
            entry.touched = now
                + if answer == '?' {
                    ON_ITS_WAY
                } else {
                    Duration::ZERO
                };
        }
        match answer {
            'r' => {
                self.totals.renewals += 1;
                if let Some(entry) = self.leases.get_mut(&id) {
                    entry.secured = entry.secured.max(Some(asked));
                } else if let Some((gone, how)) = self.gone.get(&id)
                    && *gone < asked
                {
                    let text = format!("lease {id} was renewed, though it {how} before");
                    self.fail(text);
                }
            }
            'g' => self.answered_gone(id, asked, "was not there for a renewal"),
            _ => {}
        }
    }

    /// Somebody was told that a lease is not there.
    pub(crate) fn answered_gone(&mut self, id: i64, asked: Instant, how: &'static str) {
        let is_known = |entry: &Entry| entry.known.is_some_and(|known| known < asked);
        if self.leases.get(&id).is_some_and(is_known) {
            self.see_gone(id, Instant::now(), how);
        }
    }

    pub(crate) fn revoked(&mut self, id: i64) {
        self.totals.revokes += 1;
        self.leases.remove(&id);
        self.gone.insert(id, (Instant::now(), "was revoked"));
    }
}

const HISTORY: usize = 200_000;
const ON_ITS_WAY: Duration = Duration::from_secs(1);
