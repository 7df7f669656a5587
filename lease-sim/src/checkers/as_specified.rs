use super::Checker;
use crate::event::Event;

/// INV-1, 6, 9, 18 of a lessor that stands alone: it shows what the obvious program does, and says why
/// where it does not.
#[derive(Debug, Default)]
pub struct AsSpecified;

impl Checker for AsSpecified {
    fn name(&self) -> &'static str {
        "INV-6 as specified, alone"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Wrong { message } => Some(message.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::objects;

    #[test]
    fn objects_to_what_is_wrong() {
        let message = "lease 1 is gone".to_owned();
        assert!(objects(AsSpecified, &[(0, Event::Wrong { message })]));
        assert!(!objects(AsSpecified, &[(0, Event::Healed)]));
    }
}
