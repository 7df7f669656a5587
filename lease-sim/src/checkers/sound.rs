use super::Checker;
use crate::event::Event;

/// INV-7, INV-8, INV-11, INV-20: what the lessor's own `check_invariants` checks after every step.
#[derive(Debug, Default)]
pub struct Sound;

impl Checker for Sound {
    fn name(&self) -> &'static str {
        "INV-7, INV-8 sound structures"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Broken { node, message } => Some(format!("node {node}: {message}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::objects;

    #[test]
    fn objects_to_a_broken_structure() {
        let broken = Event::Broken {
            node: 0,
            message: "a dead entry".into(),
        };
        assert!(objects(Sound, &[(0, broken)]));
        assert!(!objects(Sound, &[(0, Event::Paused { node: 0 })]));
    }
}
