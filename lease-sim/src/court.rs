use std::collections::BTreeMap;

use serde::Serialize;

use crate::judges::{Event, Judge, all};

/// Hears what happens in a run: lets the judges look at it, and keeps the trace.
pub struct Court {
    judges: Vec<Box<dyn Judge>>,
    violations: Vec<Violation>,
    events: u64,
    // FNV-1a over the events, to tell two runs apart.
    hash: u64,
    sometimes: BTreeMap<&'static str, u64>,
}

/// A property that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// The property.
    pub property: &'static str,
    /// What happened.
    pub message: String,
}

/// What is left of a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How long it took in virtual time.
    pub virtual_ms: u64,
    /// How many events the judges heard.
    pub events: u64,
    /// The hash of all events: equal for two runs of a seed.
    pub hash: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How often each interesting thing happened.
    pub sometimes: BTreeMap<&'static str, u64>,
}

impl Default for Court {
    fn default() -> Self {
        Self {
            judges: all(),
            violations: Vec::new(),
            events: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            sometimes: BTreeMap::new(),
        }
    }
}

impl Court {
    /// Tells all judges.
    pub fn hear(&mut self, at_ms: u64, event: &Event) {
        self.events += 1;
        for byte in format!("{at_ms}{event:?}").bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        for judge in &mut self.judges {
            if let Some(message) = judge.hear(at_ms, event) {
                self.violations.push(Violation {
                    at_ms,
                    property: judge.name(),
                    message,
                });
            }
        }
    }

    /// Notes that something interesting has happened.
    pub fn sometimes(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// Closes the run.
    #[must_use]
    pub fn close(self, seed: u64, virtual_ms: u64) -> Report {
        Report {
            seed,
            virtual_ms,
            events: self.events,
            hash: self.hash,
            violations: self.violations,
            sometimes: self.sometimes,
        }
    }
}
