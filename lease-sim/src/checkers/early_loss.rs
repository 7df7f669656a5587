use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Name};
use crate::plan::Parameters;

/// INV-1: after a grant or renewal with TTL T was acknowledged, no expiry takes effect before T has
/// passed since the client asked, up to the error of the clocks.
#[derive(Debug)]
pub struct EarlyLoss {
    parameters: Parameters,
    promised_until_ms: BTreeMap<Name, u64>,
    expired_at_ms: BTreeMap<Name, u64>,
}

impl EarlyLoss {
    /// A checker that allows for the drift of the clocks.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            parameters: parameters.clone(),
            promised_until_ms: BTreeMap::new(),
            expired_at_ms: BTreeMap::new(),
        }
    }
}

impl Checker for EarlyLoss {
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
                let until_ms = asked_ms + ttl_ms - self.parameters.clock_error_ms(*ttl_ms);
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
    use super::*;
    use crate::checkers::testing::{name, objects, parameters};

    fn checker() -> EarlyLoss {
        EarlyLoss::new(&parameters())
    }

    fn promise(asked_ms: u64, ttl_ms: u64) -> Event {
        Event::Acknowledged {
            name: name(1, 1),
            asked_ms,
            ttl_ms,
        }
    }

    fn revoked(by: Option<u64>) -> Event {
        let name = name(1, 1);
        Event::Revoked { name, by }
    }

    #[test]
    fn objects_to_an_early_expiry_in_either_order() {
        let expired = revoked(Some(1));
        let history = [(5, promise(0, 100)), (99, expired.clone())];
        assert!(objects(checker(), &history));
        let history = [(99, expired.clone()), (120, promise(90, 100))];
        assert!(objects(checker(), &history));
        let history = [(5, promise(0, 100)), (100, expired)];
        assert!(!objects(checker(), &history));
    }

    #[test]
    fn a_user_may_revoke() {
        let history = [(5, promise(0, 100)), (50, revoked(None))];
        assert!(!objects(checker(), &history));
    }

    #[test]
    fn clocks_may_err_twice() {
        let mut parameters = parameters();
        parameters.drift_ppm = vec![0, -10_000, 0];
        let history = |at_ms| [(5, promise(0, 1000)), (at_ms, revoked(Some(1)))];
        let checker = || EarlyLoss::new(&parameters);
        assert!(!objects(checker(), &history(980)));
        assert!(objects(checker(), &history(979)));
    }
}
