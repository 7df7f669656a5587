use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::{Grant, LessorCore};
use crate::{
    Checkpoint, Epoch, Incarnation, LeaseError, LeaseId, LeaseItem, Revocation, Revoked, WriteBatch,
};

/// A change of the replicated state: what a host's log carries.
///
/// ```
/// use lease_core::{Command, Grant, LeaseId, Revocation, Ttl};
///
/// let id = LeaseId::new(7).expect("not zero");
/// let grant = Command::from(Grant::new(id, Ttl::new(60)?));
/// let revoke = Command::Revoke(vec![Revocation::by_user(id)]);
/// assert_ne!(grant, revoke);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Command {
    /// Grant a lease.
    Grant(Grant),
    /// Revoke leases, each on its own: one that is unknown or stale does not stop the others.
    Revoke(Vec<Revocation>),
    /// Attach items to a lease; an item of another lease is moved. All or nothing.
    Attach {
        /// The lease.
        id: LeaseId,
        /// The items. One that comes twice counts once.
        items: Vec<LeaseItem>,
    },
    /// Detach items from a lease; items of another lease, or of none, stay as they are.
    Detach {
        /// The lease.
        id: LeaseId,
        /// The items.
        items: Vec<LeaseItem>,
    },
    /// Apply checkpoints, each on its own.
    Checkpoint(Vec<Checkpoint>),
    /// Begin an epoch: from then on every expiry-revoke and checkpoint of an older one is void. A
    /// host with a log logs this as the first entry of a term. The epoch never falls.
    BeginEpoch(Epoch),
}

/// What a [`Command`] came to: equal on every member that has applied the same commands before.
///
/// ```
/// # use lease_core::{Answer, Grant, LeaseError, LeaseId, LessorConfig, LessorCore};
/// # use lease_core::{Timestamp, Ttl, WriteBatch};
/// # let mut lessor = LessorCore::new(LessorConfig::default());
/// # let mut rows = WriteBatch::default();
/// let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?).into();
/// let first = lessor.execute(Timestamp::ZERO, &grant, &mut rows);
/// assert!(matches!(first, Answer::Granted(Ok(_))));
/// let again = lessor.execute(Timestamp::ZERO, &grant, &mut rows);
/// assert_eq!(again, Answer::Granted(Err(LeaseError::LeaseExists)));
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Answer {
    /// The grant: [`LeaseError::LeaseExists`], [`LeaseError::TooManyLeases`] or
    /// [`LeaseError::IncarnationOutOfRange`] refuse it.
    Granted(Result<Incarnation, LeaseError>),
    /// One for each revocation, in their order; [`LeaseError::LeaseNotFound`] refuses one.
    Revoked(Vec<Result<Revoked, LeaseError>>),
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::TooManyItems`] or [`LeaseError::ItemTooLong`]
    /// refuse it.
    Attached(Result<(), LeaseError>),
    /// [`LeaseError::LeaseNotFound`] refuses it.
    Detached(Result<(), LeaseError>),
    /// For each checkpoint whether it meant anything.
    Checkpointed(Vec<bool>),
    /// The epoch after the command; [`LeaseError::EpochOutOfRange`] refuses one above
    /// [`Epoch::MAX`].
    Epoch(Result<Epoch, LeaseError>),
}

impl Answer {
    /// Whether the command as a whole was refused, so that it has changed nothing. A revoke of several
    /// leases is refused when none of them was revoked for want of any lease.
    ///
    /// ```
    /// # use lease_core::{Answer, LeaseError, Revoked};
    /// let unknown = Err(LeaseError::LeaseNotFound);
    /// assert!(Answer::Revoked(vec![unknown.clone()]).is_refusal());
    /// assert!(!Answer::Revoked(vec![unknown, Ok(Revoked::Done)]).is_refusal());
    /// ```
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Granted(result) => result.is_err(),
            Self::Attached(result) | Self::Detached(result) => result.is_err(),
            Self::Epoch(result) => result.is_err(),
            Self::Revoked(results) => !results.is_empty() && results.iter().all(Result::is_err),
            Self::Checkpointed(_) => false,
        }
    }
}

impl LessorCore {
    /// Executes a command in one go, for a host that needs no [`decide`](Self::decide) and
    /// [`apply`](Self::apply) apart, and puts the changed rows into `rows`.
    ///
    /// The time and the role do not matter for the answer and the rows. The cost is that of the
    /// command: O(1) for a grant, O(1) for each lease, item and checkpoint.
    ///
    /// # Panics
    ///
    /// If a command that is decided and not applied yet stands in the way: a host that decides
    /// applies or abandons before it executes.
    ///
    /// ```
    /// use lease_core::{Answer, Command, Grant, LeaseId, LessorConfig, LessorCore};
    /// use lease_core::{Timestamp, Ttl, WriteBatch};
    ///
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// let mut rows = WriteBatch::default();
    /// let id = LeaseId::new(7).expect("not zero");
    /// let grant = Command::from(Grant::new(id, Ttl::new(60)?));
    /// let answer = lessor.execute(Timestamp::ZERO, &grant, &mut rows);
    /// assert!(matches!(answer, Answer::Granted(Ok(_))));
    /// assert_eq!(rows.len(), 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn execute(&mut self, now: Timestamp, command: &Command, rows: &mut WriteBatch) -> Answer {
        let decided = self.decide(command.clone(), rows);
        let decision = decided.expect("no decided command stands in the way");
        self.apply(now, decision)
    }
}

impl From<Grant> for Command {
    fn from(grant: Grant) -> Self {
        Self::Grant(grant)
    }
}

impl From<Revocation> for Command {
    fn from(revocation: Revocation) -> Self {
        Self::Revoke(Vec::from([revocation]))
    }
}

impl From<Checkpoint> for Command {
    fn from(checkpoint: Checkpoint) -> Self {
        Self::Checkpoint(Vec::from([checkpoint]))
    }
}
