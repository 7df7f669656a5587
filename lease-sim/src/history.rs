use std::collections::{BTreeMap, BTreeSet};

use lease_core::LeaseId;

use crate::event::Event;
#[cfg(madsim)]
use crate::event::Name;
use crate::spec::{Proposals, State};
use crate::wire::{Entry, Stamp};

/// What the log of a replicated lessor has come to, entry by entry, and what clients were told of it. What
/// they are told must fit a moment between their question and the answer, and none before a moment that
/// another client has been told of already.
#[derive(Debug)]
pub(crate) struct History {
    /// What is specified after each entry; the first one is before all.
    states: Vec<State>,
    proposals: Proposals,
    remembered: u64,
    /// Which entry has done what a proposal asks for.
    done_by: BTreeMap<(u64, u64), u64>,
    /// Proposals of which somebody was told that they have not happened and will not.
    denied: BTreeSet<(u64, u64)>,
    /// The entry up to which somebody knows the state.
    known: u64,
}

/// A question, as it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// The answer is of a state after this entry or a later one.
    from: u64,
    /// What it changes comes after this entry.
    length: u64,
}

impl History {
    /// Nothing has happened. A proposal is void if its member had applied so many entries less.
    pub(crate) fn new(remembered: u64) -> Self {
        Self {
            states: vec![State::default()],
            proposals: Proposals::default(),
            remembered,
            done_by: BTreeMap::new(),
            denied: BTreeSet::new(),
            known: 0,
        }
    }

    fn len(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// What is specified after an entry; of one that is not there after the last one.
    pub(crate) fn state(&self, index: u64) -> &State {
        let index = index.min(self.len());
        &self.states[usize::try_from(index).unwrap_or(0)]
    }

    /// Applies the next entry, and says what it does.
    ///
    /// # Errors
    ///
    /// Somebody was told that it will never be there.
    pub(crate) fn push(&mut self, entry: &Entry, proposed_ms: u64) -> Result<Vec<Event>, String> {
        let index = self.len() + 1;
        let mut state = self.state(index).clone();
        let stamp = entry.stamp;
        let is_admitted = self.proposals.admit(index, stamp, self.remembered);
        let effects = match is_admitted {
            true => state.apply(index, &entry.request, proposed_ms),
            false => Vec::new(),
        };
        self.states.push(state);
        if is_admitted {
            self.done_by.insert(key(stamp), index);
            if self.denied.contains(&key(stamp)) {
                return Err(format!(
                    "entry {index} does what somebody was told will never happen: {:?}",
                    entry.request
                ));
            }
        }
        Ok(effects)
    }

    /// The next entry is one that does nothing.
    #[cfg(madsim)]
    pub(crate) fn push_nothing(&mut self) -> Vec<Event> {
        self.states.push(self.state(self.len()).clone());
        Vec::new()
    }

    /// Somebody asks now.
    pub(crate) fn ask(&self) -> Question {
        Question {
            from: self.known,
            length: self.len(),
        }
    }

    /// Somebody who has asked is told what fits only some states. Returns the first one that it fits.
    ///
    /// # Errors
    ///
    /// It fits none.
    pub(crate) fn told(
        &mut self,
        question: Question,
        fits: impl Fn(&State) -> bool,
    ) -> Result<u64, String> {
        let index = (question.from..=self.len()).find(|index| fits(self.state(*index)));
        let index = index.ok_or_else(|| {
            format!(
                "it was so after none of the entries from {} to {}, and entry {0} was known when the question came",
                question.from,
                self.len()
            )
        })?;
        self.known = self.known.max(index);
        Ok(index)
    }

    /// The lease of an id, if it was the same one in all states that a question may be about, since an
    /// entry.
    #[cfg(madsim)]
    pub(crate) fn only_name(&self, question: Question, id: LeaseId, index: u64) -> Option<Name> {
        let incarnation = |index| {
            let held = self.state(index).leases.get(&id.get());
            held.map(|held| held.incarnation)
        };
        let incarnation_then = incarnation(index)?;
        let mut others = (question.from..=self.len()).filter_map(incarnation);
        let is_only = others.all(|other| other == incarnation_then);
        is_only.then_some(Name {
            lease: id.get(),
            incarnation: incarnation_then,
        })
    }

    /// Somebody is told what is so at a member that has applied the log up to an entry.
    ///
    /// # Errors
    ///
    /// It is not so.
    pub(crate) fn told_locally(
        &mut self,
        applied: u64,
        fits: impl Fn(&State) -> bool,
    ) -> Result<(), String> {
        self.known = self.known.max(applied);
        match fits(self.state(applied)) {
            true => Ok(()),
            false => Err(format!("it is not so after entry {applied}")),
        }
    }

    /// A member says that it has caught up with all that was known when it was asked.
    ///
    /// # Errors
    ///
    /// It has not.
    pub(crate) fn caught_up(&mut self, question: Question, applied: u64) -> Result<(), String> {
        self.known = self.known.max(applied);
        match applied >= question.from {
            true => Ok(()),
            false => Err(format!(
                "it has caught up to entry {applied}, and entry {} was known",
                question.from
            )),
        }
    }

    /// Somebody is told what his proposal has come to. Returns the entry that has done it, and the states
    /// before and after it.
    ///
    /// # Errors
    ///
    /// No entry has done it that has come since.
    pub(crate) fn done(
        &mut self,
        question: Question,
        session: u64,
        number: u64,
    ) -> Result<(u64, State, State), String> {
        let index = self.done_by.get(&(session, number)).copied();
        let index = index.filter(|index| *index > question.length);
        let index = index.ok_or("no entry has done it since it was asked for")?;
        self.known = self.known.max(index);
        Ok((
            index,
            self.state(index - 1).clone(),
            self.state(index).clone(),
        ))
    }

    /// Somebody is told that his proposal has not happened, and will not.
    ///
    /// # Errors
    ///
    /// It has.
    pub(crate) fn denied(&mut self, session: u64, number: u64) -> Result<(), String> {
        self.denied.insert((session, number));
        match self.done_by.get(&(session, number)) {
            Some(index) => Err(format!("entry {index} has done it")),
            None => Ok(()),
        }
    }
}

const fn key(stamp: Stamp) -> (u64, u64) {
    (stamp.session, stamp.number)
}

#[cfg(test)]
mod tests {
    use lease_core::Ttl;

