use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lease_core::{Lease, LeaseError, LeaseId, Lessor};
use lease_http::ClientError;
use lease_http::messages::{Call, Keys, LeaseTimes, Reply, TimeToLive};
use lease_pb::Message;
use lease_pb::leaseraftpb::{ReadIndexRequest, ReadIndexResponse};

use super::Inner;
use super::traced::{call_span, traced};
use crate::peers::MAX_BODY_LEN;
use crate::probe::planted;
use crate::{MemberId, ReplicaError, Unconfirmed};

pub(crate) const READ_INDEX_PATH: &str = "/raft/read-index";

impl Inner {
    /// How much time a lease has left, which the primary alone knows.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`].
    pub(crate) async fn time_to_live(
        self: &Arc<Self>,
        id: LeaseId,
        keys: Keys,
        timeout: Duration,
    ) -> Result<LeaseTimes, ReplicaError> {
        let question = TimeToLive { id, keys };
        let here = || async move {
            let lease = self.lookup_here(id).await?;
            as_times(&lease.ok_or(LeaseError::LeaseNotFound)?, keys)
        };
        let span = call_span!("time_to_live", self.member, Some(id));
        traced(span, self.at_primary(timeout, here, question)).await
    }

    /// `None` if the reply would be too long for a message.
    pub(super) async fn time_to_live_here(
        self: &Arc<Self>,
        id: LeaseId,
        keys: Keys,
    ) -> Result<Option<Reply>, LeaseError> {
        let lease = self.lookup_here(id).await?;
        let has_keys = keys == Keys::List;
        let is_long = has_keys && lease.as_ref().is_some_and(is_too_long);
        Ok((!is_long).then(|| Reply::time_to_live(lease.as_ref(), keys)))
    }

    /// A lease as the primary has it, if this is it.
    async fn lookup_here(self: &Arc<Self>, id: LeaseId) -> Result<Option<Lease>, LeaseError> {
        let epoch = self.lessor.primary_epoch().ok_or(LeaseError::NotPrimary)?;
        self.confirm().await.map_err(|_| LeaseError::NotPrimary)?;
        let lease = self.lessor.lookup(id);
        if self.lessor.primary_epoch() != Some(epoch) {
            return Err(LeaseError::NotPrimary);
        }
        Ok(lease)
    }

    /// Does something that only the primary does: here if this is it, or there; again and again until
    /// the deadline.
    pub(super) async fn at_primary<C, H, F>(
        self: &Arc<Self>,
        timeout: Duration,
        here: H,
        question: C,
    ) -> Result<C::Answer, ReplicaError>
    where
        C: Call,
        H: Fn() -> F,
        F: Future<Output = Result<C::Answer, LeaseError>>,
    {
        self.check_running()?;
        let pursues = Box::pin(async {
            loop {
                let pause = self.pause();
                let leader = self.state().leadership.leader;
                let answer = match leader {
                    Some(leader) if leader == self.member => match here().await {
                        Err(LeaseError::NotPrimary) => None,
                        answer => Some(answer.map_err(ReplicaError::Lease)),
                    },
                    Some(leader) => self.ask_primary(leader, &question).await,
                    None => None,
                };
                if let Some(answer) = answer {
                    return answer;
                }
                self.check_running()?;
                pause.await;
            }
        });
        let answer = self.within(timeout, pursues).await;
        // What the primary does for it may be done any number of times.
        answer.unwrap_or(Err(ReplicaError::DeadlineExceeded))
    }

    async fn ask_primary<C: Call>(
        &self,
        leader: MemberId,
        question: &C,
    ) -> Option<Result<C::Answer, ReplicaError>> {
        let (path, body) = (C::PATH, question.encode());
        let timeout = self.options.ask_timeout;
        let answer = self.peers.ask(leader, path, body, timeout).await.ok()?;
        if answer.status == TOO_LONG {
            let limit = MAX_BODY_LEN;
            return Some(Err(ReplicaError::AnswerTooLong { limit }));
        }
        match question.read(answer.status, &answer.body) {
            Ok(answer) => Some(Ok(answer)),
            Err(ClientError::NotFound) => Some(Err(LeaseError::LeaseNotFound.into())),
            // Another attempt may find the primary.
            Err(_) => None,
        }
    }

