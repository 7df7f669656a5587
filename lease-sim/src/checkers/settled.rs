use std::collections::BTreeMap;

use crate::event::Event;

/// Which member is the primary for good: the world is healed, and nothing disturbs it any more. Over the hostile log
/// somebody is elected then; openraft may leave its leader where it is.
#[derive(Debug, Default)]
pub(super) struct Settled {
    is_healed: bool,
    elected: u64,
    // Of the newest epoch, also while there are faults.
    primary: Option<Primary>,
    // When the clocks that were set back have come to where they were.
    still_until_ms: BTreeMap<usize, u64>,
}

/// A primary that nothing disturbs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Primary {
    pub(super) node: usize,
    pub(super) epoch: u64,
    /// Since when it counts the time: it is promoted, and its clock goes.
    pub(super) since_ms: u64,
}

impl Settled {
    pub(super) fn hear(&mut self, at_ms: u64, event: &Event) {
        match event {
            Event::Healed => {
                self.is_healed = true;
                self.primary = self.primary.map(|primary| Primary {
                    since_ms: self.counts_from(primary.node, at_ms),
                    ..primary
                });
            }
            Event::Elected { epoch, .. } => {
                self.elected = *epoch;
                self.primary = None;
            }
            Event::Promoted { node, epoch } if *epoch == self.elected => {
                self.primary = Some(Primary {
                    node: *node,
                    epoch: *epoch,
                    since_ms: self.counts_from(*node, at_ms),
                });
            }
            Event::Demoted { node } | Event::Ended { node, .. } => {
                self.primary = self.primary.filter(|primary| primary.node != *node);
            }
            Event::ClockSetBack { node, by_ms } => {
                let still_until_ms = self.still_until_ms.entry(*node).or_default();
                *still_until_ms = at_ms.max(*still_until_ms) + by_ms;
            }
            _ => {}
        }
    }

    fn counts_from(&self, node: usize, at_ms: u64) -> u64 {
        let still_until_ms = self.still_until_ms.get(&node).copied();
        still_until_ms.unwrap_or(0).max(at_ms)
    }

    pub(super) const fn is_healed(&self) -> bool {
        self.is_healed
    }

    pub(super) fn primary(&self) -> Option<Primary> {
        self.primary.filter(|_| self.is_healed)
    }

    /// The primary, if it is this member.
    pub(super) fn is(&self, node: usize) -> Option<Primary> {
        self.primary().filter(|primary| primary.node == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTED: Event = Event::Elected { node: 1, epoch: 3 };
    const PROMOTED: Event = Event::Promoted { node: 1, epoch: 3 };

    fn after(history: &[(u64, Event)]) -> Option<Primary> {
        let mut settled = Settled::default();
        for (at_ms, event) in history {
            settled.hear(*at_ms, event);
        }
        settled.primary()
    }

    #[test]
    fn the_primary_of_the_last_epoch_of_a_healed_world_is_so_for_good() {
        let settled = [(0, Event::Healed), (1, ELECTED), (2, PROMOTED)];
        let primary = after(&settled).expect("nothing disturbs it");
        assert_eq!((primary.node, primary.epoch, primary.since_ms), (1, 3, 2));
        let before = [(0, ELECTED), (1, PROMOTED), (2, Event::Healed)];
        assert_eq!(after(&before[..2]), None);
        assert_eq!(after(&before).map(|primary| primary.since_ms), Some(2));
        for end in [
            Event::Demoted { node: 1 },
            Event::Elected { node: 0, epoch: 4 },
        ] {
            let mut history = settled.to_vec();
            history.push((3, end));
            assert_eq!(after(&history), None);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_later() {
        let set_back = |by_ms| Event::ClockSetBack { node: 1, by_ms };
        let history = [
            (0, set_back(50)),
            (10, set_back(50)),
            (20, Event::Healed),
            (30, ELECTED),
            (40, PROMOTED),
        ];
        assert_eq!(after(&history).map(|primary| primary.since_ms), Some(100));
    }
}