    use super::*;
    use crate::wire::Request;

    fn grant(lease: i64, number: u64) -> Entry {
        Entry {
            request: Request::Grant {
                id: LeaseId::new(lease).expect("not zero"),
                ttl: Ttl::new(5).expect("legal"),
            },
            stamp: Stamp {
                session: 7,
                number,
                settled: 0,
                applied: 0,
            },
        }
    }

    #[test]
    fn nobody_is_told_less_than_somebody_knows() {
        let mut history = History::new(u64::MAX);
        let early = history.ask();
        history.push(&grant(1, 1), 0).expect("nobody denied it");
        let has_one = |state: &State| state.leases.contains_key(&1);
        assert_eq!(history.told(early, |state| !has_one(state)), Ok(0));
        let late = history.ask();
        assert_eq!(
            history.told(late, |state| !has_one(state)),
            Ok(0),
            "nobody knows it"
        );
        assert_eq!(history.told(early, has_one), Ok(1));
        assert!(
            history
                .told(history.ask(), |state| !has_one(state))
                .is_err()
        );
        assert!(history.caught_up(history.ask(), 0).is_err());
        assert!(history.told_locally(0, |state| !has_one(state)).is_ok());
        assert!(history.told_locally(1, |state| !has_one(state)).is_err());
    }

    #[test]
    fn a_proposal_is_done_once_and_after_it_was_asked_for() {
        let mut history = History::new(u64::MAX);
        let question = history.ask();
        assert!(history.done(question, 7, 1).is_err(), "not yet");
        history.push(&grant(1, 1), 0).expect("nobody denied it");
        let again = history.push(&grant(2, 1), 0);
        assert_eq!(again, Ok(vec![]), "it is the same proposal");
        let (index, before, after) = history.done(question, 7, 1).expect("it is there");
        assert_eq!((index, before.leases.len(), after.leases.len()), (1, 0, 1));
        assert!(history.done(history.ask(), 7, 1).is_err(), "long before");
    }

    #[test]
    fn what_was_denied_must_not_happen() {
        let mut history = History::new(u64::MAX);
        history.push(&grant(1, 1), 0).expect("nobody denied it");
        assert!(history.denied(7, 1).is_err());
        assert!(history.denied(7, 2).is_ok());
        assert!(history.push(&grant(2, 2), 0).is_err());
        assert!(history.push(&grant(3, 2), 0).is_ok(), "void");
    }

    #[test]
    fn a_proposal_that_is_too_old_is_void() {
        let mut history = History::new(1);
        for number in 1..=2 {
            history
                .push(&grant(number as i64, number), 0)
                .expect("nobody denied it");
        }
        assert_eq!(history.state(2).leases.len(), 1);
    }
}
