use super::effect::Effect;
#[cfg(feature = "std")]
use crate::Epoch;
use crate::{Answer, Command, LeaseId, Revoked};

/// A command whose outcome is decided, and which has not been applied: nobody sees anything of it.
///
/// From [`LessorCore::decide`](crate::LessorCore::decide). Its rows are to be written; then
/// [`LessorCore::apply`](crate::LessorCore::apply) makes it happen. If they could not be written,
/// [`LessorCore::abandon`](crate::LessorCore::abandon) forgets it.
#[derive(Debug)]
#[must_use = "a decision keeps other commands away from its leases until it is applied or abandoned"]
pub struct Decision {
    pub(super) command: Command,
    pub(super) answer: Answer,
    pub(super) effect: Effect,
    // How much of the effect has been applied, in leases or items.
    pub(super) applied: usize,
    // Which state it was decided against.
    pub(super) generation: u64,
    // Which of the decisions it is that were made against that.
    pub(super) number: u64,
    // In which epoch it was decided.
    #[cfg(feature = "std")]
    pub(super) epoch: Epoch,
    // Whether the epoch cannot be raised until it is applied.
    pub(super) holds_epoch: bool,
}

impl Decision {
    /// The answer, which holds once the decision is applied.
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LessorConfig, LessorCore, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let grant = Command::from(Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?));
    /// let mut rows = WriteBatch::default();
    /// let decision = lessor.decide(grant, &mut rows).expect("there is no other");
    /// assert!(!decision.answer().is_refusal(), "so the host adds its own rows");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    #[cfg(feature = "std")]
    pub(crate) const fn command(&self) -> &Command {
        &self.command
    }

    #[cfg(feature = "std")]
    pub(crate) fn into_parts(self) -> (Command, Answer) {
        (self.command, self.answer)
    }

    /// Whether it begins an epoch.
    #[cfg(feature = "std")]
    pub(crate) const fn begins_epoch(&self) -> bool {
        matches!(self.effect, Effect::Epoch(_))
    }

    /// The leases that it revokes: their items are the host's to delete, in the same write.
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LeaseItem, LessorConfig, LessorCore};
    /// # use lease_core::{Revocation, Table, Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
    /// # let items = vec![LeaseItem::from("a")];
    /// # lessor.execute(Timestamp::ZERO, &Command::Attach { id, items }, &mut rows);
    /// # let mut rows = WriteBatch::default();
    /// let revoke = Command::from(Revocation::by_user(id));
    /// let decision = lessor.decide(revoke, &mut rows).expect("there is no other");
    /// for id in decision.revoked() {
    ///     for item in lessor.items(*id) {
    ///         rows.delete(Table::new("kv"), item.as_bytes());
    ///     }
    /// }
    /// assert_eq!(rows.len(), 2, "the lease and its key");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn revoked(&self) -> &[LeaseId] {
        match &self.effect {
            Effect::Revoke(ids) => ids,
            _ => &[],
        }
    }

    /// Whether it changes something only because the epoch is what it is.
    pub(super) fn is_fenced(&self) -> bool {
        match (&self.command, &self.answer) {
            (Command::Revoke(revocations), Answer::Revoked(answers)) => {
                let mut both = revocations.iter().zip(answers);
                both.any(|(one, answer)| one.fence.is_some() && *answer == Ok(Revoked::Done))
            }
            (Command::Checkpoint(checkpoints), Answer::Checkpointed(meant)) => {
                let mut both = checkpoints.iter().zip(meant);
                both.any(|(one, meant)| one.fence.is_some() && *meant)
            }
            _ => false,
        }
    }

    /// The leases that it changes, of a command that neither grants one nor raises the epoch.
    pub(super) fn touched(&self) -> impl Iterator<Item = LeaseId> {
        let (ids, one, checkpoints) = match (&self.command, &self.effect) {
            (_, Effect::Revoke(ids)) => (&ids[..], None, &[][..]),
            (Command::Attach { id, .. }, Effect::Attach { owners }) => {
                (&owners[..], Some(*id), &[][..])
            }
            (Command::Detach { id, .. }, Effect::Detach) => (&[][..], Some(*id), &[][..]),
            (_, Effect::Checkpoint(checkpoints)) => (&[][..], None, &checkpoints[..]),
            _ => (&[][..], None, &[][..]),
        };
        let checkpointed = checkpoints.iter().map(|one| one.checkpoint.id);
        ids.iter().copied().chain(one).chain(checkpointed)
    }
}