    /// The leases in the order of their ids, which is equal on all members: that of the lessor's own pages is
    /// not. `None` if the executor has not run it.
    pub(crate) async fn page(
        self: &Arc<Self>,
        after: Option<LeaseId>,
        limit: usize,
    ) -> Option<Vec<Lease>> {
        let (tell, told) = oneshot::channel();
        let inner = Arc::clone(self);
        let reads = Box::new(move || {
            let rows = inner.lessor.rows();
            let behind = rows.partition_point(|row| after.is_some_and(|last| row.id <= last));
            let leases = rows[behind..].iter();
            let leases = leases.filter_map(|row| inner.lessor.lookup(row.id));
            let page: Vec<_> = leases.take(limit).collect();
            // Whoever has gone does not need it.
            let _ = tell.send(page);
        });
        self.runtime.block(reads).await;
        told.await.ok()
    }

    /// Waits until all is applied here that was committed anywhere before the call.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`] and [`ReplicaError::Stopped`].
    pub(crate) async fn catch_up(self: &Arc<Self>, timeout: Duration) -> Result<(), ReplicaError> {
        let span = call_span!("catch_up", self.member, None::<LeaseId>);
        traced(span, self.catch_up_in(timeout)).await
    }

    async fn catch_up_in(self: &Arc<Self>, timeout: Duration) -> Result<(), ReplicaError> {
        self.check_running()?;
        if planted!("raft-follower-reads") {
            return Ok(());
        }
        let pursues = Box::pin(async {
            loop {
                let pause = self.pause();
                let leader = self.state().leadership.leader;
                let caught_up = match leader {
                    Some(leader) if leader == self.member => self.confirm().await.is_ok(),
                    Some(leader) => match self.ask_read_index(leader).await {
                        Some(index) => self.wait_applied(index).await,
                        None => false,
                    },
                    None => false,
                };
                if caught_up {
                    return Ok(());
                }
                self.check_running()?;
                pause.await;
            }
        });
        let caught_up = self.within(timeout, pursues).await;
        caught_up.unwrap_or(Err(ReplicaError::DeadlineExceeded))
    }

    async fn ask_read_index(&self, leader: MemberId) -> Option<u64> {
        let body = ReadIndexRequest {}.encode_to_vec();
        let timeout = self.options.ask_timeout;
        let answer = self.peers.ask(leader, READ_INDEX_PATH, body, timeout).await;
        let answer = answer.ok().filter(|answer| answer.status == 200)?;
        ReadIndexResponse::decode(&answer.body[..]).ok()?.index
    }

    /// Answers another member that wants to know how far it must have applied the log.
    pub(super) async fn read_index_for(self: &Arc<Self>) -> Vec<u8> {
        let confirmed: Result<(), Unconfirmed> = self.confirm().await;
        // All that the confirmation has found committed is applied here.
        let index = confirmed.ok().map(|()| self.state().applied);
        ReadIndexResponse { index }.encode_to_vec()
    }
}

/// Whether no message carries its items. A little of each is not the item itself.
fn is_too_long(lease: &Lease) -> bool {
    let lens = lease.keys().iter().map(|key| key.as_bytes().len() + 6);
    lens.sum::<usize>() > MAX_BODY_LEN
}

/// The status of an answer that no message carries.
pub(super) const TOO_LONG: u16 = 413;

/// What another member would be answered, whatever the length of that would be.
fn as_times(lease: &Lease, keys: Keys) -> Result<LeaseTimes, LeaseError> {
    let left = lease.time_to_live();
    let remaining = left.remaining().ok_or(LeaseError::NotPrimary)?;
    Ok(LeaseTimes {
        id: lease.id(),
        remaining_secs: i64::try_from(remaining.as_secs()).unwrap_or(i64::MAX),
        granted: left.ttl(),
        keys: match keys {
            Keys::Omit => Vec::new(),
            Keys::List => lease.keys().to_vec(),
        },
    })
}
