use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::LessorCore;
use super::decision::Decision;
use super::effect::Effect;
use crate::probe::planted;
use crate::{Command, LeaseId, LeaseItem};

/// What keeps a command from being decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Obstacle {
    /// A decided command has a claim on this lease.
    Lease(LeaseId),
    /// A decided attach has a claim on this item, which belongs to no lease.
    Item(LeaseItem),
    /// The epoch is about to be raised.
    Epoch,
    /// Decided commands hold the epoch where it is.
    EpochHeld,
    /// Decided grants have the last room for leases.
    Room,
}

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
    // The numbers of the decisions.
    pub(super) decisions: BTreeSet<u64>,
    pub(super) decided: u64,
}

impl LessorCore {
    /// Whether a command that is decided and not applied yet stands in the way of any other one.
    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Whether a command that is decided and not applied yet touches this lease.
    #[cfg(feature = "std")]
    pub(crate) fn is_claimed(&self, id: LeaseId) -> bool {
        self.claims.leases.contains(&id)
    }

    /// Whether the epoch is about to be raised: until then nothing is decided.
    #[cfg(feature = "std")]
    pub(crate) const fn is_epoch_claimed(&self) -> bool {
        self.claims.epoch
    }

    /// Whether what kept a command from being decided still does.
    #[cfg(feature = "std")]
    pub(crate) fn is_in_the_way(&self, obstacle: &Obstacle) -> bool {
        match obstacle {
            Obstacle::Lease(id) => self.claims.leases.contains(id),
            Obstacle::Item(item) => self.claims.items.contains(item),
            Obstacle::Epoch => self.claims.epoch,
            Obstacle::EpochHeld => self.claims.epoch_holders > 0,
            Obstacle::Room => self.claims_the_rest(),
        }
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

    pub(super) fn hold_epoch(&mut self, decision: &mut Decision) {
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

    /// What is claimed that a command touches, if anything is.
    pub(super) fn obstacle(&self, command: &Command) -> Option<Obstacle> {
        if !self.has_claims() {
            return None;
        }
        match command {
            _ if self.claims.epoch => return Some(Obstacle::Epoch),
            Command::Grant(_) if self.claims_the_rest() => return Some(Obstacle::Room),
            Command::BeginEpoch(_) if self.claims.epoch_holders > 0 => {
                return Some(Obstacle::EpochHeld);
            }
            _ => {}
        }
        let mut touched = self.touched_by(command).into_iter();
        match touched.find(|id| self.claims.leases.contains(id)) {
            Some(id) => Some(Obstacle::Lease(id)),
            None => self.claims.item_of(command).cloned().map(Obstacle::Item),
        }
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

    pub(super) fn claim(&mut self, decision: &Decision) {
        let claims = &mut self.claims;
        claims.decisions.insert(decision.number);
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

    pub(super) fn unclaim(&mut self, decision: &Decision) {
        if decision.generation != self.generation {
            return;
        }
        let claims = &mut self.claims;
        let is_own = claims.decisions.remove(&decision.number);
        assert!(is_own, "a decision goes back to the lessor that made it");
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
            && !(decision.applied == 0 && planted!("alone-abandoned-items-stay-claimed"))
        {
            for item in items {
                claims.items.remove(item);
            }
        }
        if claims.is_empty() || planted!("alone-numbers-come-again") {
            claims.counted = 0;
        }
    }
}

impl Claims {
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty() && !self.epoch
    }

    fn item_of<'c>(&self, command: &'c Command) -> Option<&'c LeaseItem> {
        match command {
            Command::Attach { items, .. } if !self.items.is_empty() => {
                items.iter().find(|item| self.items.contains(*item))
            }
            _ => None,
        }
    }
}
