//! Hand-made histories for the tests of the checkers.

use super::Checker;
use crate::event::{Event, Glance, Name, OwnTime};
use crate::plan::{Parameters, Plan, Profile};

pub(crate) const fn name(lease: i64, incarnation: u64) -> Name {
    Name { lease, incarnation }
}

/// Parameters with exact clocks.
pub(crate) fn parameters() -> Parameters {
    let mut parameters = Plan::draw(1, Profile::Lite).parameters;
    parameters.drift_ppm.fill(0);
    parameters
}

/// A primary of epoch 1 without leases, which expires what is due.
pub(crate) fn primary() -> Glance {
    Glance {
        node: 0,
        primary: Some(1),
        clock: OwnTime::default(),
        epoch: 1,
        waiting: 0,
        ticks: 0,
        changes: 0,
        expires: true,
        leases: Vec::new(),
    }
}

/// A clock that is read exactly.
pub(crate) const fn at(ms: u64) -> OwnTime {
    OwnTime {
        from_ms: ms,
        to_ms: ms,
    }
}

/// A member that has come in time reads its clock.
pub(crate) const fn read(clock: OwnTime) -> Event {
    Event::Read {
        node: 0,
        clock,
        is_punctual: true,
    }
}

/// Something that a checker sees.
#[derive(Clone)]
pub(crate) enum Seen {
    Event(Event),
    Glance(Glance),
}

impl From<Event> for Seen {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<Glance> for Seen {
    fn from(glance: Glance) -> Self {
        Self::Glance(glance)
    }
}

/// What the checker says first of the history.
pub(crate) fn verdict(
    mut checker: impl Checker,
    history: impl IntoIterator<Item = (u64, Seen)>,
) -> Option<String> {
    history.into_iter().find_map(|(at_ms, seen)| match seen {
        Seen::Event(event) => checker.hear(at_ms, &event),
        Seen::Glance(glance) => checker.look(at_ms, &glance),
    })
}

/// Whether the checker objects to a history of events.
pub(crate) fn objects(checker: impl Checker, history: &[(u64, Event)]) -> bool {
    let history = history.iter().cloned();
    verdict(checker, history.map(|(at_ms, event)| (at_ms, event.into()))).is_some()
}
