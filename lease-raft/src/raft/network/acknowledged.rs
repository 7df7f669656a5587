use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use openraft::raft::AppendEntriesResponse;

use super::messages::Appended;
use crate::raft::config::{LogId, Vote};

/// Up to where each member has acknowledged the log to this leader. One that goes back behind it has lost its
/// disk, and openraft takes it that none does.
#[derive(Default)]
pub(crate) struct Acknowledged(Mutex<BTreeMap<u64, (Vote, LogId)>>);

impl Acknowledged {
    /// Notes what a member has answered to entries after `previous`, up to `last`.
    ///
    /// # Errors
    ///
    /// The entry that it has acknowledged to this leader, and does not have any more.
    pub(super) fn note(
        &self,
        member: u64,
        vote: &Vote,
        (previous, last): (Option<LogId>, Option<LogId>),
        answer: &Appended,
    ) -> Result<(), LogId> {
        match answer {
            AppendEntriesResponse::Success => self.reach(member, vote, last),
            AppendEntriesResponse::PartialSuccess(reached) => self.reach(member, vote, *reached),
            AppendEntriesResponse::Conflict => {
                let forgotten = self.of(member, vote).filter(|id| previous <= Some(*id));
                return forgotten.map_or(Ok(()), Err);
            }
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(())
    }

    /// Notes that a member has all up to an entry.
    pub(super) fn reach(&self, member: u64, vote: &Vote, reached: Option<LogId>) {
        let before = self.of(member, vote);
        if let Some(reached) = reached.max(before) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(member, (*vote, reached));
        }
    }

    // What it has acknowledged to another leader may be cut off the log since.
    fn of(&self, member: u64, vote: &Vote) -> Option<LogId> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, reached) = all.get(&member)?;
        (to == vote).then_some(*reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_back_behind_what_it_has_acknowledged_is_told() {
        let id = |index| Some(LogId::new_term_index(1, index));
        let (vote, later) = (Vote::new_committed(1, 1), Vote::new_committed(2, 1));
        let all = Acknowledged::default();
        let note = |vote, range, answer| all.note(2, vote, range, &answer);
        assert_eq!(note(&vote, (id(9), id(9)), Appended::Conflict), Ok(()));
        assert_eq!(note(&vote, (id(2), id(4)), Appended::Success), Ok(()));
        let part = Appended::PartialSuccess(id(6));
        assert_eq!(note(&vote, (id(4), id(8)), part), Ok(()));
        assert_eq!(note(&vote, (id(1), id(1)), Appended::Success), Ok(()));
        assert_eq!(note(&vote, (id(7), id(8)), Appended::Conflict), Ok(()));
        let back = note(&vote, (id(6), id(8)), Appended::Conflict);
        assert_eq!(back.map_err(Some), Err(id(6)));
        assert_eq!(note(&later, (id(6), id(8)), Appended::Conflict), Ok(()));
        let other = all.note(3, &vote, (id(6), id(8)), &Appended::Conflict);
        assert_eq!(other, Ok(()));
        all.reach(2, &later, id(20));
        assert!(note(&later, (id(20), id(20)), Appended::Conflict).is_err());
    }
}
