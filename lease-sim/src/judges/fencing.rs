use std::collections::BTreeMap;

use lease_core::{Epoch, Incarnation, LeaseId};

use super::{Event, Judge};

/// INV-3: an expiry takes effect only on the incarnation that it names and in the epoch that
/// ordered it.
#[derive(Default)]
pub struct Fencing {
    epoch: Epoch,
    alive: BTreeMap<LeaseId, Incarnation>,
}

impl Judge for Fencing {
    fn name(&self) -> &'static str {
        "INV-3 fenced expiry"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Began { epoch } => {
                self.epoch = self.epoch.max(*epoch);
                None
            }
            Event::Granted {
                name: (id, incarnation),
            } => self
                .alive
                .insert(*id, *incarnation)
                .map(|old| format!("{id} was granted while {old:?} was alive")),
            Event::Revoked {
                name: (id, incarnation),
                by,
            } => {
                let alive = self.alive.remove(id);
                if alive != Some(*incarnation) {
                    return Some(format!(
                        "{id} {incarnation:?} was revoked, alive was {alive:?}"
                    ));
                }
                by.filter(|by| *by < self.epoch)
                    .map(|by| format!("{id} was expired by epoch {by} in epoch {}", self.epoch))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::testing::{name, objects};

    fn granted(incarnation: u64) -> (u64, Event) {
        let name = name(1, incarnation);
        (0, Event::Granted { name })
    }

    fn revoked(incarnation: u64, by: u64) -> (u64, Event) {
        let (name, by) = (name(1, incarnation), Some(Epoch::new(by)));
        (0, Event::Revoked { name, by })
    }

    fn began(epoch: u64) -> (u64, Event) {
        let epoch = Epoch::new(epoch);
        (0, Event::Began { epoch })
    }

    #[test]
    fn objects_to_another_incarnation_and_to_an_old_epoch() {
        assert!(!objects(
            Fencing::default(),
            &[began(2), granted(5), revoked(5, 2)]
        ));
        assert!(objects(Fencing::default(), &[granted(5), revoked(4, 1)]));
        assert!(objects(
            Fencing::default(),
            &[granted(5), began(2), revoked(5, 1)]
        ));
        assert!(objects(Fencing::default(), &[granted(5), granted(6)]));
    }
}
