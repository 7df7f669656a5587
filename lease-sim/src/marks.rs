/// What a thousand runs must have reached, or their passing means nothing.
///
/// Marks that begin with `core:` stand in the production code, those with `raft:` around a replica, those with
/// `world:` in the surroundings of members, those with `alone:` in the host of a lessor that stands alone.
pub const MARKS: &[&str] = &[
    "alone: a checkpoint comes in too late",
    "alone: a checkpoint comes that was refused",
    "alone: a checkpoint is known to have failed",
    "alone: a client keeps its lease alive",
    "alone: a command of a host's is refused and its writes are not",
    "alone: a commit fails of a store beside",
    "alone: a disk is full",
    "alone: a host attaches its items again",
    "alone: a host brings checkpoints into the state",
    "alone: a host does not take expired leases",
    "alone: a host grants and does not promote",
    "alone: a host has reset a checkpoint, and has not",
    "alone: a host keeps the rows of items",
    "alone: a host polls checkpoints",
    "alone: a host promotes late",
    "alone: a host resets a checkpoint",
    "alone: a host sets a checkpoint",
    "alone: a host writes alone",
    "alone: a host writes what is the lessor's",
    "alone: a host's log refuses checkpoints",
    "alone: a lease is delivered again",
    "alone: a lease is revoked by the lessor",
    "alone: a lease is to have too many items",
    "alone: a lease that is delivered is to be renewed",
    "alone: a lease with items is granted again at once",
    "alone: a lessor is demoted and promoted",
    "alone: a lessor reads its store again",
    "alone: a lessor starts again",
    "alone: a lessor that is not promoted is to renew",
    "alone: a lessor that is stopped is asked",
    "alone: a look-up leaves out very many items",
    "alone: a renewal waits for its reset, if it needs one",
    "alone: a renewal waits for the end of its lease",
    "alone: a row is written with a command",
    "alone: a store has a row that no lessor has written",
    "alone: a store is damaged",
    "alone: a store is looked at after commits that failed",
    "alone: a strange row is told",
    "alone: a stream of events is dropped",
    "alone: a task waits for the reset of a checkpoint",
    "alone: a wait ends with its lease",
    "alone: an id that will be drawn is in use",
    "alone: commands are decided before others are applied",
    "alone: leases are listed page by page",
    "alone: a machine recovers while commands are decided",
    "alone: a wheel of many keys is emptied",
    "alone: a lessor starts with expiry suspended",
    "alone: a lessor that nobody observes grants",
    "alone: as many checkpoints come as may",
    "alone: leases wait for the rate of revokes",
    "alone: many leases are renewed at once",
    "alone: many leases are revoked at once",
    "alone: memory is dumped",
    "alone: metrics are scraped",
    "alone: no batch has room",
    "alone: nobody knows whether a host's own transaction is there",
    "alone: more is written than a store keeps up with",
    "alone: queues beside the lessor's are emptied",
    "alone: a range deleter refuses what has expired",
    "alone: the last commit of a stop fails",
    "alone: the lessor draws an id",
    "alone: the longest lease is granted",
    "alone: the power goes in the middle of an operation",
    "alone: the stored items are damaged",
    "alone: very many items are attached at once",
    "alone: what a lease is comes back from its text",
    "alone: what became of a checkpoint is told after its promotion",
    "core: a batch that failed is kept",
    "core: a checkpoint is stale",
    "core: a demotion comes too late",
    "core: a due checkpoint says nothing new",
    "core: a failed attempt is retried sooner",
    "core: a failed checkpoint is scheduled again",
    "core: a failure is reported too late to matter",
    "core: a lease is delivered again",
    "core: a lease makes room for a batch",
    "core: a promotion comes too late",
    "core: a promotion starts from a checkpoint",
    "core: a promotion's schedule takes several slices",
    "core: a renewal comes too late",
    "core: a renewal needs a reset",
    "core: a renewal saves a lease whose time is up",
    "core: a renewal saves a throttled lease",
    "core: an entry is put back at the true deadline",
    "core: an expiry is stale",
    "core: an item moves to another lease",
    "core: the host has no room for expired leases",
    "core: the promotion tags are used up",
    "core: the revoke rate throttles an expiry",
    "raft: a call has not happened, and will not",
    "raft: a call is dropped half-way",
    "raft: a clock goes back",
    "raft: a command inside of another one is refused",
    "raft: a demotion ends a wait",
    "raft: a leader hears of no quorum",
    "raft: a leader steps down",
    "raft: a lease is granted under a new id",
    "raft: a lease is renewed while a port is busy",
    "raft: a lease is renewed while its revoke is written",
    "raft: a lease whose time is up is renewed while expiry is suspended",
    "raft: a loss of power takes what was not written",
    "raft: a member has missed entries",
    "raft: a member is given up",
    "raft: a member is held up",
    "raft: a member loses its disk",
    "raft: a member recovers from its disk",
    "raft: a member with leases is promoted",
    "raft: a primary is demoted while a port is busy",
    "raft: a primary is demoted",
    "raft: a proposal is refused",
    "raft: a renewal resets a checkpoint",
    "raft: a revoke ends a wait",
    "raft: a snapshot is cut off",
    "raft: a snapshot is damaged",
    "raft: a snapshot is installed",
    "raft: a snapshot is older than the state",
    "raft: a start finds a bad disk",
    "raft: all members lose power at once",
    "raft: an answer comes that nobody waits for",
    "raft: an attempt to revoke is known to have failed",
    "raft: an entry cannot be applied yet",
    "raft: an item is detached from a lease that does not have it",
    "raft: an old snapshot is sent",
    "raft: another member does not answer",
    "raft: expiry is suspended",
    "raft: leases are renewed in one call",
    "raft: several leases expire in one batch",
    "raft: something is written while a commit runs",
    "raft: the leadership is not confirmed",
    "raft: the outcome of a call is not known",
    "raft: the outcome of a proposal is not known",
    "raft: two commits in a row fail",
    "world: a client gets no answer",
    "world: a holder goes on in the healed world",
    "world: a lost leader is replaced",
    "world: a member is stopped in order",
    "world: a member loses power",
    "world: a message comes twice",
    "world: a message is lost",
    "world: a primary is cut off",
    "world: a primary is paused",
    "world: a proposal comes in from a former leader",
    "world: a proposal comes in twice",
    "world: a proposal of checkpoints comes in late",
    "world: a proposal of checkpoints is lost",
    "world: held up messages come at once",
    "world: the clocks start shortly before a power of two",
    "world: the leader's proposal is refused",
];

