use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::checkers::{Checker, all};
use crate::event::{Event, Glance};
use crate::plan::Parameters;

/// Hears what happens in a run: lets the checkers look at it, and keeps the trace.
pub struct Recorder {
    checkers: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
    events: u64,
    hasher: DefaultHasher,
    is_traced: bool,
}

thread_local! {
    // The trace of the world that runs on this thread. Not in the recorder, so that it outlives a
    // world that ends with a panic.
    static TRACE: RefCell<Vec<Traced>> = const { RefCell::new(Vec::new()) };
}

/// Takes the trace that the world of this thread has left: all of it in a report, so this is for a
/// world that has ended with a panic.
#[must_use]
pub fn take_trace() -> Vec<Traced> {
    TRACE.take()
}

/// A property that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// The property.
    pub property: String,
    /// What happened.
    pub message: String,
}

/// An event and its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Traced {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}

/// What is left of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The seed of the plan.
    pub seed: u64,
    /// How long it took in virtual time.
    pub virtual_ms: u64,
    /// How many events the checkers heard.
    pub events: u64,
    /// The hash of all events, and of what is done without one: equal for two runs of a plan.
    pub hash: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How often each interesting thing happened.
    pub sometimes: BTreeMap<String, u64>,
    /// All events, if the run was to be traced.
    pub trace: Vec<Traced>,
    /// The members at the end, in words; only if the run was to be traced.
    pub members: Vec<String>,
}

impl Recorder {
    /// A recorder over a run with these parameters.
    #[must_use]
    pub fn new(parameters: &Parameters, is_traced: bool) -> Self {
        Self {
            checkers: all(parameters),
            violations: Vec::new(),
            events: 0,
            hasher: DefaultHasher::new(),
            is_traced,
        }
    }

    /// Tells all checkers.
    pub fn hear(&mut self, at_ms: u64, event: Event) {
        self.events += 1;
        (at_ms, &event).hash(&mut self.hasher);
        for checker in &mut self.checkers {
            if let Some(message) = checker.hear(at_ms, &event) {
                self.violations.push(violation(at_ms, &**checker, message));
            }
        }
        self.note(at_ms, event);
    }

    /// Takes something into the hash that no checker need hear.
    pub fn fold(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    /// Lets all checkers look at a member.
    pub fn look(&mut self, at_ms: u64, glance: &Glance) {
        for checker in &mut self.checkers {
            if let Some(message) = checker.look(at_ms, glance) {
                self.violations.push(violation(at_ms, &**checker, message));
            }
        }
    }

    /// Puts what the checkers need not hear into the trace.
    pub fn note(&mut self, at_ms: u64, event: Event) {
        if self.is_traced {
            TRACE.with_borrow_mut(|trace| trace.push(Traced { at_ms, event }));
        }
    }

    /// Whether there is a trace.
    #[must_use]
    pub const fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// Whether a property has been violated.
    #[must_use]
    pub const fn has_objected(&self) -> bool {
        !self.violations.is_empty()
    }

    /// Closes the run.
    #[must_use]
    pub fn close(self, seed: u64, virtual_ms: u64) -> Report {
        let trace = if self.is_traced {
            take_trace()
        } else {
            Vec::new()
        };
        Report {
            seed,
            virtual_ms,
            events: self.events,
            hash: self.hasher.finish(),
            violations: self.violations,
            trace,
            ..Report::default()
        }
    }
}

fn violation(at_ms: u64, checker: &dyn Checker, message: String) -> Violation {
    Violation {
        at_ms,
        property: checker.name().to_owned(),
        message,
    }
}
