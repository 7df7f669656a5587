use std::collections::BTreeMap;

use super::{Event, Judge, Name};

/// INV-1: after a grant or renewal with TTL T was acknowledged, no expiry takes effect before T has
/// passed since the client asked.
#[derive(Default)]
pub struct EarlyLoss {
    promised_until_ms: BTreeMap<Name, u64>,
    expired_at_ms: BTreeMap<Name, u64>,
}

impl Judge for EarlyLoss {
    fn name(&self) -> &'static str {
        "INV-1 no early loss"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Acknowledged {
                name,
                asked_ms,
                ttl_ms,
            } => {
                let until_ms = asked_ms + ttl_ms;
                let promised = self.promised_until_ms.entry(*name).or_default();
                *promised = until_ms.max(*promised);
                let expired_ms = *self.expired_at_ms.get(name)?;
                (expired_ms < until_ms).then(|| {
                    format!(
                        "{name:?} had expired at {expired_ms} ms when a client that asked at \
                         {asked_ms} ms was promised {ttl_ms} ms"
                    )
                })
            }
            Event::Revoked { name, by: Some(_) } => {
                self.expired_at_ms.entry(*name).or_insert(at_ms);
                let until_ms = *self.promised_until_ms.get(name)?;
                (at_ms < until_ms).then(|| {
                    format!("{name:?} expired at {at_ms} ms, promised until {until_ms} ms")
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lease_core::Epoch;

    use super::*;
    use crate::judges::testing::{name, objects};

    fn promise(asked_ms: u64, ttl_ms: u64) -> Event {
        Event::Acknowledged {
            name: name(1, 1),
            asked_ms,
            ttl_ms,
        }
    }

    fn revoked(by: Option<Epoch>) -> Event {
        Event::Revoked {
            name: name(1, 1),
            by,
        }
    }

    #[test]
    fn objects_to_an_early_expiry_in_either_order() {
        let expired = revoked(Some(Epoch::new(1)));
        assert!(objects(
            EarlyLoss::default(),
            &[(5, promise(0, 100)), (99, expired.clone())]
        ));
        assert!(objects(
            EarlyLoss::default(),
            &[(99, expired.clone()), (120, promise(90, 100))]
        ));
        assert!(!objects(
            EarlyLoss::default(),
            &[(5, promise(0, 100)), (100, expired)]
        ));
    }

    #[test]
    fn a_user_may_revoke() {
        assert!(!objects(
            EarlyLoss::default(),
            &[(5, promise(0, 100)), (50, revoked(None))]
        ));
    }
}
