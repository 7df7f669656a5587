use std::future::Future;
use std::sync::Arc;

use lease_core::LeaseError;
use lease_http::Timeouts;
use lease_http::messages::{
    Kind, LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, Reply, Request, check_lease,
};

use super::proposals::PROPOSE_PATH;
use super::read::{READ_INDEX_PATH, TOO_LONG};
use super::{Inner, Replica};
use crate::PeerAnswer;

impl Replica {
    /// Answers what another member has [asked](crate::Peers::ask). A path that is not known is answered
    /// with 404, a body that says nothing with 400.
    pub async fn answer(&self, path: &str, body: &[u8]) -> PeerAnswer {
        let inner = &self.inner;
        match path {
            PROPOSE_PATH => match inner.propose_for(body).await {
                Ok(body) => PeerAnswer { status: 200, body },
                Err(text) => PeerAnswer {
                    status: 400,
                    body: text.into_bytes(),
                },
            },
            READ_INDEX_PATH => PeerAnswer {
                status: 200,
                body: inner.read_index_for().await,
            },
            LEASE_PREFIX | LEASE_INTERNAL_PREFIX | LEASE_BATCH_PREFIX => {
                let reply = match Request::decode(path, body) {
                    Ok(request) => inner.reply(request).await,
                    Err(refusal) => Some(refusal),
                };
                match reply {
                    Some(reply) => PeerAnswer {
                        status: reply.status(),
                        body: reply.into_body(),
                    },
                    None => PeerAnswer {
                        status: TOO_LONG,
                        body: b"the answer is too long for a message".to_vec(),
                    },
                }
            }
            _ => PeerAnswer {
                status: 404,
                body: b"no such path".to_vec(),
            },
        }
    }
}

impl Inner {
    /// The reply to a message of leasehttp; `None` if it would be too long.
    async fn reply(self: &Arc<Self>, request: Request) -> Option<Reply> {
        Some(match request {
            Request::Renew(id) => match check_lease(Kind::Renew, id) {
                Ok(id) => {
                    let renewed = self.in_time(self.renew_here(id)).await;
                    Reply::to_renewal(id, renewed)
                }
                Err(refusal) => refusal,
            },
            Request::TimeToLive { id, keys } => match check_lease(Kind::TimeToLive, id) {
                Ok(id) => match self.in_time(self.time_to_live_here(id, keys)).await {
                    Some(Ok(reply)) => return reply,
                    Some(Err(error)) => Reply::refused(Kind::TimeToLive, &error),
                    None => Reply::not_caught_up(),
                },
                Err(refusal) => refusal,
            },
            Request::RenewBatch(ids) => match self.in_time(self.renew_batch_here(&ids)).await {
                Some(Ok(renewed)) => Reply::batch(&ids, &renewed),
                Some(Err(error)) => Reply::refused(Kind::RenewBatch, &error),
                None => Reply::not_caught_up(),
            },
            _ => Reply::refused(Kind::Renew, &LeaseError::NotPrimary),
        })
    }

    async fn in_time<F: Future>(self: &Arc<Self>, answers: F) -> Option<F::Output> {
        let answers = Box::pin(async {
            self.wait_to_be_primary().await;
            answers.await
        });
        self.within(Timeouts::default().lease, answers).await
    }

    /// A member that leads is the primary some milliseconds later: whoever asks it then need not come again
    /// after a pause. Waits for a pause at most.
    async fn wait_to_be_primary(&self) {
        let pause = self.pause();
        if self.leader() == Some(self.member) && self.lessor.primary_epoch().is_none() {
            pause.await;
        }
    }
}
