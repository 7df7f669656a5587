use std::collections::BTreeSet;

use super::Checker;
use crate::event::{Event, Name};

/// INV-2: what a primary has delivered as expired it does not renew, and after a renewal nothing
/// that was delivered before takes effect.
#[derive(Debug, Default)]
pub struct RenewExcludesExpiry {
    delivered: BTreeSet<(Name, u64)>,
    // Deliveries that a renewal by a later primary has since made void.
    void: BTreeSet<(Name, u64)>,
}

impl Checker for RenewExcludesExpiry {
    fn name(&self) -> &'static str {
        "INV-2 renew excludes expiry"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Delivered { epoch, name, .. } => {
                self.delivered.insert((*name, *epoch));
                None
            }
            Event::Renewed { epoch, name, .. } => {
                let before = self.delivered.range((*name, 0)..(*name, *epoch));
                self.void.extend(before.copied());
                self.delivered
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
    use crate::checkers::testing::{name, objects};

    fn delivered(epoch: u64) -> Event {
        Event::Delivered {
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
    fn objects_to_a_renewal_after_the_delivery() {
        let checker = RenewExcludesExpiry::default;
        assert!(objects(checker(), &[(0, delivered(1)), (1, renewed(1))]));
        assert!(!objects(checker(), &[(0, renewed(1)), (1, delivered(1))]));
        assert!(!objects(checker(), &[(0, delivered(1)), (1, renewed(2))]));
    }

    #[test]
    fn objects_to_an_old_expiry_after_a_new_renewal() {
        let revoked = Event::Revoked {
            name: name(1, 1),
            by: Some(1),
        };
        let checker = RenewExcludesExpiry::default;
        let history = [(0, delivered(1)), (1, renewed(2)), (2, revoked.clone())];
        assert!(objects(checker(), &history));
        assert!(!objects(checker(), &[(0, delivered(1)), (2, revoked)]));
    }
}
