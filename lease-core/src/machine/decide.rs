use lease_queue::Timestamp;

use super::LessorCore;
use super::claims::Obstacle;
use super::decision::Decision;
use super::effect::Effect;
use super::ticket::TicketOutcome;
use crate::probe::{planted, sized};
use crate::{Answer, Command, Revoked, WriteBatch};

/// A command that was not decided, because one that is decided and not applied yet has a claim on a
/// lease that it touches. The host asks again when that one is applied or abandoned.
///
/// ```
/// # use lease_core::{Busy, Command, LeaseId, LeaseItem, LessorConfig, LessorCore};
/// # use lease_core::{Grant, Revocation, Timestamp, Ttl, WriteBatch};
/// # let mut lessor = LessorCore::new(LessorConfig::default());
/// # let mut rows = WriteBatch::default();
/// # let id = LeaseId::try_from(7)?;
/// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
/// let items = vec![LeaseItem::from("a")];
/// let first = lessor.decide(Command::Attach { id, items }, &mut rows).expect("the only one");
/// let revoke = Command::from(Revocation::by_user(id));
/// let Err(Busy(revoke)) = lessor.decide(revoke, &mut rows) else { panic!("they meet") };
/// lessor.apply(Timestamp::ZERO, first);
/// assert!(lessor.decide(revoke, &mut rows).is_ok());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Debug)]
pub struct Busy(pub Command);

/// How many items or checkpoints one part of a decision changes: some 100 µs.
const PER_PART: usize = if cfg!(shuttle) { 3 } else { 256 };

