use super::{Bug, bug};

/// Those in the host of a lessor that stands alone.
pub(super) const BUGS: &[Bug] = &[
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
        "alone-lag-from-the-expiry",
        "of a lease that is delivered again it is told how long ago it expired, and not how long ago that was due",
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
        "alone-stopped-makes-room",
        "a lessor that is stopped and far behind writes for the next command",
    ),
    bug(
        "alone-streams-without-items",
        "a stream of events has no items where the observer wants none",
    ),
    bug(
        "alone-observer-told-of-items",
        "an observer that wants no items is told of those that a stream wants",
    ),
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
    bug(
        "alone-abandoned-items-stay-claimed",
        "the items of an attach that is abandoned keep other commands from being decided",
    ),
    bug(
        "alone-taken-of-any-promotion",
        "a batch of an earlier promotion that is taken late is taken for one of this promotion",
    ),
    bug(
        "alone-doubles-count-twice",
        "an item that is named twice counts as two items",
    ),
    bug(
        "alone-one-refusal-keeps-all",
        "of several leases that expire together none goes if the rows of one cannot be deleted",
    ),
    bug(
        "alone-refused-revokes-are-not-tried-again",
        "a lease whose expiry was refused once lives for ever",
    ),
    bug(
        "alone-the-first-who-asks-is-woken",
        "who has asked first for what a future waits for is woken, and not who has asked last",
    ),
    bug(
        "alone-closed-streams-tell-nothing",
        "of a lessor that was stopped a stream does not tell what has happened before",
    ),
    bug(
        "alone-attachments-go-with-items",
        "an observer is told of attachments if it wants items",
    ),
    bug(
        "alone-crowds-are-forgotten",
        "of very many renewals that wait for a reset the first ones are forgotten",
    ),
    bug(
        "alone-a-stop-wakes-nobody",
        "who sleeps until the lessor has something to do sleeps on after a stop",
    ),
    bug(
        "alone-rows-of-items-stay",
        "stored items of a lease that is revoked stay in the store",
    ),
    bug(
        "alone-refused-is-certain",
        "a checkpoint that was refused is taken for one that cannot come in",
    ),
    bug(
        "alone-refused-writes-are-written",
        "what a host writes with a command that is refused at once is written",
    ),
    bug(
        "alone-more-is-stored-than-was-written",
        "a store beside the lessor holds more than was written",
    ),
    bug(
        "alone-half-a-fence-is-none",
        "a revoke with half a fence is taken for one without",
    ),
];
