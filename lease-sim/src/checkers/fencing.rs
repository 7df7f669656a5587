use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Name};

/// INV-3: an expiry takes effect only on the grant of the id, and in the epoch, that it was delivered
/// for; and there is one lease of an id at a time.
#[derive(Debug, Default)]
pub struct Fencing {
    live: BTreeMap<i64, u64>,
    epoch: u64,
    delivered: BTreeMap<(Name, u64), u64>,
}

impl Checker for Fencing {
    fn name(&self) -> &'static str {
        "INV-3 fenced expiry"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Began { epoch } => {
                self.epoch = self.epoch.max(*epoch);
                None
            }
            Event::Granted { name, .. } => {
                let before = self.live.insert(name.lease, name.incarnation);
                before.map(|before| format!("{name:?} was granted while entry {before}'s is there"))
            }
            Event::Delivered { epoch, name, .. } => {
                self.delivered.entry((*name, *epoch)).or_insert(at_ms);
                None
            }
            Event::Revoked { name, by } => {
                let granted = self.live.remove(&name.lease);
                if granted != Some(name.incarnation) {
                    return Some(format!(
                        "{name:?} was revoked, but the lease is {granted:?}"
                    ));
                }
                let by = (*by)?;
                if by < self.epoch {
                    return Some(format!(
                        "{name:?} was expired by epoch {by} in epoch {}",
                        self.epoch
                    ));
                }
                (!self.delivered.contains_key(&(*name, by)))
                    .then(|| format!("epoch {by} expired {name:?} without delivering it"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, objects};

    fn granted(incarnation: u64) -> (u64, Event) {
        let name = name(1, incarnation);
        (0, Event::Granted { name, ttl_ms: 1 })
    }

    fn delivered(incarnation: u64, epoch: u64) -> (u64, Event) {
        let event = Event::Delivered {
            node: 0,
            epoch,
            name: name(1, incarnation),
            attempt: 0,
        };
        (0, event)
    }

    fn revoked(incarnation: u64, by: u64) -> (u64, Event) {
        let (name, by) = (name(1, incarnation), Some(by));
        (0, Event::Revoked { name, by })
    }

    fn began(epoch: u64) -> (u64, Event) {
        (0, Event::Began { epoch })
    }

    #[test]
    fn objects_to_another_incarnation_and_to_an_old_epoch() {
        let checker = Fencing::default;
        let sound = [began(2), granted(5), delivered(5, 2), revoked(5, 2)];
        assert!(!objects(checker(), &sound));
        let old_grant = [granted(5), delivered(4, 1), revoked(4, 1)];
        assert!(objects(checker(), &old_grant));
        let old_epoch = [granted(5), delivered(5, 1), began(2), revoked(5, 1)];
        assert!(objects(checker(), &old_epoch));
        assert!(objects(checker(), &[granted(5), granted(6)]));
    }

    #[test]
    fn objects_to_an_expiry_out_of_nothing() {
        let history = [granted(5), delivered(4, 1), revoked(5, 1)];
        assert!(objects(Fencing::default(), &history));
    }
}
