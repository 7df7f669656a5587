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
