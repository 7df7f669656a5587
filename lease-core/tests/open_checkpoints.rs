//! Proposals of checkpoints that may still be applied.

#[path = "support/by_hand.rs"]
mod by_hand;

use lease_core::{Command, LessorConfig, ProposalOutcome, Renewal, WriteBatch};

use by_hand::{at, grant, id, primary, ttl};

/// A proposal whose outcome nobody knows may come in after a renewal, also when a later one has failed.
#[test]
fn a_checkpoint_that_fails_does_not_close_an_earlier_one() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 900);
    lessor.handle_timeout(at(0));
    let unknown = lessor.poll_checkpoints(at(300)).expect("it is due");
    lessor.handle_checkpoints(at(301), &unknown, ProposalOutcome::Unknown);
    let failed = lessor.poll_checkpoints(at(600)).expect("it is due again");
    lessor.handle_checkpoints(at(601), &failed, ProposalOutcome::Failed);
    lessor.check_invariants();
    let Ok(Renewal::Reset(reset)) = lessor.renew(at(610), id(1)) else {
        panic!("the first one may still be applied");
    };
    let reset = Command::Checkpoint(vec![reset]);
    lessor.execute(at(611), &reset, &mut WriteBatch::default());
    assert_eq!(lessor.renew(at(611), id(1)), Ok(Renewal::Renewed(ttl(900))));
    let late = Command::Checkpoint(unknown.records);
    lessor.execute(at(612), &late, &mut WriteBatch::default());
    let lease = lessor.lookup(at(612), id(1)).expect("it is there");
    assert_eq!(lease.checkpointed_remaining(), None);
}
