/// What a thousand runs must have reached, or their passing means nothing.
///
/// Marks that begin with `core:` stand in the production code, those with `host:` in the simulated
/// host, those with `world:` in its surroundings, those with `alone:` in the host of a lessor that
/// stands alone.
pub const MARKS: &[&str] = &[
    "alone: a client keeps its lease alive",
    "alone: a disk is full",
    "alone: a host attaches its items again",
    "alone: a host brings checkpoints into the state",
    "alone: a lease is revoked by the lessor",
    "alone: a lessor is demoted and promoted",
    "alone: a lessor reads its store again",
    "alone: a lessor starts again",
    "alone: a renewal waits for its reset, if it needs one",
    "alone: a row is written with a command",
    "alone: a wait ends with its lease",
    "alone: leases are listed page by page",
    "alone: many leases are renewed at once",
    "alone: the power goes in the middle of an operation",
    "alone: the lessor draws an id",
    "alone: very many items are attached at once",
    "core: a batch that failed is kept",
    "core: a checkpoint is stale",
    "core: a demotion comes too late",
    "core: a due checkpoint says nothing new",
    "core: a failed attempt is retried sooner",
    "core: a failed checkpoint is scheduled again",
    "core: a failure is reported too late to matter",
    "core: a lease is delivered again",
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
    "core: the revoke rate throttles an expiry",
    "core: the promotion tags are used up",
    "host: a client asks a member that is no primary",
    "host: a clock goes back",
    "host: a command inside of another one is refused",
    "host: a command is refused",
    "host: a demotion ends a wait",
    "host: a forwarded renewal is acknowledged",
    "host: a forwarded renewal takes too long",
    "host: a forwarded request finds no lease",
    "host: a forwarded request gets no answer",
    "host: a forwarded request is given up",
    "host: a forwarded request meets a member that has not caught up",
    "host: a forwarded request meets no primary",
    "host: a forwarded request waits for the log",
    "host: a forwarded time to live is told",
    "host: a lease is checkpointed",
    "host: a lease whose time is up is renewed while expiry is suspended",
    "host: a lease is renewed while a port is busy",
    "host: a lease is renewed while its revoke is written",
    "host: a loss of power takes what was not written",
    "host: a member has missed entries",
    "host: a member is held up",
    "host: a member recovers from its disk",
    "host: a member that forwards becomes the primary",
    "host: a member with leases is promoted",
    "host: a primary gets a snapshot",
    "host: a primary is demoted",
    "host: a primary is demoted while a port is busy",
    "host: a primary steps down",
    "host: a renewal is not confirmed",
    "host: a renewal resets a checkpoint",
    "host: a request is forwarded to a member that is no primary",
    "host: a request is forwarded to a primary that leads no more",
    "host: a revoke ends a wait",
    "host: a snapshot is installed",
    "host: a start finds a bad disk",
    "host: a wait reaches its deadline",
    "host: a wake-up moves",
    "host: an answer comes that nobody waits for",
    "host: an answer for another lease is refused",
    "host: an attempt to revoke is known to have failed",
    "host: an entry cannot be applied yet",
    "host: expired leases are not taken",
    "host: expiry is suspended",
    "host: several leases expire in one batch",
    "host: something is written while a commit runs",
    "host: two commits in a row fail",
    "raft: a call has not happened, and will not",
    "raft: a call is dropped half-way",
    "raft: a clock goes back",
    "raft: a leader hears of no quorum",
    "raft: a leader steps down",
    "raft: a lease is granted under a new id",
    "raft: a loss of power takes what was not written",
    "raft: a member has missed entries",
    "raft: a member is held up",
    "raft: a member loses its disk",
    "raft: a member recovers from its disk",
    "raft: a member with leases is promoted",
    "raft: a primary is demoted",
    "raft: a proposal is refused",
    "raft: a renewal resets a checkpoint",
    "raft: a snapshot is cut off",
    "raft: a snapshot is damaged",
    "raft: a snapshot is installed",
    "raft: a snapshot is older than the state",
    "raft: a start finds a bad disk",
    "raft: all members lose power at once",
    "raft: an answer comes that nobody waits for",
    "raft: an attempt to revoke is known to have failed",
    "raft: an entry cannot be applied yet",
    "raft: an old snapshot is sent",
    "raft: another member does not answer",
    "raft: leases are renewed in one call",
    "raft: several leases expire in one batch",
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
    "world: a proposal of checkpoints is lost",
    "world: held up messages come at once",
    "world: the clocks start shortly before a power of two",
    "world: the leader's proposal is refused",
];

/// What is reached too rarely for a thousand runs to owe it.
pub const RARE_MARKS: &[&str] = &[
    "raft: openraft does not start",
    "raft: a member is replaced",
    "raft: a member is removed",
    "raft: a change of the members has no certain end",
    "raft: a leader hands over",
    "host: a batch of an ended promotion is taken",
    "host: a member is promoted while a port is busy",
    "host: a stop ends a wait",
    "host: checkpoints are polled while a port is busy",
    "raft: a member cannot go on",
    "raft: a member cannot go on from a snapshot",
    "raft: a primary gets a snapshot",
    "raft: a snapshot cannot be written",
    "raft: a snapshot is installed on a bad disk",
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
                    ["alone: ", "core: ", "host: ", "raft: ", "world: "]
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
