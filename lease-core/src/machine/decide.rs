use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::effect::Effect;
#[cfg(feature = "std")]
use crate::Epoch;
use crate::probe::planted;
use crate::{Answer, Command, LeaseId, LeaseItem, Revoked, WriteBatch};

/// A command whose outcome is decided, and which has not been applied: nobody sees anything of it.
///
/// From [`LessorCore::decide`]. Its rows are to be written; then [`LessorCore::apply`] makes it
/// happen. If they could not be written, [`LessorCore::abandon`] forgets it.
#[derive(Debug)]
#[must_use = "a decision keeps other commands away from its leases until it is applied or abandoned"]
pub struct Decision {
    command: Command,
    answer: Answer,
    effect: Effect,
    // How much of the effect has been applied, in leases or items.
    applied: usize,
    // Which state it was decided against.
    generation: u64,
    // In which epoch it was decided.
    #[cfg(feature = "std")]
    epoch: Epoch,
    // Whether the epoch cannot be raised until it is applied.
    holds_epoch: bool,
}

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

/// What the commands that are decided and not applied yet have a claim on.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    leases: BTreeSet<LeaseId>,
    // Those of the items to be attached that belong to no lease: nothing else keeps two attaches of
    // one from being applied in another order than their rows are written.
    items: BTreeSet<LeaseItem>,
    // How many of the leases are to be granted.
    grants: usize,
    // The highest number that was counted for an incarnation.
    pub(super) counted: u64,
    // Whether the epoch is to be raised.
    epoch: bool,
    // How many hold the epoch where it is.
    epoch_holders: usize,
}

