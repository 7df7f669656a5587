use crate::{Epoch, Incarnation, LeaseError, Renewal, Revoked};

/// Something that was done, and when: in steps of the history, and in seconds of the clock.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) began: usize,
    pub(super) ended: usize,
    pub(super) began_at: u64,
    pub(super) ended_at: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Grant(i64, i64, Result<Incarnation, LeaseError>),
    Revoke(i64, Result<(), LeaseError>),
    RevokeExpired(i64, Incarnation, Result<Revoked, LeaseError>),
    Attach(i64, Vec<usize>, Result<(), LeaseError>),
    Detach(i64, Vec<usize>, Result<(), LeaseError>),
    Renew(i64, Result<Renewal, LeaseError>),
    Lookup(i64, Option<(u64, Vec<usize>)>),
    Owner(usize, i64),
    Expire(i64, Incarnation),
    Promote(Result<Epoch, LeaseError>),
    Demote,
    /// To what is in the store.
    Recover(Result<(), LeaseError>),
    /// To an empty store.
    Replace(Result<(), LeaseError>),
}

impl What {
    /// Why it was refused or has failed.
    pub(super) fn error(&self) -> Option<&LeaseError> {
        match self {
            Self::Grant(_, _, answer) => answer.as_ref().err(),
            Self::RevokeExpired(_, _, answer) => answer.as_ref().err(),
            Self::Renew(_, answer) => answer.as_ref().err(),
            Self::Promote(answer) => answer.as_ref().err(),
            Self::Revoke(_, answer)
            | Self::Attach(_, _, answer)
            | Self::Detach(_, _, answer)
            | Self::Recover(answer)
            | Self::Replace(answer) => answer.as_ref().err(),
            Self::Lookup(..) | Self::Owner(..) | Self::Expire(..) | Self::Demote => None,
        }
    }
}
