use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::event::{Event, Glance, Name, OwnTime};

/// INV-1, by the primary's own clock and to the millisecond: it delivers no lease before the time that
/// it has counted it to, and says of each exactly what remains.
#[derive(Debug, Default)]
pub struct OwnClock {
    until: BTreeMap<(usize, Name), OwnTime>,
    // The promotion that has counted them.
    epoch: BTreeMap<usize, u64>,
    // Those that have ended. What others do with such a lessor in the same moment counts for nobody.
    ended: BTreeSet<usize>,
    // What each member took for the time when it last did something.
    read: BTreeMap<usize, OwnTime>,
}

impl OwnClock {
    fn forget(&mut self, node: usize) {
        self.until.retain(|(of, _), _| *of != node);
    }
}

impl Checker for OwnClock {
    fn name(&self) -> &'static str {
        "INV-1 exact deadlines"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Read { node, clock, .. } => {
                self.read.insert(*node, *clock);
            }
            Event::Counted { node, .. } if self.ended.contains(node) => {}
            Event::Counted { node, name, until } => {
                let counted = self.until.entry((*node, *name)).or_default();
                *counted = counted.max(*until);
            }
            // What an earlier promotion has delivered may be taken later.
            Event::Delivered { node, epoch, .. }
                if self.epoch.get(node).is_some_and(|counted| counted != epoch) => {}
            Event::Delivered { node, name, .. } => {
                let until = self.until.get(&(*node, *name))?;
                let now_ms = self.read.get(node)?.to_ms;
                return (now_ms < until.from_ms).then(|| {
                    format!(
                        "node {node} delivered {name:?} when its clock was at {now_ms} ms, and had \
                         counted it to {} ms",
                        until.from_ms
                    )
                });
            }
            // Each promotion counts anew.
            Event::Promoted { node, epoch } => {
                self.forget(*node);
                self.epoch.insert(*node, *epoch);
                self.ended.remove(node);
            }
            Event::Demoted { node } => self.forget(*node),
            Event::Ended { node, .. } => {
                self.forget(*node);
                self.ended.insert(*node);
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, _: u64, glance: &Glance) -> Option<String> {
        let Glance { node, clock, .. } = glance;
        glance.leases.iter().find_map(|(name, left_ms, _)| {
            let left_ms = (*left_ms)?;
            let until = self.until.get(&(*node, *name))?;
            let least_ms = until.from_ms.saturating_sub(clock.to_ms);
            let most_ms = until.to_ms.saturating_sub(clock.from_ms);
            (left_ms < least_ms || most_ms < left_ms).then(|| {
                format!(
                    "node {node} says that {left_ms} ms remain of {name:?}, and has counted it to \
                     {} ms when its clock is at {} ms",
                    until.from_ms, clock.to_ms
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{self, Seen, at, name, primary, verdict};
    use crate::event::Exit;

    fn counted(until: OwnTime) -> Seen {
        let (node, name) = (0, name(1, 1));
        Event::Counted { node, name, until }.into()
    }

    fn delivered(clock: OwnTime) -> [Seen; 2] {
        let delivered = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            attempt: 0,
        };
        [testing::read(clock).into(), delivered.into()]
    }

    fn shows(left_ms: u64, clock: OwnTime) -> Seen {
        let leases = vec![(name(1, 1), Some(left_ms), 9_000)];
        Glance {
            clock,
            leases,
            ..primary()
        }
        .into()
    }

    fn objects(history: impl IntoIterator<Item = Seen>) -> bool {
        let history = history.into_iter().map(|seen| (0, seen));
        verdict(OwnClock::default(), history).is_some()
    }

    #[test]
    fn objects_to_a_delivery_that_is_a_millisecond_early() {
        let history = |now_ms| [counted(at(700))].into_iter().chain(delivered(at(now_ms)));
        assert!(objects(history(699)));
        assert!(!objects(history(700)));
        // The last time counts, and an earlier one takes nothing away.
        let renewed = [counted(at(700)), counted(at(800)), counted(at(750))];
        assert!(objects(
            renewed.clone().into_iter().chain(delivered(at(799)))
        ));
        assert!(!objects(renewed.into_iter().chain(delivered(at(800)))));
    }

    #[test]
    fn objects_to_what_is_not_exactly_what_remains() {
        let history = |left_ms| [counted(at(700)), shows(left_ms, at(500))];
        assert!(objects(history(199)));
        assert!(!objects(history(200)));
        assert!(objects(history(201)));
        assert!(!objects([counted(at(700)), shows(0, at(900))]));
    }

    #[test]
    fn a_clock_that_is_behind_where_it_was_leaves_room() {
        let clock = OwnTime {
            from_ms: 400,
            to_ms: 500,
        };
        let history = |left_ms| [counted(at(700)), shows(left_ms, clock)];
        assert!(objects(history(199)));
        assert!(!objects(history(200)));
        assert!(!objects(history(300)));
        assert!(objects(history(301)));
    }

    #[test]
    fn a_promotion_counts_anew() {
        let promoted = Event::Promoted { node: 0, epoch: 2 };
        let history = |first| [first, counted(at(600)), shows(100, at(500))];
        assert!(objects(history(counted(at(700)))));
        let mut late = vec![promoted.clone().into(), counted(at(700))];
        late.extend(delivered(at(699)));
        assert!(!objects(late), "an earlier promotion has delivered it");
        let mut anew = vec![counted(at(700)), promoted.into()];
        anew.extend([counted(at(600)), shows(100, at(500))]);
        assert!(!objects(anew));
    }

    #[test]
    fn a_member_that_has_ended_counts_nothing_before_it_is_promoted_again() {
        let ended = Event::Ended {
            node: 0,
            index: 1,
            how: Exit::PowerLost,
        };
        // The lessor of before still holds the later time.
        let mut history = vec![counted(at(700)), ended.into(), counted(at(600))];
        let shown = shows(200, at(500));
        assert!(!objects(history.iter().cloned().chain([shown.clone()])));
        let promoted = Event::Promoted { node: 0, epoch: 2 };
        history.extend([promoted.into(), counted(at(600)), shown]);
        assert!(objects(history));
    }
}
