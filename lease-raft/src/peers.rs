use std::time::Duration;

use futures::future::BoxFuture;

use crate::MemberId;

/// What another member has answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PeerAnswer {
    /// The status, as in HTTP. 421 says that who was reached is of another cluster, or another member.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Another member was not reached, or has not answered in time. It may have done what it was asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("member {member} has not answered: {reason}")]
pub struct PeerError {
    /// The member.
    pub member: MemberId,
    /// Why.
    pub reason: String,
}

/// How long the body of a message may be, about.
pub(crate) const MAX_BODY_LEN: usize = 32 << 20;

/// How a member asks another one: with the messages of [`lease_http`], and few of its own. What comes
/// there is for [`Replica::answer`](crate::Replica::answer).
///
/// It is to be as over a connection: a question comes there at most once, since of a second copy other things may
/// come than of the first one; and its answer is for whoever has asked it, or for nobody. One that comes late is
/// dropped, for little in it says which question it is of.
///
/// What a body carries has 32 MiB at most; some bytes are around it.
pub trait Peers: Send + Sync + 'static {
    /// Asks a member, and waits for its answer at most until `timeout` has passed. That is a minute where the
    /// other one may have much to do, as with the end of a snapshot: that nobody is there any more has to be
    /// noticed sooner.
    ///
    /// # Errors
    ///
    /// [`PeerError`].
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>>;
}
