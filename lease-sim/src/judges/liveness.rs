use super::{Event, Judge};

/// INV-9: once everything is healed, every lease that nobody keeps alive is revoked, everywhere.
pub struct Liveness;

impl Judge for Liveness {
    fn name(&self) -> &'static str {
        "INV-9 expiry liveness"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Ended { left, .. } if !left.is_empty() => {
                Some(format!("leases are left long after their time: {left:?}"))
            }
            Event::Ended { behind, .. } if !behind.is_empty() => {
                Some(format!("members never caught up: {behind:?}"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::testing::{name, objects};

    #[test]
    fn objects_to_what_is_left() {
        let ended = |left, behind| (0, Event::Ended { left, behind });
        assert!(!objects(Liveness, &[ended(vec![], vec![])]));
        assert!(objects(Liveness, &[ended(vec![(0, name(1, 1).0)], vec![])]));
        assert!(objects(Liveness, &[ended(vec![], vec![2])]));
    }
}