impl LessorCore {
    /// Decides a command against the state as it is, and puts the rows to be written into `rows`.
    /// Nothing changes yet.
    ///
    /// A host writes the rows of one decision or of several, with writes of its own if it likes,
    /// and then [applies](Self::apply) the decisions in the order in which they were made, or
    /// [abandons](Self::abandon) them. Until then each has a claim on the leases that it touches.
    /// The cost is that of a look at each lease, item and checkpoint of the command.
    ///
    /// # Errors
    ///
    /// [`Busy`], with the command, if another decision has a claim on a lease that the command
    /// touches, or raises the epoch; if the command begins an epoch, also if one is decided that only
    /// holds in the present one. Then nothing was put into `rows`.
    ///
    /// ```
    /// use lease_core::{Command, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch};
    ///
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// let mut rows = WriteBatch::default();
    /// let id = LeaseId::new(7).expect("not zero");
    /// let grant = Command::from(Grant::new(id, Ttl::new(60)?));
    /// let decision = lessor.decide(grant, &mut rows).expect("nothing stands in the way");
    /// assert!(lessor.lookup(Timestamp::ZERO, id).is_none());
    /// // Here the host writes `rows`.
    /// lessor.apply(Timestamp::ZERO, decision);
    /// assert!(lessor.lookup(Timestamp::ZERO, id).is_some());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn decide(&mut self, command: Command, rows: &mut WriteBatch) -> Result<Decision, Busy> {
        let decided = self.decide_ahead(command, rows);
        let mut decision = decided.map_err(|(command, _)| Busy(command))?;
        self.hold_epoch(&mut decision);
        Ok(decision)
    }

    /// As [`decide`](Self::decide), but an epoch may come before the decision [enters](Self::enter)
    /// the transaction, and makes it void: whoever has to do more before the rows are written would
    /// hold it up.
    pub(crate) fn decide_ahead(
        &mut self,
        command: Command,
        rows: &mut WriteBatch,
    ) -> Result<Decision, (Command, Obstacle)> {
        if let Some(obstacle) = self.obstacle(&command) {
            return Err((command, obstacle));
        }
        let (answer, effect) = match &command {
            Command::Grant(grant) => self.decide_grant(grant, rows),
            Command::Revoke(revocations) => self.decide_revoke(revocations, rows),
            Command::Attach { id, items } => self.decide_attach(*id, items),
            Command::Detach { id, .. } => self.decide_detach(*id),
            Command::Checkpoint(checkpoints) => self.decide_checkpoints(checkpoints, rows),
            Command::BeginEpoch(epoch) => self.decide_epoch(*epoch, rows),
        };
        self.claims.decided += 1;
        let decision = Decision {
            command,
            answer,
            effect,
            applied: 0,
            generation: self.generation,
            number: self.claims.decided,
            #[cfg(feature = "std")]
            epoch: self.epoch(),
            holds_epoch: false,
        };
        self.claim(&decision);
        Ok(decision)
    }

    /// The rows of a decision are written: it happens. On the primary, a lease that it grants counts
    /// from `now`. Returns the answer.
    ///
    /// Does nothing to a state that a recovery has put in the place of the one that it was decided
    /// against.
    ///
    /// # Panics
    ///
    /// If the decision was made by another lessor.
    ///
    /// ```
    /// # use lease_core::{Answer, Command, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let grant = Command::from(Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?));
    /// let decision = lessor.decide(grant, &mut rows).expect("there is no other");
    /// // Here the host writes `rows`.
    /// let answer = lessor.apply(Timestamp::from_secs(1), decision);
    /// assert!(matches!(answer, Answer::Granted(Ok(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn apply(&mut self, now: Timestamp, mut decision: Decision) -> Answer {
        while self.apply_some(now, &mut decision) {}
        decision.answer
    }

    /// The rows of a decision could not be written: it has had no effect. Returns the command.
    ///
    /// # Panics
    ///
    /// If the decision was made by another lessor.
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LessorConfig, LessorCore, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let grant = Command::from(Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?));
    /// let decision = lessor.decide(grant.clone(), &mut rows).expect("there is no other");
    /// // The host's disk is full.
    /// assert_eq!(lessor.abandon(decision), grant, "to be tried again");
    /// assert!(lessor.is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn abandon(&mut self, decision: Decision) -> Command {
        self.unclaim(&decision);
        if planted!("failed-commit-ends-waits") {
            for id in decision.revoked() {
                self.tickets.resolve(*id, TicketOutcome::Revoked);
            }
        }
        decision.command
    }

    /// Applies a bounded part of a decision, so that nobody has to wait for all of a large one.
    /// Returns whether there is more.
    ///
    /// The parts are seen as they come; a lease goes as a whole, with all of its items.
    pub(crate) fn apply_some(&mut self, now: Timestamp, decision: &mut Decision) -> bool {
        let planted = planted!("alone-void-decisions-apply");
        if decision.generation != self.generation && !planted {
            return false;
        }
        let is_own = self.claims.decisions.contains(&decision.number) || planted;
        assert!(is_own, "a decision is applied by the lessor that made it");
        let has_more = self.apply_part(now, decision);
        if !has_more {
            self.count_void(&decision.answer);
            self.unclaim(decision);
        }
        has_more
    }

    fn apply_part(&mut self, now: Timestamp, decision: &mut Decision) -> bool {
        let from = decision.applied;
        let mut next = |len: usize| {
            decision.applied = len.min(from + sized!(PER_PART));
            (from..decision.applied, decision.applied < len)
        };
        match (&decision.command, &mut decision.effect) {
            (
                Command::Grant(grant),
                Effect::Grant {
                    incarnation,
                    counted,
                },
            ) => {
                self.apply_grant(now, grant, *incarnation, *counted);
                false
            }
            (_, Effect::Revoke(_)) if self.table.is_sweeping() => {
                self.table.sweep();
                true
            }
            (_, Effect::Revoke(ids)) => {
                decision.applied += self.apply_some_revokes(now, &ids[from..]);
                decision.applied < ids.len() || self.table.is_sweeping()
            }
            (Command::Attach { id, items }, Effect::Attach { .. }) => {
                let (part, has_more) = next(items.len());
                self.apply_attach(*id, &items[part]);
                has_more
            }
            (Command::Detach { id, items }, Effect::Detach) => {
                let (part, has_more) = next(items.len());
                self.apply_detach(*id, &items[part]);
                has_more
            }
            (_, Effect::Checkpoint(checkpoints)) => {
                let (part, has_more) = next(checkpoints.len());
                self.apply_checkpoints(now, &checkpoints[part]);
                has_more
            }
            (_, Effect::Epoch(epoch)) => {
                self.table.begin_epoch(*epoch);
                false
            }
            _ => false,
        }
    }

    /// Counts what came too late to mean anything.
    fn count_void(&mut self, answer: &Answer) {
        match answer {
            Answer::Revoked(answers) => {
                let stale = answers.iter().filter(|one| **one == Ok(Revoked::Stale));
                self.stats.stale_revokes += stale.count() as u64;
            }
            Answer::Checkpointed(answers) => {
                let void = answers.iter().filter(|meant| !**meant);
                self.stats.stale_checkpoints += void.count() as u64;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grant, LeaseId, LessorConfig, Ttl};

    fn lessor_and_decision() -> (LessorCore, Decision) {
        let mut lessor = LessorCore::new(LessorConfig::default());
        let id = LeaseId::new(1).expect("not zero");
        let decided = lessor.decide(Grant::new(id, Ttl::MIN).into(), &mut WriteBatch::default());
        (lessor, decided.expect("nothing stands in the way"))
    }

    #[test]
    #[should_panic(expected = "applied by the lessor that made it")]
    fn another_lessor_does_not_apply_a_decision() {
        let (mut other, own) = lessor_and_decision();
        other.apply(Timestamp::ZERO, own);
        let (_, foreign) = lessor_and_decision();
        other.apply(Timestamp::ZERO, foreign);
    }

    #[test]
    #[should_panic(expected = "goes back to the lessor that made it")]
    fn another_lessor_does_not_abandon_a_decision() {
        let (_, foreign) = lessor_and_decision();
        LessorCore::new(LessorConfig::default()).abandon(foreign);
    }
}
