/// A difference between etcd's lessor and ours that is deliberate.
///
/// While its shim is on, etcd's half of a trace does this one thing as ours does; the shim itself is
/// in peers/etcd, under this name.
#[derive(Debug)]
pub(crate) struct Shim {
    /// Also the anchor of its row in docs/etcd-parity.md.
    pub(crate) name: &'static str,
    /// What it does to etcd's half.
    pub(crate) about: &'static str,
}

pub(crate) const SHIMS: &[Shim] = &[
    shim(
        "bounded-wait",
        "a renewal stops waiting for the end of an expired lease after 5 s",
    ),
    shim("bytes", "keys are listed in their order"),
    shim("clamp", "stored TTLs below the minimum stay as they are"),
    shim(
        "clock",
        "expiries are whole milliseconds, rounded up, and later by the clock's lag",
    ),
    shim("due", "the loop turns when something is due"),
    shim("durability", "every command is committed"),
    shim("epochs", "late promotions and demotions are ignored"),
    shim(
        "fencing",
        "revokes and checkpoints of another grant or an old epoch are dropped",
    ),
    shim("fields", "rows have the checkpoint generation"),
    shim("minimum", "a minimum TTL below 1 is taken as 1"),
    shim(
        "moves",
        "an item is detached from its owner before it is attached elsewhere",
    ),
    shim("never-shortens", "a renewal leaves a later expiry alone"),
    shim(
        "no-checkpointer",
        "without a checkpointer there is one that applies at once",
    ),
    shim(
        "no-deleter",
        "without a range deleter there is one that deletes nothing",
    ),
    shim("none", "id 0 is not found, whatever is asked"),
    shim(
        "overdue",
        "nothing remains of an expired lease, and not less",
    ),
    shim("overflow", "a promotion's extension and a TTL add up"),
    shim(
        "persist",
        "the cluster is 3.5 when checkpoints are not to be stored",
    ),
    shim(
        "promoted-again",
        "a primary is demoted before it is promoted",
    ),
    shim(
        "recovery",
        "a recovery demotes first, drops what the host has not taken, and keeps the range deleter if it gets none",
    ),
    shim(
        "remaining",
        "checkpoints that no lease can have are refused, or brought down to the TTL",
    ),
    shim(
        "reset",
        "a checkpoint that is on its way is reset by a renewal, and void after it",
    ),
    shim(
        "retry",
        "the retry interval runs from when the host takes a batch",
    ),
    shim("revoked-keys", "the range deleter detaches what it deletes"),
    shim(
        "schedule",
        "each long lease has one entry in the checkpoint schedule",
    ),
    shim(
        "settings",
        "there are limits for leases and for the items of a lease",
    ),
    shim(
        "snapshots",
        "what was looked up stays as it was, and ties are broken by id",
    ),
    shim("spread", "a promotion of 1,000 leases delays none"),
    shim(
        "stop",
        "a stopped lessor refuses commands, and may be stopped again",
    ),
    shim(
        "strange-rows",
        "rows that our lessor would not write are mended or left out",
    ),
    shim("zero-intervals", "an interval of 0 is one of a millisecond"),
];

const fn shim(name: &'static str, about: &'static str) -> Shim {
    Shim { name, about }
}

/// The names of all shims but these.
pub(crate) fn all_without(off: &[String]) -> Vec<&'static str> {
    let is_on = |shim: &&Shim| off.iter().all(|name| name != shim.name);
    SHIMS.iter().filter(is_on).map(|shim| shim.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shim_is_on_the_page_and_has_its_row() {
        let page = include_str!("../../docs/etcd-parity.md");
        for Shim { name, about } in SHIMS {
            let anchor = format!("<a id=\"{name}\"></a>");
            assert!(page.contains(&anchor), "{name} has no row");
            let line = format!("\n| [{name}](#{name}) | {about} |\n");
            assert!(page.contains(&line), "the page does not list{line}");
        }
    }

    #[test]
    fn the_peer_has_the_same_shims() {
        let peer = include_str!("../peers/etcd/shims.go");
        let names = peer.lines().filter_map(|line| line.split_once(" shim = "));
        let mut names: Vec<_> = names.map(|(_, name)| name.trim_matches('"')).collect();
        names.sort_unstable();
        let ours: Vec<_> = SHIMS.iter().map(|shim| shim.name).collect();
        assert_eq!(names, ours);
    }
}
