//! Three members behind a log, and a change of the leader.
//!
//! Run it with `cargo run -p lease --example behind_a_log`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;
use lease::{Answer, CheckpointMode, Command, Driver, Epoch, Grant, ManualClock, WriteBatch};

/// Stands for a consensus log: what is committed is applied by every member, in the same order.
struct Cluster {
    members: Vec<BackendLessor>,
}

impl Cluster {
    fn commit(&self, command: &Command) -> Result<Answer, LeaseError> {
        let apply = |member: &BackendLessor| member.apply(command, WriteBatch::default());
        let answers = self.members.iter().map(apply);
        let mut answers = answers.collect::<Result<Vec<_>, _>>()?;
        answers.dedup();
        assert_eq!(answers.len(), 1, "all members answer the same");
        Ok(answers.remove(0))
    }

    /// A member has won the election of this term.
    fn lead(&self, member: usize, term: u64, extend: Duration) -> Result<(), LeaseError> {
        let epoch = Epoch::new(term);
        self.commit(&Command::BeginEpoch(epoch))?;
        self.members[member].promote_to(epoch, extend);
        println!("member {member} is the primary of epoch {epoch}");
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(ManualClock::default());
    let member = |_| {
        BackendLessor::builder(Arc::new(MemoryBackend::new()))
            .checkpoints(CheckpointMode::Polled)
            .clock(clock.clone())
            .driver(Driver::Manual)
            .build()
    };
    let members = (0..3).map(member).collect::<Result<_, _>>()?;
    let cluster = Cluster { members };
    let [first, second, _] = &cluster.members[..] else {
        unreachable!()
    };

    cluster.lead(0, 1, Duration::ZERO)?;
    let id = LeaseId::try_from(7)?;
    // The minimum TTL is the leader's business, and not that of those who apply.
    let ttl = first.admit_ttl(Duration::from_secs(10))?;
    cluster.commit(&Grant::new(id, ttl).into())?;
    println!("member 0 renews: {:?}", first.renew(id));
    println!("member 1 renews: {:?}", second.renew(id));

    // 8 seconds later the leader is cut off, and another one takes over.
    clock.advance(Duration::from_secs(8));
    cluster.lead(1, 2, Duration::from_secs(2))?;
    let left = second.time_to_live(id).and_then(|left| left.remaining());
    println!("the lease has {left:?} left at member 1");

    // Member 0 does not know yet. What it sees expire is of its own epoch.
    clock.advance(Duration::from_secs(2));
    first.tick();
    let late = first.expired_leases().try_recv()?;
    println!("member 0 sees {} expire", late.leases[0].id);
    let answer = cluster.commit(&Command::Revoke(late.revocations().collect()))?;
    println!("its revoke: {answer:?}");

    // The primary sees it expire in its own time.
    clock.advance(Duration::from_secs(10));
    second.tick();
    let due = second.expired_leases().try_recv()?;
    let answer = cluster.commit(&Command::Revoke(due.revocations().collect()))?;
    println!("the revoke of member 1: {answer:?}");
    assert!(
        cluster
            .members
            .iter()
            .all(|member| member.leases().is_empty())
    );
    Ok(())
}
// ANCHOR_END: program
