use std::collections::{BTreeMap, BTreeSet};

use lease_core::WriteBatch;
use lease_pb::Message;
use lease_pb::leaseraftpb::{self, Span};

use crate::entry::Entry;
use crate::probe::planted;
use crate::store::sessions;

/// Which proposals were applied: one that comes twice is applied once.
///
/// A session is forgotten when this many entries have come after its last one; an entry that was
/// proposed longer ago is void, so that none is taken for new.
#[derive(Default)]
pub(super) struct Sessions {
    of: BTreeMap<u64, Session>,
    // The index of each session's last entry.
    by_age: BTreeSet<(u64, u64)>,
}

/// What is to be done with an entry.
pub(super) enum Admission {
    /// It is applied.
    New(Admitted),
    /// It was applied before, or nobody waits for it: it is left out.
    Known,
    /// It was proposed so long ago that nobody knows whether it was applied: it is left out, for good.
    TooOld,
}

/// What is to be remembered of an entry that is applied.
pub(super) struct Admitted {
    number: u64,
    session: Session,
    forgotten: Option<(u64, u64)>,
}

/// The proposals of one life of a member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Session {
    // Spans of numbers that were applied or are settled, by their starts: the number after the end. No
    // two touch.
    spans: BTreeMap<u64, u64>,
    last_index: u64,
}

/// For how many entries a session is remembered after its last one.
const REMEMBERED: u64 = 1_000_000;

fn remembered() -> u64 {
    crate::probe::remembered!(REMEMBERED)
}

impl Sessions {
    /// Takes in a stored row.
    ///
    /// # Errors
    ///
    /// Why the row is none.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = key.try_into().map_err(|_| "its key is no number")?;
        let stored = leaseraftpb::Session::decode(value).map_err(|error| error.to_string())?;
        let mut session = Session {
            last_index: stored.last_index,
            ..Session::default()
        };
        for Span { start, length } in stored.spans {
            session.add(start, start.saturating_add(length));
        }
        let number = u64::from_be_bytes(key);
        self.by_age.insert((session.last_index, number));
        self.of.insert(number, session);
        Ok(())
    }

    /// Whether the entry at this index is to be applied. What is to be remembered of it then goes into the
    /// rows.
    pub(super) fn admit(&self, index: u64, entry: &Entry, rows: &mut WriteBatch) -> Admission {
        if index.saturating_sub(entry.applied) > remembered() {
            return Admission::TooOld;
        }
        let mut session = self.of.get(&entry.session).cloned().unwrap_or_default();
        if session.contains(entry.number) && !planted!("raft-retry-applied-twice") {
            return Admission::Known;
        }
        session.last_index = index;
        session.add(0, entry.settled.saturating_add(1));
        session.add(entry.number, entry.number.saturating_add(1));
        // One at a time, since one entry adds at most one.
        let oldest = self.by_age.first().filter(|(last_index, number)| {
            let remembered = match planted!("raft-sessions-forgotten-early") {
                true => 4,
                false => remembered(),
            };
            index.saturating_sub(*last_index) > remembered && *number != entry.session
        });
        if let Some((_, number)) = oldest {
            rows.delete(sessions(), number.to_be_bytes());
        }
        rows.put(sessions(), entry.session.to_be_bytes(), session.encode());
        Admission::New(Admitted {
            number: entry.session,
            session,
            forgotten: oldest.copied(),
        })
    }

    /// Whether a proposal may have been applied up to `index`, of which `made` was applied where it was made: it is
    /// known, or its session may be forgotten since.
    pub(super) fn may_have_applied(
        &self,
        session: u64,
        number: u64,
        made: u64,
        index: u64,
    ) -> bool {
        let session = self.of.get(&session);
        session.is_some_and(|session| session.contains(number))
            || index.saturating_sub(made) > remembered()
    }

    /// Remembers an entry that was applied.
    pub(super) fn note(&mut self, admitted: Admitted) {
        let Admitted {
            number,
            session,
            forgotten,
        } = admitted;
        if let Some(oldest) = forgotten {
            self.by_age.remove(&oldest);
            self.of.remove(&oldest.1);
        }
        self.by_age.insert((session.last_index, number));
        if let Some(before) = self.of.insert(number, session) {
            self.by_age.remove(&(before.last_index, number));
        }
    }
}

