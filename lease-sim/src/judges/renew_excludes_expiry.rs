use std::collections::BTreeSet;

use super::Judge;
use crate::event::{Event, Name};

/// INV-2: what a primary has handed out as expired it does not renew, and after a renewal nothing
/// that was handed out before takes effect.
#[derive(Debug, Default)]
pub struct RenewExcludesExpiry {
    handed_out: BTreeSet<(Name, u64)>,
    // Hand-outs that a renewal by a later primary has since made void.
    void: BTreeSet<(Name, u64)>,
}

impl Judge for RenewExcludesExpiry {
    fn name(&self) -> &'static str {
        "INV-2 renew excludes expiry"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::HandedOut { epoch, name, .. } => {
                self.handed_out.insert((*name, *epoch));
                None
            }
            Event::Renewed { epoch, name, .. } => {
                let before = self.handed_out.range((*name, 0)..(*name, *epoch));
                self.void.extend(before.copied());
                self.handed_out
                    .contains(&(*name, *epoch))
                    .then(|| format!("{name:?} was renewed in epoch {epoch}, which had expired it"))
            }
            Event::Revoked {
                name,
                by: Some(epoch),
            } => self
                .void
                .contains(&(*name, *epoch))
                .then(|| format!("{name:?} was expired by epoch {epoch} although renewed since")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::testing::{name, objects};

    fn handed_out(epoch: u64) -> Event {
        Event::HandedOut {
            node: 0,
            epoch,
            name: name(1, 1),
            attempt: 0,
        }
    }

    fn renewed(epoch: u64) -> Event {
        Event::Renewed {
            node: 0,
            epoch,
            name: name(1, 1),
        }
    }

    #[test]
    fn objects_to_a_renewal_after_the_hand_out() {
        let judge = RenewExcludesExpiry::default;
        assert!(objects(judge(), &[(0, handed_out(1)), (1, renewed(1))]));
        assert!(!objects(judge(), &[(0, renewed(1)), (1, handed_out(1))]));
        assert!(!objects(judge(), &[(0, handed_out(1)), (1, renewed(2))]));
    }

    #[test]
    fn objects_to_an_old_expiry_after_a_new_renewal() {
        let revoked = Event::Revoked {
            name: name(1, 1),
            by: Some(1),
        };
        let judge = RenewExcludesExpiry::default;
        let history = [(0, handed_out(1)), (1, renewed(2)), (2, revoked.clone())];
        assert!(objects(judge(), &history));
        assert!(!objects(judge(), &[(0, handed_out(1)), (2, revoked)]));
    }
}