/// How many leases, items or checkpoints one part of a decision changes: some 100 µs.
const PER_PART: usize = 256;

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
}

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
        let mut decision = self.decide_ahead(command, rows)?;
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
    ) -> Result<Decision, Busy> {
        if self.is_busy(&command) {
            return Err(Busy(command));
        }
        let (answer, effect) = match &command {
            Command::Grant(grant) => self.decide_grant(grant, rows),
            Command::Revoke(revocations) => self.decide_revoke(revocations, rows),
            Command::Attach { id, items } => self.decide_attach(*id, items),
            Command::Detach { id, .. } => self.decide_detach(*id),
            Command::Checkpoint(checkpoints) => self.decide_checkpoints(checkpoints, rows),
            Command::BeginEpoch(epoch) => self.decide_epoch(*epoch, rows),
        };
        let decision = Decision {
            command,
            answer,
            effect,
            applied: 0,
            generation: self.generation,
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
        decision.command
    }

    /// Applies a bounded part of a decision, so that nobody has to wait for all of a large one.
    /// Returns whether there is more.
    ///
    /// The parts are seen as they come; a lease goes as a whole, with all of its items.
    pub(crate) fn apply_some(&mut self, now: Timestamp, decision: &mut Decision) -> bool {
        if decision.generation != self.generation {
            return false;
        }
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
            decision.applied = len.min(from + PER_PART);
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
                let (part, has_more) = next(ids.len());
                self.apply_revoke(now, &ids[part]);
                has_more || self.table.is_sweeping()
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

    /// Whether a command that is decided and not applied yet stands in the way of any other one.
    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Whether a command that is decided and not applied yet touches this lease.
    #[cfg(feature = "std")]
    pub(crate) fn is_claimed(&self, id: LeaseId) -> bool {
        self.claims.leases.contains(&id)
    }

    /// Notes that the rows of a decision are going to be written, in any order with those of others.
    /// Returns whether they may be: not if a recovery has made the decision void, or if it has a
    /// fence and the epoch is raised. From here on the epoch stays until a decision with a fence is
    /// applied: whoever is promoted would renew what it is about to take away.
    #[cfg(feature = "std")]
    pub(crate) fn enter(&mut self, decision: &mut Decision) -> bool {
        if decision.generation != self.generation {
            return false;
        }
        if decision.is_fenced() && (self.claims.epoch || decision.epoch != self.epoch()) {
            return false;
        }
        self.hold_epoch(decision);
        true
    }

    fn hold_epoch(&mut self, decision: &mut Decision) {
        if decision.is_fenced() {
            decision.holds_epoch = true;
            self.claims.epoch_holders += 1;
        }
    }

    /// The leases that a command would have a claim on.
    pub(crate) fn touched_by(&self, command: &Command) -> Vec<LeaseId> {
        match command {
            Command::Grant(grant) => Vec::from([grant.id]),
            Command::Revoke(revocations) => revocations.iter().map(|one| one.id).collect(),
            Command::Attach { id, items } => self.owners(*id, items).chain([*id]).collect(),
            Command::Detach { id, .. } => Vec::from([*id]),
            Command::Checkpoint(checkpoints) => checkpoints.iter().map(|one| one.id).collect(),
            Command::BeginEpoch(_) => Vec::new(),
        }
    }

    /// Whether a command touches what is claimed.
    fn is_busy(&self, command: &Command) -> bool {
        if !self.has_claims() {
            return false;
        }
        let is_full = matches!(command, Command::Grant(_)) && self.claims_the_rest();
        let touched = self.touched_by(command);
        let is_held = matches!(command, Command::BeginEpoch(_)) && self.claims.epoch_holders > 0;
        is_full
            || is_held
            || self.claims.epoch
            || touched.iter().any(|id| self.claims.leases.contains(id))
            || self.claims.has_item_of(command)
    }

    /// The leases, but for `id`, from which an attach takes items.
    pub(super) fn owners(&self, id: LeaseId, items: &[LeaseItem]) -> impl Iterator<Item = LeaseId> {
        // An item of a lease that is gone and not swept yet counts as still held by it.
        let holder = |item: &LeaseItem| self.table.attachments.holder_of(item.as_bytes());
        let owners = items.iter().filter_map(holder);
        owners.filter(move |owner| *owner != id)
    }

    /// Whether one lease more would be refused only because of grants that may come to nothing.
    fn claims_the_rest(&self) -> bool {
        let len = self.table.records.len();
        let is_full = |limit| len < limit && len + self.claims.grants >= limit;
        self.config.max_leases.is_some_and(is_full)
    }

    fn claim(&mut self, decision: &Decision) {
        let claims = &mut self.claims;
        match (&decision.command, &decision.effect) {
            (Command::Grant(grant), Effect::Grant { counted, .. }) => {
                claims.leases.insert(grant.id);
                claims.grants += 1;
                claims.counted = claims.counted.max(counted.unwrap_or(0));
            }
            (_, Effect::Epoch(_)) => claims.epoch = true,
            _ if planted!("claim-forgotten") => {}
            _ => claims.leases.extend(decision.touched()),
        }
        if let (Command::Attach { items, .. }, Effect::Attach { .. }) =
            (&decision.command, &decision.effect)
        {
            let attachments = &self.table.attachments;
            let is_free = |item: &&LeaseItem| attachments.lease_of(item.as_bytes()).is_none();
            claims.items.extend(items.iter().filter(is_free).cloned());
        }
    }

    fn unclaim(&mut self, decision: &Decision) {
        if decision.generation != self.generation {
            return;
        }
        let claims = &mut self.claims;
        match (&decision.command, &decision.effect) {
            (Command::Grant(grant), Effect::Grant { .. }) => {
                claims.leases.remove(&grant.id);
                claims.grants -= 1;
            }
            (_, Effect::Epoch(_)) => claims.epoch = false,
            _ => {
                for id in decision.touched() {
                    claims.leases.remove(&id);
                }
            }
        }
        claims.epoch_holders -= usize::from(decision.holds_epoch);
        if let Command::Attach { items, .. } = &decision.command
            && matches!(decision.effect, Effect::Attach { .. })
        {
            for item in items {
                claims.items.remove(item);
            }
        }
        if claims.is_empty() {
            claims.counted = 0;
        }
    }
}

impl Decision {
    /// Whether it changes something only because the epoch is what it is.
    fn is_fenced(&self) -> bool {
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
    fn touched(&self) -> impl Iterator<Item = LeaseId> {
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

impl Claims {
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty() && !self.epoch
    }

    fn has_item_of(&self, command: &Command) -> bool {
        match command {
            Command::Attach { items, .. } if !self.items.is_empty() => {
                items.iter().any(|item| self.items.contains(item))
            }
            _ => false,
        }
    }
}