impl Session {
    fn contains(&self, number: u64) -> bool {
        let before = self.spans.range(..=number).next_back();
        before.is_some_and(|(_, end)| number < *end)
    }

    /// Adds the numbers from `start` up to `end`, exclusive.
    fn add(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        if start >= end {
            return;
        }
        while let Some((from, to)) = self.touching(start, end) {
            self.spans.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.spans.insert(start, end);
    }

    /// A span that overlaps these numbers, or ends where they begin, or begins where they end.
    fn touching(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let last = self.spans.range(..=end).next_back();
        let (from, to) = last.map(|(from, to)| (*from, *to))?;
        (to >= start).then_some((from, to))
    }

    fn encode(&self) -> Vec<u8> {
        let spans = self.spans.iter().map(|(start, end)| Span {
            start: *start,
            length: end - start,
        });
        let stored = leaseraftpb::Session {
            spans: spans.collect(),
            last_index: self.last_index,
        };
        stored.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Request;

    fn entry(session: u64, number: u64, settled: u64, applied: u64) -> Entry {
        Entry {
            session,
            number,
            settled,
            applied,
            request: Request::Host(Vec::new()),
        }
    }

    fn admits(sessions: &mut Sessions, index: u64, entry: &Entry) -> bool {
        match sessions.admit(index, entry, &mut WriteBatch::default()) {
            Admission::New(admitted) => {
                sessions.note(admitted);
                true
            }
            Admission::Known | Admission::TooOld => false,
        }
    }

    #[test]
    fn a_proposal_is_applied_once() {
        let sessions = &mut Sessions::default();
        assert!(admits(sessions, 1, &entry(7, 1, 0, 0)));
        assert!(!admits(sessions, 2, &entry(7, 1, 0, 0)));
        assert!(admits(sessions, 3, &entry(8, 1, 0, 0)), "of another life");
        assert!(admits(sessions, 4, &entry(7, 5, 2, 0)));
        assert!(
            !admits(sessions, 5, &entry(7, 2, 0, 0)),
            "nobody waits for it"
        );
        assert!(
            admits(sessions, 6, &entry(7, 4, 2, 0)),
            "one overtakes another"
        );
        assert!(admits(sessions, 7, &entry(7, 3, 2, 0)));
        let spans: Vec<_> = sessions.of[&7].spans.clone().into_iter().collect();
        assert_eq!(spans, [(0, 6)]);
        assert_eq!(sessions.by_age.len(), 2);
    }

    #[test]
    fn what_was_admitted_and_not_applied_may_come_again() {
        let sessions = Sessions::default();
        for _ in 0..2 {
            let admission = sessions.admit(1, &entry(7, 1, 0, 0), &mut WriteBatch::default());
            assert!(matches!(admission, Admission::New(_)));
        }
    }

    #[test]
    fn a_session_comes_back_from_its_row_and_is_forgotten_in_the_end() {
        let mut sessions = Sessions::default();
        assert!(admits(&mut sessions, 1, &entry(7, 3, 0, 0)));
        let mut loaded = Sessions::default();
        let stored = sessions.of[&7].encode();
        loaded.load(&7_u64.to_be_bytes(), &stored).expect("sound");
        assert_eq!(loaded.of, sessions.of);
        assert!(!admits(&mut loaded, 2, &entry(7, 3, 0, 0)));
        let late = REMEMBERED + 2;
        assert!(admits(&mut loaded, late, &entry(8, 1, 0, late - 1)));
        assert_eq!(loaded.of.len(), 1, "the old one is forgotten");
        let old = entry(7, 3, 0, 0);
        assert!(!admits(&mut loaded, late + 1, &old), "too old to be new");
    }

    #[test]
    fn strange_rows_are_said() {
        let mut sessions = Sessions::default();
        assert!(sessions.load(b"short", &[]).is_err());
        assert!(sessions.load(&[0; 8], &[0xff]).is_err());
    }
}
