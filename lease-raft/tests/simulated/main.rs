//! Members on openraft in virtual time: what a seed does is the same each time.
#![cfg(madsim)]

mod host;
mod network;
mod story;
mod trace;
mod world;

use std::collections::BTreeSet;

use crate::trace::Trace;

/// Runs what a seed does, in a thread of its own, because the standard library draws once for each thread.
fn run(seed: u64) -> Trace {
    #[expect(clippy::disallowed_methods, reason = "nothing of it is shared")]
    let running = std::thread::spawn(move || {
        let config = madsim::Config::default();
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, config);
        runtime.block_on(story::tell(seed))
    });
    running.join().expect("it does not panic")
}

#[test]
fn a_seed_does_the_same_each_time_and_another_one_something_else() {
    let mut hashes = BTreeSet::new();
    for seed in 0..SEEDS {
        let (first, second) = (run(seed), run(seed));
        if let Some(difference) = first.difference(&second) {
            panic!("seed {seed}: {difference}");
        }
        assert!(first.len() > 1000, "{} lines", first.len());
        hashes.insert(first.hash());
    }
    assert_eq!(hashes.len() as u64, SEEDS);
    // The same in each process, so that two of them can be compared.
    let all = hashes.iter().fold(0, |all, hash| all ^ hash);
    println!("hash of all {all:016x}");
}

/// Each is some tenth of a second.
const SEEDS: u64 = 40;
