use crate::plan::Engines;

/// A bug that can be planted, to prove that the checkers can fail and the worlds reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bug {
    /// How the code and the command line call it.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// All bugs that can be planted, by where they are.
pub const BUGS: &[Bug] = &[
    // In the production code, where no port could be wrong in its place.
    bug(
        "expiry-ignores-renewal",
        "the old entry of a renewed lease expires it",
    ),
    bug(
        "old-deadlines-survive",
        "a promotion goes on with the deadlines of an earlier one",
    ),
    bug(
        "saved-for-ever",
        "a lease that is renewed while it is throttled never expires again",
    ),
    bug(
        "taken-not-told",
        "the lessor does not learn that the host has taken a batch",
    ),
    bug(
        "sleeper-not-woken",
        "the host is not woken when something is due earlier than it knows",
    ),
    bug(
        "claim-forgotten",
        "a revoke that is decided does not keep others away from its lease",
    ),
    bug(
        "waiters-survive-demotion",
        "a renewal that waits is not told of the demotion",
    ),
    bug(
        "promote-after-demote",
        "a late promotion makes a primary of an old epoch",
    ),
    bug(
        "recover-stays-primary",
        "a snapshot leaves a primary in office",
    ),
    bug(
        "skipped-checkpoint-forgotten",
        "a checkpoint that is skipped once never comes again",
    ),
    bug(
        "dead-entries-stay",
        "the queue keeps the entries of revoked leases",
    ),
    bug(
        "suspended-not-renewed",
        "a lease whose time is up while expiry is suspended is not renewed",
    ),
    bug(
        "reset-leaves-the-guard",
        "a renewal asks for another reset after each one",
    ),
    bug(
        "earlier-checkpoint-forgotten",
        "a checkpoint that fails makes the lessor forget an earlier one that may still be applied",
    ),
    bug(
        "lost-checkpoint-blocks",
        "a checkpoint whose proposal got lost keeps later ones away",
    ),
    bug(
        "a-millisecond-early",
        "a lease that is granted or taken over is counted a millisecond short",
    ),
    bug(
        "woken-late",
        "the lessor says too late when the next lease is due",
    ),
    bug(
        "retries-escape-the-rate",
        "the revoke rate does not count a lease that is delivered again",
    ),
    bug(
        "failed-commit-ends-waits",
        "who waits for a lease is told that it is gone although its revoke was not written",
    ),
    bug(
        "stop-forgets-waiters",
        "who waits for a lease is told nothing at a stop",
    ),
    bug(
        "never-at-rest",
        "the lessor wants to be driven again at once",
    ),
    bug(
        "lag-forgotten",
        "the lessor does not count how far its clock lags",
    ),
    bug(
        "used-up-tags-come-again",
        "deadlines of long ago count again when the promotion tags are used up",
    ),
    bug(
        "second-slice-forgotten",
        "a promotion schedules only the first slice of the leases",
    ),
    bug(
        "failed-retried-at-once",
        "an attempt that has failed is followed by the next one at once",
    ),
    bug(
        "put-back-behind",
        "a batch that failed is put back behind what was written meanwhile",
    ),
    bug(
        "second-chunk-not-revoked",
        "a lessor that revokes by itself forgets all but the first chunk of a batch",
    ),
    bug(
        "page-skips-a-lease",
        "a page of a listing leaves a lease out",
    ),
    bug(
        "checkpoints-always-stored",
        "checkpoints are written that are to be kept out of the store",
    ),
    bug(
        "late-failure-puts-off",
        "a failure that is reported late puts the next attempt off",
    ),
    bug(
        "promotes-too-early",
        "a promotion to an epoch that has not begun makes a primary",
    ),
    bug("demote-any-epoch", "a late demotion ends a newer promotion"),
    bug(
        "epoch-unfenced",
        "an expiry of an earlier primary takes effect",
    ),
    bug(
        "incarnation-unfenced",
        "an expiry hits the next lease of the same id",
    ),
    bug(
        "checkpoint-overtakes-renew",
        "a checkpoint from before a renewal takes effect after it",
    ),
    bug(
        "detach-by-anyone",
        "a lease detaches the items of another one",
    ),
    bug(
        "alone-grant-tells-no-time",
        "a grant does not say what remains of its lease",
    ),
    bug("alone-listed-in-no-order", "a listing has no order"),
    bug(
        "alone-long-lists-lack-items",
        "a page that takes several looks has leases without their items",
    ),
    bug(
        "alone-recovery-not-told",
        "nobody is told that a recovery ends the promotion",
    ),
    bug(
        "alone-checkpoints-not-announced",
        "the lessor does not say when it has to be driven for a checkpoint",
    ),
    bug(
        "alone-earlier-reports-count",
        "what became of a checkpoint of an earlier promotion is taken for one of this",
    ),
    bug(
        "alone-resets-of-tasks-forgotten",
        "nobody takes the checkpoint back that the renewal of a task waits for",
    ),
    bug("alone-longest-ttl-refused", "the longest TTL is refused"),
    bug("old-permits-stay", "permits that are over are kept"),
    bug("alone-numbers-come-again", "two grants have one number"),
    // In the member's store.
    bug(
        "far-ids-lost",
        "a restart forgets the first and the last lease id",
    ),
    bug("long-ttls-cut", "a restart cuts TTLs to 32 bits"),
    bug(
        "second-failure-hidden",
        "the second commit in a row that fails is taken for written",
    ),
    bug("remaining-lost", "a restart forgets the remaining TTLs"),
    bug(
        "negative-ids-lost",
        "a restart forgets leases with negative ids",
    ),
    bug(
        "row-of-a-revoked-lease-stays",
        "the row of a lease without items outlives its revoke",
    ),
    bug(
        "failed-batch-dropped",
        "a batch of writes that fails is not tried again",
    ),
    bug(
        "failed-commit-takes-effect",
        "a command whose commit failed takes effect in memory",
    ),
    bug(
        "acknowledged-before-written",
        "a commit is acknowledged before it is written",
    ),
    bug(
        "two-transactions",
        "the host's writes and the lessor's are two transactions",
    ),
    bug(
        "stop-forgets-writes",
        "a stop does not write what is pending",
    ),
    // In what the host tells the lessor.
    bug("rate-ignored", "the revoke rate is not kept"),
    bug("batches-without-a-limit", "batches are too large"),
    bug(
        "checkpoints-multiply",
        "checkpoints are proposed more often than the interval says",
    ),
    bug(
        "checkpoints-too-seldom",
        "checkpoints are proposed more seldom than the interval says",
    ),
    bug(
        "retried-too-soon",
        "an expired lease is delivered again before the retry interval is over",
    ),
    bug(
        "retried-a-bit-too-soon",
        "an expired lease is delivered again a millisecond before the retry interval is over",
    ),
    bug(
        "writes-wait-longer",
        "batched writes wait longer than the commit interval",
    ),
    // In the machine and the observer.
    bug(
        "attach-without-move",
        "attaching an item of another lease does nothing",
    ),
    bug(
        "machine-writes-what-is-refused",
        "the machine writes the row of a key whose attach is refused",
    ),
    bug(
        "observer-hangs",
        "the observer never comes back from a batch of several expired leases",
    ),
    // In the host of a lessor that stands alone.
    bug(
        "alone-without-a-limit",
        "a lessor takes more leases than it may have",
    ),
    bug(
        "alone-writes-late",
        "a lessor that stands alone acknowledges commands before they are written",
    ),
    bug(
        "alone-expires-while-suspended",
        "leases expire while expiry is suspended",
    ),
    bug(
        "alone-many-items-cut",
        "of very many items that are attached at once the last ones are not",
    ),
    bug(
        "alone-never-demoted",
        "a lessor that is demoted renews leases",
    ),
    bug(
        "alone-attaches-nothing-again",
        "a host that keeps the items does not attach them again after a start",
    ),
    bug(
        "alone-pushes-nothing",
        "a host that is to bring checkpoints into the state does not, and says that it has",
    ),
    bug(
        "renewals-of-many-not-counted",
        "renewals of many leases in one call are not counted",
    ),
    bug(
        "alone-told-of-no-attachments",
        "the observer is not told of what is attached and detached",
    ),
    bug(
        "alone-not-told",
        "the observer is not told of a lease that has expired",
    ),
    bug(
        "alone-told-without-items",
        "who is told of a lease that has expired is not told of its items",
    ),
    bug(
        "alone-revokes-all-but-the-last",
        "of many leases that are revoked at once the last one is not",
    ),
    bug(
        "alone-retries-too-soon",
        "a lease that was delivered is delivered again too soon",
    ),
    bug(
        "alone-writes-nothing-if-refused",
        "what a host writes with a command that is refused is not written",
    ),
    bug(
        "alone-oversights-not-told",
        "nobody is told that the host does not promote, or does not take what has expired",
    ),
    bug(
        "alone-promotes-at-once",
        "a lessor that is to be promoted later is promoted at once",
    ),
    bug("alone-not-stopped", "a lessor that is stopped goes on"),
    bug(
        "alone-items-without-a-limit",
        "a lease takes more items than it may have",
    ),
    bug(
        "alone-ids-start-late",
        "the ids of a member begin with a wrong time",
    ),
    bug(
        "alone-checkpoint-of-the-whole",
        "a checkpoint that the host sets has no effect",
    ),
    bug(
        "alone-strange-rows-not-told",
        "nobody is told of a stored row that no lessor has written",
    ),
    bug(
        "alone-damage-not-seen",
        "a lessor starts from stored items that are nobody's",
    ),
    bug(
        "alone-memory-loses-a-row",
        "the backend in memory has a lease less than was stored",
    ),
    bug(
        "alone-ranges-not-deleted",
        "a range of rows that a host deletes with a command stays",
    ),
    bug(
        "failed-commit-not-undone",
        "a commit of which the store does not know that it has failed is there later",
    ),
    bug(
        "alone-rows-outlive-their-lease",
        "the rows of a lease's items stay when it goes",
    ),
    bug(
        "alone-text-not-escaped",
        "a backslash in an item is written once, and not twice",
    ),
    bug("alone-metrics-not-told", "the metrics are told of nothing"),
    bug(
        "alone-renewals-not-streamed",
        "a stream of events leaves renewals out",
    ),
    bug(
        "alone-writes-wait-longer",
        "a lessor that stands alone writes later than it may",
    ),
    bug("alone-failures-not-told", "nobody is told of a failure"),
    bug(
        "alone-plain-not-driven",
        "the lessor that nobody observes is not driven",
    ),
    bug(
        "alone-checkpoint-rate-ignored",
        "checkpoints are proposed more often than their rate says",
    ),
    bug(
        "alone-void-decisions-apply",
        "what was decided before a recovery is applied after it",
    ),
    bug(
        "alone-backlog-not-told",
        "leases that the rate of revokes holds back are not counted",
    ),
    bug(
        "alone-moved-keys-not-told",
        "the owner of a wheel does not learn where a key has moved",
    ),
    bug(
        "alone-items-read-in-no-order",
        "a lease is read with its items in the order of its text",
    ),
    bug(
        "alone-due-leases-make-no-room",
        "no batch of expired leases gets room when those of the first one are due again",
    ),
    bug(
        "alone-checkpoints-answered-wrongly",
        "a checkpoint that takes effect is answered as if it had none",
    ),
    bug(
        "alone-failed-is-unknown",
        "a host tells of a checkpoint that has failed that it does not know",
    ),
    bug(
        "alone-dropped-streams-stay",
        "something is left of a stream of events that was dropped",
    ),
    bug(
        "alone-renewals-always-streamed",
        "a stream of events tells renewals that nobody wants",
    ),
    bug("alone-facade-not-told", "the facade is told of nothing"),
    bug(
        "alone-queue-not-told",
        "a queue beside the lessor's is not told of a later time",
    ),
    bug(
        "reserved-rows-are-written",
        "a host may write the rows of the lessor",
    ),
    // In lease-raft.
    bug(
        "raft-promotes-on-election",
        "a member is the primary when it is elected, and not when its first entry is applied",
    ),
    bug(
        "raft-promotes-by-an-older-life",
        "a member that has started anew is promoted by an entry of its life before",
    ),
    bug(
        "raft-acknowledges-before-apply",
        "an attach is acknowledged when it is committed, and not applied",
    ),
    bug(
        "raft-acknowledges-before-commit",
        "an attach whose outcome is not known is acknowledged",
    ),
    bug(
        "raft-confirmation-reused",
        "a leadership that was confirmed once is taken for confirmed for ever",
    ),
    bug(
        "raft-confirmation-began-before",
        "a confirmation serves those who have come while it was under way",
    ),
    bug(
        "raft-answers-before-caught-up",
        "a leader answers before it has applied what was committed",
    ),
    bug(
        "raft-snapshot-without-remaining",
        "a snapshot has no remaining TTLs",
    ),
    bug(
        "raft-snapshot-without-attachments",
        "a snapshot has no attachments",
    ),
    bug(
        "raft-snapshot-without-sessions",
        "a snapshot does not know which proposals have been applied",
    ),
    bug(
        "raft-old-snapshot-installed",
        "a snapshot that is older than the state is installed",
    ),
    bug(
        "raft-install-leaves-the-primary",
        "a member that was brought up by a snapshot is the primary",
    ),
    bug(
        "raft-applied-index-apart",
        "the applied index is written in another transaction",
    ),
    bug(
        "raft-follower-renews",
        "a member that does not lead renews by its own table",
    ),
    bug(
        "raft-follower-reads",
        "a member answers a linearizable read by what it has applied",
    ),
    bug(
        "raft-renews-without-reset",
        "a renewal is acknowledged though a checkpoint stands against it",
    ),
    bug(
        "raft-retry-applied-twice",
        "a proposal that was made again is applied again",
    ),
    bug(
        "raft-sessions-forgotten-early",
        "proposals of a session are forgotten too early",
    ),
    bug(
        "raft-batch-proposed-twice",
        "a batch of expired leases is proposed twice",
    ),
    bug(
        "raft-room-never-free",
        "batches of expired leases that are done keep their places",
    ),
    bug(
        "raft-demotion-forgotten",
        "a member that does not lead any more stays the primary",
    ),
    bug(
        "raft-unknown-is-denied",
        "a call whose outcome is not known says that it has not happened",
    ),
    bug(
        "raft-checkpoints-not-planned",
        "nothing wakes a member when checkpoints are due",
    ),
    bug(
        "raft-ids-of-an-epoch",
        "a member begins an epoch by itself to count new ids in it",
    ),
    bug(
        "raft-renews-what-was-there",
        "a renewal tells the TTL of a lease that was granted again since",
    ),
    bug(
        "raft-min-ttl-at-apply",
        "each member applies its own minimum TTL",
    ),
    bug(
        "renew-expiring",
        "a lease that was delivered as expired is renewed",
    ),
    bug(
        "raft-expires-once",
        "a lease that has expired is proposed only once",
    ),
    bug("raft-outlives-its-timeout", "a call takes twice its time"),
    // In lease-raft, where it carries openraft.
    bug(
        "openraft-vote-not-saved",
        "a vote is in memory, and not on the disk",
    ),
    bug(
        "openraft-append-not-durable",
        "entries are acknowledged before they are on the disk",
    ),
    bug(
        "openraft-purges-too-far",
        "a purge takes entries that no snapshot has",
    ),
    bug(
        "openraft-leads-for-ever",
        "a leader that nobody hears says that it leads",
    ),
    bug(
        "openraft-learner-confirms",
        "a learner is counted in the quorum that confirms the leadership",
    ),
    bug(
        "openraft-lost-for-good",
        "a leader that a quorum has not acknowledged for a while leads no more when it does again",
    ),
    bug(
        "openraft-confirms-alone",
        "a leader confirms by itself that it leads",
    ),
    bug(
        "openraft-overruled-stay",
        "entries that were overruled keep a member from starting whose state was written first",
    ),
    bug(
        "openraft-comes-back-empty",
        "a member that has lost its disk comes back under its name",
    ),
];

/// Bugs of what only a lessor shows that stands alone: the engine of a replica is stopped before it, so that nobody
/// waits any more.
const ALONE: [&str; 6] = [
    "checkpoints-always-stored",
    "page-skips-a-lease",
    "renewals-of-many-not-counted",
    "reserved-rows-are-written",
    "second-chunk-not-revoked",
    "stop-forgets-waiters",
];

const fn bug(name: &'static str, what: &'static str) -> Bug {
    Bug { name, what }
}

impl Bug {
    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        BUGS.iter().find(|bug| bug.name == name)
    }

    /// The engines with which it can be found.
    #[must_use]
    pub fn engines(&self) -> Engines {
        if self.name.starts_with("openraft-") {
            Engines::Raft
        } else if self.name.starts_with("alone-") || ALONE.contains(&self.name) {
            Engines::Both
        } else {
            Engines::Log
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BUGS.len());
        assert!(BUGS.len() >= 101);
    }
}
