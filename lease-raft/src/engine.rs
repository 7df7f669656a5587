use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Names a member of the cluster; 0 is none.
pub type MemberId = u64;

/// Who leads, as far as a member knows.
///
/// ```
/// use lease_raft::Leadership;
///
/// let known = Leadership { term: 3, leader: Some(1) };
/// assert!(known.is_led_by(1));
/// assert!(!Leadership { leader: None, ..known }.is_led_by(1));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Leadership {
    /// The newest term that the member has heard of. It never falls.
    pub term: u64,
    /// Who leads in it. A leader that hears of no quorum for an election time-out says `None` of
    /// itself.
    pub leader: Option<MemberId>,
}

impl Leadership {
    /// Whether this member leads.
    #[must_use]
    pub fn is_led_by(&self, member: MemberId) -> bool {
        self.leader == Some(member)
    }
}

/// Why an engine has not carried an entry through the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The member does not lead: the entry is in no log, and never will be.
    #[error("the member does not lead")]
    NotLeader,
    /// The entry may be in the log, or come there.
    #[error("it is not known whether the entry is in the log")]
    Unknown,
}

/// The member does not lead, or a quorum did not say so in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("the member does not lead, as far as a quorum knows")]
pub struct Unconfirmed;

/// What a [`Replica`](crate::Replica) needs of a consensus engine. openraft is one, the simulation's
/// hostile log another.
///
/// Beside this the engine calls [`Replica::apply`](crate::Replica::apply) for each committed entry, in
/// the order of the log, and takes and installs snapshots.
///
/// Futures are polled by the host's executor. To drop one gives up waiting, and takes nothing back.
pub trait Engine: Send + Sync + 'static {
    /// Who leads, now and after each change. Changes may be left out, but not the last one.
    fn leadership(&self) -> BoxStream<'static, Leadership>;

    /// Brings an entry into the log, if this member leads. It ends when the entry is committed.
    ///
    /// # Errors
    ///
    /// [`ProposeError`].
    fn propose(&self, entry: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>>;

    /// Asks a quorum whether this member leads, at a moment after the call. Answers the index of the
    /// last entry that was committed at that moment, or a later one: who has applied it has seen all
    /// that was acknowledged before the call.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`].
    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>>;
}
