//! What must be, and what must not.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::cluster::Quorum;
use crate::model::{Key, Model, Suspect};
use crate::settings::{EXTEND, SLACK};

/// What a read has shown of a lease.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) ttl: u64,
    pub(crate) keys: Vec<i64>,
}

/// The leases of a member.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Dump {
    /// The index of the last entry that was applied, before and after.
    pub(crate) applied: (u64, u64),
    pub(crate) leases: BTreeMap<i64, Shown>,
}

impl Dump {
    /// Reads an answer; `None` if it is no dump.
    pub(crate) fn parse(answer: &str) -> Option<Self> {
        let mut words = answer.strip_prefix("ok ")?.split(' ');
        let applied = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut leases = BTreeMap::new();
        for word in words {
            let mut parts = word.split(',');
            let (id, ttl) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let keys = parts.next()?.split('+').filter_map(|key| key.parse().ok());
            let mut keys: Vec<_> = keys.collect();
            keys.sort_unstable();
            leases.insert(id, Shown { ttl, keys });
        }
        Some(Self { applied, leases })
    }
}

impl Model {
    /// A linearizable read, from when it began until it ended.
    pub(crate) fn see_read(&mut self, dump: &Dump, begun: Instant, ended: Instant, quorum: Quorum) {
        self.totals.reads += 1;
        for (id, shown) in &dump.leases {
            self.see_there(*id, shown, begun, ended, quorum);
        }
        let is_missed = |(id, entry): (&i64, &crate::model::Entry)| {
            let is_missed =
                entry.known.is_some_and(|known| known < begun) && !dump.leases.contains_key(id);
            is_missed.then_some(*id)
        };
        let missed: Vec<_> = self.leases.iter().filter_map(is_missed).collect();
        for id in missed {
            self.see_gone(id, ended, "was not there for a read");
            if let Some(due) = self.late_by.take()
                && let Some(due) = self.due(due.0, due.1, quorum)
            {
                let late = ended.saturating_duration_since(due);
                self.totals.longest_lateness = self.totals.longest_lateness.max(late);
            }
        }
    }

    fn see_there(
        &mut self,
        id: i64,
        shown: &Shown,
        begun: Instant,
        ended: Instant,
        quorum: Quorum,
    ) {
        let Some(entry) = self.leases.get_mut(&id) else {
            let text = match self.gone.get(&id) {
                None => format!("there is a lease {id}, for which nobody has asked"),
                Some((gone, how)) if *gone < begun => {
                    format!("lease {id} is there, though it {how} before")
                }
                Some(_) => return,
            };
            return self.fail(text);
        };
        entry.last_shown = entry.last_shown.max(Some(begun));
        if entry.known.is_none() {
            // Its outcome was not known, and is.
            entry.known = Some(ended);
            entry.touched = ended;
        }
        if shown.ttl != entry.ttl.as_secs() {
            let text = format!("lease {id} of {:?} has {} s", entry.ttl, shown.ttl);
            return self.fail(text);
        }
        for (key, state) in &entry.keys {
            let is_there = shown.keys.binary_search(key).is_ok();
            let text = match state {
                Key::There(at) if *at < begun && !is_there => "was attached, and is not there",
                Key::Away(at) if *at < begun && is_there => "was detached, and is there",
                _ => continue,
            };
            let text = format!("key {key} of lease {id} {text}");
            return self.fail(text);
        }
        if let Some(key) = shown.keys.iter().find(|key| !entry.keys.contains_key(key)) {
            let text = format!("lease {id} has a key {key}, which nobody has attached");
            return self.fail(text);
        }
        if !entry.is_kept && entry.renewing == 0 {
            let (ttl, due) = (entry.ttl, entry.touched + entry.ttl);
            if self
                .due(due, ttl, quorum)
                .is_some_and(|due| due + SLACK < begun)
            {
                self.suspects.push(Suspect {
                    id,
                    ttl,
                    begun,
                    ended,
                    due,
                });
            }
        }
    }

    /// Judges those that are late, at a moment at which the newest primary has said since that it is the newest.
    pub(crate) fn judge_suspects(&mut self, asked: Instant, quorum: Quorum) {
        let (ready, waiting) = std::mem::take(&mut self.suspects)
            .into_iter()
            .partition(|suspect: &Suspect| suspect.ended < asked);
        self.suspects = waiting;
        let ready: Vec<Suspect> = ready;
        for suspect in ready {
            let Some(due) = self.due(suspect.due, suspect.ttl, quorum) else {
                continue;
            };
            // When the driver itself was held up, so were the members.
            let (stalled, stall) = self.stall;
            let is_near = stalled + suspect.ttl + EXTEND > due;
            let slack = if is_near { SLACK + 2 * stall } else { SLACK };
            if due + slack < suspect.begun {
                let late = suspect.begun - due;
                let text = format!("lease {} is there {late:.3?} after its time", suspect.id);
                self.fail(text);
            }
        }
    }

    /// A lease is not there any more at this moment.
    pub(crate) fn see_gone(&mut self, id: i64, at: Instant, how: &'static str) {
        let Some(entry) = self.leases.remove(&id) else {
            return;
        };
        self.gone.insert(id, (at, how));
        if entry.is_ending {
            return;
        }
        self.note(&format!("lease {id} {how}"));
        if let Some(secured) = entry.secured
            && at < secured + entry.ttl
        {
            return self.fail(format!(
                "lease {id} of {:?} {how} {:.3?} after an acknowledged grant or renewal was asked for, at {:.3}",
                entry.ttl,
                at - secured,
                self.ago(secured),
            ));
        }
        if let (Some(known), Some(shown)) = (entry.known, entry.last_shown) {
            let promoted = self.promotions.iter().rev().find(|one| one.before < shown);
            // Another member may have applied a grant, and answered, before the primary has applied the entry before
            // it by which it is one.
            if let Some(promoted) = promoted
                && known + SLACK < promoted.after
                && at < promoted.after + entry.ttl + EXTEND
            {
                let text = format!(
                    "lease {id} of {:?} {how} at most {:.3?} after epoch {} has begun",
                    entry.ttl,
                    at - promoted.after,
                    promoted.epoch,
                );
                return self.fail(text);
            }
        }
        if entry.is_kept {
            let secured = entry.secured.map_or(0.0, |secured| self.ago(secured));
            return self.fail(format!(
                "lease {id} of {:?} was kept alive, and {how}; the last acknowledged renewal was asked for at {secured:.3}",
                entry.ttl
            ));
        }
        self.totals.expired += 1;
        self.late_by = Some((entry.touched + entry.ttl, entry.ttl));
    }
}
