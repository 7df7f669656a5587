use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use super::OpenraftEngine;
use crate::raft::config::position;

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
        let has_panicked = self.has_panicked();
        let metrics = self.raft().metrics();
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
