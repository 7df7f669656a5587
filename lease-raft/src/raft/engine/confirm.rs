use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use openraft::LinearizerOption;

use crate::Unconfirmed;
use crate::raft::config::{Raft, position};

pub(super) type Waiting = oneshot::Sender<Result<u64, Unconfirmed>>;

/// Answers all that wait with one round: those that came before it began. Those that come while it is
/// on its way wait for the next one.
pub(super) async fn confirm(
    raft: Raft,
    mut queue: mpsc::UnboundedReceiver<Waiting>,
    timeout: Duration,
) {
    while let Some(first) = queue.next().await {
        let mut waiting = vec![first];
        while let Ok(next) = queue.try_recv() {
            waiting.push(next);
        }
        // No acknowledgement of before counts, whatever the leader's lease: the clocks of other members
        // may run faster.
        let option = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(timeout);
        #[cfg(madsim)]
        if let Some(confirmed) = planted::confirmation(&raft, timeout) {
            for waiting in waiting {
                let _ = waiting.send(Ok(confirmed));
            }
            continue;
        }
        let confirmed = match raft.get_read_linearizer(option).await {
            Ok(linearizer) => Ok(position(linearizer.read_log_id().index())),
            Err(error) => {
                tracing::debug!(%error, "the leadership is not confirmed");
                Err(Unconfirmed)
            }
        };
        for waiting in waiting {
            // Nobody may wait any more.
            let _ = waiting.send(confirmed);
        }
    }
}

/// Bugs that a simulation plants.
#[cfg(madsim)]
mod planted {
    use std::time::Duration;

    use openraft::ServerState;
    use openraft::async_runtime::WatchReceiver;
    use openraft::type_config::TypeConfigExt;
    use openraft::type_config::alias::InstantOf;

    use crate::probe::planted;
    use crate::raft::config::{Raft, Types, position};

    /// What is taken for a confirmation and is none.
    pub(super) fn confirmation(raft: &Raft, timeout: Duration) -> Option<u64> {
        let counts_learners = planted!("openraft-learner-confirms");
        if !counts_learners && !planted!("openraft-confirms-alone") {
            return None;
        }
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let acknowledged = metrics.heartbeat.iter().flatten();
        let acknowledged = acknowledged.filter(|(member, at)| {
            let is_recent = |at: &InstantOf<Types>| *at + timeout > Types::now();
            **member != metrics.id && at.as_ref().is_some_and(|at| is_recent(at))
        });
        let voters = metrics.membership_config.membership().voter_ids().count();
        let is_confirmed = !counts_learners || (1 + acknowledged.count()) * 2 > voters;
        let is_leader = metrics.state == ServerState::Leader;
        let committed = metrics
            .local_committed
            .filter(|_| is_leader && is_confirmed);
        committed.map(|id| position(id.index()))
    }
}
