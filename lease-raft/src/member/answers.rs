use std::sync::Weak;
use std::sync::atomic::Ordering::SeqCst;

use futures::future::BoxFuture;

use super::Core;
use super::change::MEMBERS_PATH;
use crate::grpc::Answers;
use crate::raft::GONE;
use crate::{MemberId, OpenraftEngine, PeerAnswer};

/// Brings what other members ask to whoever answers it. Each connection has it, and may be there for longer than the
/// member: one whose other end is paused ends seconds later.
pub(super) struct Dispatch(pub(super) Weak<Core>);

impl Answers for Dispatch {
    fn answer(
        &self,
        from: MemberId,
        path: String,
        body: Vec<u8>,
    ) -> BoxFuture<'static, PeerAnswer> {
        let core = self.0.upgrade();
        Box::pin(async move {
            let Some(core) = core else {
                return PeerAnswer {
                    status: 503,
                    body: b"the member has stopped".to_vec(),
                };
            };
            match &*path {
                path if !OpenraftEngine::is_for_engine(path)
                    && core.engine.removed().contains(from) =>
                {
                    PeerAnswer {
                        status: GONE,
                        body: format!("member {from} was removed, and its id is not used again")
                            .into(),
                    }
                }
                MEMBERS_PATH => core.answer_change(&body).await,
                path if OpenraftEngine::is_for_engine(path) && !core.is_open.load(SeqCst) => {
                    PeerAnswer {
                        status: 503,
                        body: b"the member has not been admitted yet".to_vec(),
                    }
                }
                path if OpenraftEngine::is_for_engine(path) => {
                    core.engine.answer(from, path, &body).await
                }
                path => core.replica.answer(path, &body).await,
            }
        })
    }
}
