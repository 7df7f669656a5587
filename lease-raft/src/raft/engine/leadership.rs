use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::{Select2, WatchReceiver};
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;

use crate::probe::planted;
use crate::raft::config::{Raft, Types};
use crate::watch::Watch;
use crate::{Leadership, MemberId};

type Instant = InstantOf<Types>;

/// Follows who leads until openraft stops.
///
/// To openraft a leader that nobody hears is a leader for ever. Here it is one only while a quorum has
/// acknowledged it in the last `timeout`, counted from when it asked: which is before any other member
/// may be elected, as far as clocks run alike.
pub(super) async fn follow(raft: Raft, watch: Arc<Watch<Leadership>>, timeout: Duration) {
    let mut metrics = raft.metrics();
    // So that an engine that is dropped ends.
    drop(raft);
    let mut proof = Proof::default();
    loop {
        let (leadership, until) = {
            let metrics = metrics.borrow_and_update();
            let now = Types::now();
            proof.see(&metrics, now, timeout);
            proof.leadership(&metrics, now, timeout)
        };
        watch.set(leadership);
        let changed = metrics.changed();
        let is_over = match until {
            None => changed.await.is_err(),
            Some(until) => match Types::select2(changed, Types::sleep_until(until)).await {
                Select2::First(changed) => changed.is_err(),
                Select2::Second(()) => false,
            },
        };
        if is_over {
            break;
        }
    }
    let term = watch.get().term;
    watch.set(Leadership { term, leader: None });
    watch.end();
}

/// When this member was last known to lead.
#[derive(Default)]
struct Proof {
    term: u64,
    at: Option<Instant>,
}

impl Proof {
    fn see(&mut self, metrics: &RaftMetrics<Types>, now: Instant, timeout: Duration) {
        if metrics.current_term != self.term {
            *self = Self {
                term: metrics.current_term,
                at: None,
            };
        }
        if metrics.state != ServerState::Leader {
            self.at = None;
            return;
        }
        let is_over = |at: Instant| now >= at + timeout;
        if planted!("openraft-lost-for-good") && self.at.is_some_and(is_over) {
            return;
        }
        let acked = match is_quorum(metrics) {
            // It is acknowledged by nobody, and needs nobody.
            true => Some(now),
            false => metrics.last_quorum_acked.map(|at| *at),
        };
        self.at = self.at.max(acked);
    }

    /// Who leads, and until when that holds of itself.
    fn leadership(
        &self,
        metrics: &RaftMetrics<Types>,
        now: Instant,
        timeout: Duration,
    ) -> (Leadership, Option<Instant>) {
        let known = |leader| Leadership {
            term: metrics.current_term,
            leader,
        };
        if metrics.running_state.is_err() {
            return (known(None), None);
        }
        let other = metrics
            .current_leader
            .filter(|leader| *leader != metrics.id);
        if metrics.state != ServerState::Leader {
            return (known(other), None);
        }
        if is_quorum(metrics) || planted!("openraft-leads-for-ever") {
            return (known(Some(metrics.id)), None);
        }
        match self.at.map(|at| at + timeout) {
            Some(until) if now < until => (known(Some(metrics.id)), Some(until)),
            _ => (known(None), None),
        }
    }
}

/// Whether this member alone decides.
fn is_quorum(metrics: &RaftMetrics<Types>) -> bool {
    let only = |voters: &std::collections::BTreeSet<MemberId>| {
        voters.len() == 1 && voters.contains(&metrics.id)
    };
    let membership = metrics.membership_config.membership();
    !membership.get_joint_config().is_empty() && membership.get_joint_config().iter().all(only)
}
