use std::collections::BTreeSet;
use std::time::Duration;

use lease_core::{LeaseError, LeaseId, LeaseIds, probe};

use super::Host;
use crate::world::clock::SimClock;

/// What the lessor draws ids from, as they are described.
#[derive(Default)]
pub(super) struct Drawn {
    // What all have in front, and the number of the last one, if that is known.
    front: u64,
    number: Option<u64>,
    // Of an epoch all that there ever were: none comes twice.
    ever: BTreeSet<i64>,
}

/// The member, where ids are those of a member.
const MEMBER: u16 = 0x8012;

/// The bits of the milliseconds of a member's start, and of the counter behind them.
const START_BITS: u32 = 40;
const COUNTER_BITS: u32 = 8;

/// The bits of the number of an epoch's id.
const NUMBER_BITS: u32 = 40;

pub(super) fn ids_of_member(clock: &SimClock) -> LeaseIds {
    let late = u64::from(probe::is_planted("alone-ids-start-late"));
    LeaseIds::of_member(MEMBER, Duration::from_millis(started_ms(clock) + late))
}

const fn started_ms_of(nanos: u64) -> u64 {
    nanos / 1_000_000
}

fn started_ms(clock: &SimClock) -> u64 {
    started_ms_of(clock.reading())
}

impl Host {
    /// A lessor that starts draws from the beginning.
    pub(super) fn drawn_anew(&mut self) -> Drawn {
        let ever = std::mem::take(&mut self.drawn.ever);
        if self.alone.ids_of_member {
            let front = u64::from(MEMBER & 0x7fff) << (START_BITS + COUNTER_BITS);
            let started = started_ms(&self.clock) & ((1 << START_BITS) - 1);
            let number = Some(started << COUNTER_BITS);
            return Drawn {
                front,
                number,
                ever,
            };
        }
        Drawn {
            ever,
            ..Drawn::default()
        }
    }

    /// The next id that is drawn, if it is known.
    fn next_drawn(&mut self) -> Option<i64> {
        let front = self.lessor.epoch().get() << NUMBER_BITS;
        if !self.alone.ids_of_member && front != self.drawn.front {
            (self.drawn.front, self.drawn.number) = (front, Some(0));
        }
        let mut number = self.drawn.number?;
        loop {
            number += 1;
            let id = (self.drawn.front | number).cast_signed();
            if !self.held.contains_key(&id) {
                return Some(id);
            }
        }
    }

    /// A client takes the next id that will be drawn, so that it is in use then.
    pub(super) fn take_next_id(&mut self, ttl: i64) {
        let is_counted = self.alone.ids_of_member || self.lessor.primary_epoch().is_some();
        if let Some(lease) = self.next_drawn().filter(|_| is_counted) {
            probe::mark("alone: an id that will be drawn is in use");
            self.grant_as(Some(lease), ttl);
        }
    }

    /// An id was drawn, or a grant of one refused: it must be the next one that is free.
    pub(super) fn look_at_drawn(&mut self, granted: &Result<LeaseId, LeaseError>) {
        let must = self.next_drawn();
        let is = match granted {
            Ok(id) => id.get(),
            Err(LeaseError::LeaseTtlTooLarge) => return,
            // It has used the next one up.
            Err(LeaseError::TooManyLeases) => match must {
                Some(must) => must,
                None => return,
            },
            // Whether it has come to an id nobody knows.
            Err(_) => {
                self.drawn.number = None;
                return;
            }
        };
        if must.is_some_and(|must| must != is) {
            self.object(format!("id {is:x} is drawn, and not {must:x?}"));
        }
        self.drawn.number = Some(is.cast_unsigned() & !self.drawn.front);
        if !self.drawn.ever.insert(is) && !self.alone.ids_of_member {
            self.object(format!("id {is:x} is drawn again"));
        }
    }
}
