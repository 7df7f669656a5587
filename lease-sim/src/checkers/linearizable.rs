use super::Checker;
use crate::event::Event;

/// INV-24: what a member answers is as new as anything that was acknowledged before the question, and what
/// is acknowledged has happened, once; what was told not to have happened does not. Compared where the
/// calls are made.
#[derive(Debug, Default)]
pub struct Linearizable;

impl Checker for Linearizable {
    fn name(&self) -> &'static str {
        "INV-24 linearizable"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::NotLinear { message } => Some(message.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::objects;
    use super::*;

    #[test]
    fn it_says_what_was_found() {
        let message = "it is not so".to_owned();
        let event = Event::NotLinear { message };
        assert!(objects(Linearizable, &[(0, event)]));
        assert!(!objects(Linearizable, &[(0, Event::Healed)]));
    }
}
