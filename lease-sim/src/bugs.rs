/// A bug that can be planted, to prove that the checkers can fail and the worlds reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bug {
    /// How the code and the command line call it.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// All bugs that can be planted.
pub const BUGS: &[Bug] = &[
    bug(
        "renew-expiring",
        "a lease that was delivered as expired is renewed",
    ),
    bug(
        "renew-without-reset",
        "a renewal leaves a checkpoint as it is",
    ),
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
    bug("remaining-lost", "a restart forgets the remaining TTLs"),
    bug(
        "negative-ids-lost",
        "a restart forgets leases with negative ids",
    ),
    bug(
        "promote-after-demote",
        "a late promotion makes a primary of an old epoch",
    ),
    bug("demote-any-epoch", "a late demotion ends a newer promotion"),
    bug(
        "waiters-survive-demotion",
        "a renewal that waits is not told of the demotion",
    ),
    bug(
        "skipped-checkpoint-forgotten",
        "a checkpoint that is skipped once never comes again",
    ),
    bug(
        "checkpoints-multiply",
        "checkpoints are proposed more often with every renewal",
    ),
    bug(
        "expiry-ignores-renewal",
        "the old entry of a renewed lease expires it",
    ),
    bug(
        "expired-never-retried",
        "an expired lease is delivered only once",
    ),
    bug(
        "nobody-looks-what-was-taken",
        "the lessor is not woken to see whether the host has taken a batch",
    ),
    bug("rate-ignored", "the revoke rate is not kept"),
    bug(
        "saved-for-ever",
        "a lease that is renewed while it waits for a turn never expires again",
    ),
    bug(
        "old-deadlines-survive",
        "a promotion goes on with the deadlines of an earlier one",
    ),
    bug(
        "attach-without-move",
        "attaching an item of another lease does nothing",
    ),
    bug(
        "detach-by-anyone",
        "a lease detaches the items of another one",
    ),
    bug(
        "recover-stays-primary",
        "a snapshot leaves a primary in office",
    ),
    bug(
        "row-of-a-revoked-lease-stays",
        "the row of a lease without items outlives its revoke",
    ),
    bug(
        "dead-entries-stay",
        "the queue keeps the entries of revoked leases",
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
        "two-transactions",
        "the host's writes and the lessor's are two transactions",
    ),
    bug(
        "full-channel-drops",
        "a batch of expired leases that finds the channel full is lost",
    ),
    bug(
        "stop-forgets-writes",
        "a stop does not write what is pending",
    ),
    bug(
        "min-ttl-at-apply",
        "each member applies its own minimum TTL",
    ),
    bug(
        "host-unconfirmed-renewal",
        "the host acknowledges renewals without asking whether it still leads",
    ),
    bug(
        "host-promotes-too-early",
        "the host promotes before it has applied the log",
    ),
    bug(
        "host-acknowledges-before-reset",
        "the host acknowledges a renewal before its reset is applied",
    ),
    bug(
        "host-applied-index-apart",
        "the host writes its applied index in a transaction of its own",
    ),
    bug(
        "host-snapshot-forgets-checkpoints",
        "a snapshot has no remaining TTLs",
    ),
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
        assert!(BUGS.len() >= 20);
    }
}
