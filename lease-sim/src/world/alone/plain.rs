use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lease_backend::MemoryBackend;
use lease_core::{
    BackendLessor, Clock, Driver, ExpiryMode, LeaseError, LeaseId, LeaseItem, Lessor, LessorConfig,
    Renewal, Ttl, probe,
};

use super::Host;
use super::clients::id_of;
use super::drawn::Drawn;
use crate::event::OwnTime;
use crate::world::clock::{Round, SimClock};

/// A lessor beside the other one that nobody observes, and that revokes by itself.
pub(super) struct Plain {
    lessor: BackendLessor,
    clock: SimClock,
    /// By how much a lease lasts longer.
    lag_ms: u64,
    held: BTreeMap<LeaseId, Held>,
    drawn: Drawn,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    secs: i64,
    until: OwnTime,
    items: usize,
}

const LEASES: u64 = 5;

/// How often it is looked at.
const LOOKED_AT_EVERY: u64 = 8;

impl Host {
    /// Some leases of the lessor that nobody observes come and go.
    pub(super) fn look_at_plain(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        let wrong = self.beside.plain.wrong_shown();
        if let Some(wrong) = wrong.or_else(|| (0..3).find_map(|_| self.beside.plain.ask())) {
            self.object(wrong);
        }
    }
}

impl Plain {
    pub(super) fn new(seed: u64, clock: &SimClock) -> Self {
        let clock = clock.beside();
        let config = LessorConfig {
            hash_seed: Some(seed),
            revoke_rate_per_sec: None,
            ..LessorConfig::default()
        };
        let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default()))
            .config(config)
            .clock(Arc::new(clock.clone()))
            .driver(Driver::Manual)
            .expiry(ExpiryMode::AutoRevoke)
            .build()
            .expect("there is nothing to read");
        let promoted = lessor.promote(Duration::ZERO);
        promoted.expect("nothing fails in memory");
        Self {
            lessor,
            lag_ms: clock.lag().as_millis() as u64,
            clock,
            held: BTreeMap::new(),
            drawn: Drawn(seed),
        }
    }

    /// What is over is gone, and the rest is there.
    fn wrong_shown(&mut self) -> Option<String> {
        if !probe::is_planted("alone-plain-not-driven") {
            self.lessor.tick();
        }
        let now = OwnTime {
            from_ms: self.clock.own_time(Round::Down).from_ms,
            to_ms: self.clock.own_time(Round::Up).to_ms,
        };
        // Those that end in this millisecond may be there or not.
        let ends = |held: &Held| held.until.from_ms <= now.to_ms && now.from_ms < held.until.to_ms;
        let ending = self.held.iter().filter(|(_, held)| ends(held));
        for id in ending.map(|(id, _)| *id).collect::<Vec<_>>() {
            drop(self.lessor.revoke(id));
            self.held.remove(&id);
        }
        self.held.retain(|_, held| now.to_ms < held.until.from_ms);
        let leases = self.lessor.leases();
        let mut shown: Vec<_> = leases.iter().map(|it| (it.id(), it.keys().len())).collect();
        shown.sort_unstable();
        let held = self.held.iter().map(|(id, held)| (*id, held.items));
        let is_right = held.eq(shown.iter().copied());
        (!is_right).then(|| format!("at {now:?} {shown:?} is there, and not {:?}", self.held))
    }

    fn ask(&mut self) -> Option<String> {
        let [id, other] = [(); 2].map(|()| id_of(1 + self.drawn.below(LEASES).cast_signed()));
        let item = LeaseItem::new(id.to_string().into_bytes());
        let held = self.held.get_mut(&id);
        let mut must = match held {
            Some(_) => Ok(()),
            None => Err(LeaseError::LeaseNotFound),
        };
        let answered = match self.drawn.below(5) {
            0 => return self.renew([id, other]),
            1 => {
                self.held.remove(&id);
                self.lessor.revoke(id)
            }
            2 => {
                held.into_iter().for_each(|held| held.items = 1);
                self.lessor.attach(id, &[item])
            }
            3 => {
                held.into_iter().for_each(|held| held.items = 0);
                self.lessor.detach(id, &[item])
            }
            _ => {
                probe::mark("alone: a lessor that nobody observes grants");
                must = match must {
                    Ok(()) => Err(LeaseError::LeaseExists),
                    Err(_) => Ok(()),
                };
                let secs = 1 + self.drawn.below(3).cast_signed();
                let now = self.clock.own_time(Round::Up);
                self.held.entry(id).or_insert(Held {
                    secs,
                    until: now.plus(secs.unsigned_abs() * 1_000 + self.lag_ms),
                    items: 0,
                });
                self.lessor.grant(id, secs).map(drop)
            }
        };
        let is_right = answered == must;
        (!is_right).then(|| format!("of lease {id} was answered {answered:?}, and not {must:?}"))
    }

    fn renew(&mut self, ids: [LeaseId; 2]) -> Option<String> {
        let now = self.clock.own_time(Round::Up);
        let renewed = self.lessor.renew_many(&ids);
        let must = ids.map(|id| {
            let held = self.held.get_mut(&id).ok_or(LeaseError::LeaseNotFound)?;
            let lasts_ms = held.secs.unsigned_abs() * 1_000 + self.lag_ms;
            held.until = held.until.max(now.plus(lasts_ms));
            Ok(Renewal::Renewed(Ttl::new(held.secs)?))
        });
        let is_right = renewed == must;
        (!is_right).then(|| format!("{ids:?} are renewed: {renewed:?}, and not {must:?}"))
    }
}
