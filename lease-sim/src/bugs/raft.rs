use super::{Bug, bug};

/// Those of lease-raft.
pub(super) const BUGS: &[Bug] = &[
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