/// What is reached too rarely for a thousand runs to owe it.
pub const RARE_MARKS: &[&str] = &[
    "alone: what has expired before is taken too late",
    "alone: what has expired is revoked before the next promotion",
    "alone: a batch lies too long",
    "alone: a batch of an earlier promotion is taken late",
    "raft: a change of the leader is told late, and another one before",
    "raft: a change of the members has no certain end",
    "raft: a leader hands over",
    "raft: a member cannot go on",
    "raft: a member cannot go on from a snapshot",
    "raft: a member is removed",
    "raft: a member is replaced",
    "raft: a primary gets a snapshot",
    "raft: a snapshot cannot be written",
    "raft: a snapshot is installed on a bad disk",
    "raft: a stop ends a wait",
    "raft: checkpoints are polled and lost",
    "raft: openraft does not start",
    "world: an entry was applied and nobody knew",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The marks in the sources under a folder, but for this file's.
    fn marks_under(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                marks_under(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("marks.rs")
            {
                let text = fs::read_to_string(&path).expect("sources are text");
                let quoted = text.split('"').skip(1).step_by(2);
                let is_mark = |text: &&str| {
                    ["alone: ", "core: ", "raft: ", "world: "]
                        .iter()
                        .any(|of| text.starts_with(of))
                };
                found.extend(quoted.filter(is_mark).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_mark_is_listed_and_stands_somewhere() {
        let mut found = BTreeSet::new();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        marks_under(&here.join("src"), &mut found);
        marks_under(&here.join("../lease-core/src"), &mut found);
        marks_under(&here.join("../lease-raft/src"), &mut found);
        let listed: BTreeSet<_> = MARKS
            .iter()
            .chain(RARE_MARKS)
            .map(|mark| (*mark).to_owned())
            .collect();
        assert_eq!(found, listed);
        assert!(MARKS.len() >= 40);
    }
}
