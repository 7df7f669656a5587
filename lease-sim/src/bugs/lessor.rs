use super::{Bug, bug};

/// Those of the lessor, its store and its host.
pub(super) const BUGS: &[Bug] = &[
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
        "replaced-before-the-recovery",
        "what is decided before a store is replaced is written on top of the new state",
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
];
