use futures::FutureExt;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use super::OpenraftEngine;
use crate::raft::config::{Types, position};

/// What a member is in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Role {
    /// It leads, or believes so: [`leadership`](crate::Engine::leadership) says whether a quorum does.
    Leader,
    /// It follows, and decides.
    Follower,
    /// It wants to lead.
    Candidate,
    /// It follows, and does not decide; or belongs to no cluster yet.
    Learner,
    /// It has stopped.
    Stopped,
}

/// How far an engine is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct EngineStatus {
    /// What the member is.
    pub role: Role,
    /// The index of the last entry in its log.
    pub logged: u64,
    /// The index of the last entry that it knows to be committed.
    pub committed: u64,
}

impl OpenraftEngine {
    /// How far it is. O(1).
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let metrics = self.raft().metrics();
        let has_panicked = has_panicked(metrics.clone());
        let metrics = metrics.borrow_watched();
        let role = match (&metrics.running_state, metrics.state) {
            _ if has_panicked => Role::Stopped,
            (Err(_), _) | (Ok(()), ServerState::Shutdown) => Role::Stopped,
            (Ok(()), ServerState::Leader) => Role::Leader,
            (Ok(()), ServerState::Follower) => Role::Follower,
            (Ok(()), ServerState::Candidate) => Role::Candidate,
            (Ok(()), ServerState::Learner) => Role::Learner,
        };
        EngineStatus {
            role,
            logged: metrics.last_log_index.map_or(0, position),
            committed: metrics.local_committed.map_or(0, |id| position(id.index())),
        }
    }
}

/// One that has panicked does not say that it has stopped, but nothing more.
pub(super) fn has_panicked(mut metrics: WatchReceiverOf<Types, RaftMetrics<Types>>) -> bool {
    loop {
        let is_running = metrics.borrow_and_update().running_state.is_ok();
        match metrics.changed().now_or_never() {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(_)) => return is_running,
        }
    }
}
