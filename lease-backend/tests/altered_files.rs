//! Stores with wrong bytes in them open as they were, or not at all, or, where the documentation
//! says so, as they were before the last commit. They never open with anything else.
#![cfg(all(feature = "testing", feature = "redb"))]

use std::fmt;

use lease_backend::testing::{Model, Prng, SimDisk, Workload};
use lease_backend::{IntegrityCheck, RedbOptions, RepairMode};
use lease_core::{Backend, BackendError, LeaseId, LeaseRow, Ttl, WriteBatch};

const HISTORIES: u64 = 15;
const ALTERED_IMAGES: usize = 100;
const COMMITS: usize = 8;
const PAGE: usize = 4096;

/// The bit in redb's header that says which of its two slots has the last commit.
const NEWEST_BYTE: usize = 9;
const NEWEST_BIT: u8 = 1;

#[test]
fn a_closed_file_opens_as_it_was_or_not_at_all() {
    for repair in [RepairMode::Full, RepairMode::Quick] {
        let options = RedbOptions::new().repair(repair);
        let found = alter(options, &|history| &history.closed);
        assert!(found.as_it_was > 100 && found.refused > 100, "{found}");
        assert_eq!(found.one_commit_before, 0, "{found}");
    }
}

/// What a power cut leaves of a commit looks the same as a commit that was damaged later.
#[test]
fn a_file_that_was_not_closed_may_lose_its_last_commit() {
    for check in [IntegrityCheck::EveryOpen, IntegrityCheck::AfterCrash] {
        let options = RedbOptions::new().integrity_check(check);
        let found = alter(options, &|history| &history.open);
        assert!(found.as_it_was > 100 && found.refused > 100, "{found}");
        assert!(found.one_commit_before > 100, "{found}");
    }
}

/// The second sync of a commit says that the first has kept everything. What no checksum is over is
/// the bit that says which of the two newest commits is the last one.
#[test]
fn with_quick_repair_it_loses_nothing() {
    let options = RedbOptions::new().repair(RepairMode::Quick);
    let found = alter(options, &|history| &history.open);
    assert!(found.as_it_was > 100 && found.refused > 100, "{found}");
    assert_eq!(found.one_commit_before, 0, "{found}");

    let history = History::new(options, 0);
    let mut image = history.open.clone();
    image[NEWEST_BYTE] ^= NEWEST_BIT;
    let disk = SimDisk::with_image(image, 0);
    let backend = options.create_with_storage(disk).expect("it opens");
    let found = Model::read(&backend, history.workload.tables());
    assert_eq!(found, Ok(history.before));
}

#[derive(Default)]
struct Found {
    as_it_was: u64,
    one_commit_before: u64,
    refused: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            as_it_was,
            one_commit_before,
            refused,
        } = self;
        write!(
            f,
            "{as_it_was} as it was, {one_commit_before} one commit before, {refused} refused"
        )
    }
}

/// Opens many altered images of many histories.
fn alter(options: RedbOptions, image: &dyn Fn(&History) -> &Vec<u8>) -> Found {
    let mut found = Found::default();
    for seed in 0..HISTORIES {
        let history = History::new(options, seed);
        let mut random = Prng::new(seed);
        for number in 0..ALTERED_IMAGES {
            let altered = altered(image(&history), &mut random);
            let disk = SimDisk::with_image(altered, seed);
            let read = || {
                let backend = options.create_with_storage(disk)?;
                Model::read(&backend, history.workload.tables())
            };
            match read() {
                Ok(model) if model == history.last => found.as_it_was += 1,
                Ok(model) if model == history.before => found.one_commit_before += 1,
                Ok(_) => panic!("other rows: {options:?}, history {seed}, image {number}"),
                Err(BackendError::Damaged(_) | BackendError::Foreign(_)) => found.refused += 1,
                Err(error) => panic!("{error:?}: history {seed}, image {number}"),
            }
        }
    }
    found
}

/// Some commits, and the images that they leave.
struct History {
    workload: Workload,
    before: Model,
    last: Model,
    /// As a process that is killed leaves it.
    open: Vec<u8>,
    closed: Vec<u8>,
}

impl History {
    fn new(options: RedbOptions, seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let backend = options.create_with_storage(disk.clone()).expect("it works");
        let mut workload = Workload::new(seed);
        let (mut before, mut last) = (Model::default(), Model::default());
        let mut commit = |batch: &WriteBatch| {
            backend.commit(batch).expect("it works");
            before = last.clone();
            last.apply(batch);
        };
        commit(&many_leases());
        (0..COMMITS).for_each(|_| commit(&workload.batch(40)));
        let open = disk.image();
        drop(backend);
        Self {
            workload,
            before,
            last,
            open,
            closed: disk.image(),
        }
    }
}

/// More than one page of leases.
fn many_leases() -> WriteBatch {
    let mut batch = WriteBatch::default();
    for number in 1..=500 {
        let id = LeaseId::new(number * 77).expect("it is not zero");
        batch.put_lease(LeaseRow::new(id, Ttl::new(60).expect("it is a TTL")));
    }
    batch
}

/// Flips a bit, or loses, swaps or misplaces a page.
fn altered(image: &[u8], random: &mut Prng) -> Vec<u8> {
    let mut altered = image.to_vec();
    let (one, other) = (page(image, random), page(image, random));
    let page = |start: usize| &image[start..start + PAGE];
    match random.below(5) {
        0 => flip(&mut altered[one..one + PAGE], random),
        // The header is small and matters more than any page.
        1 => flip(&mut altered[..320], random),
        2 => altered[one..one + PAGE].fill(0),
        3 => altered[one..one + PAGE].copy_from_slice(page(other)),
        _ => {
            altered[one..one + PAGE].copy_from_slice(page(other));
            altered[other..other + PAGE].copy_from_slice(page(one));
        }
    }
    altered
}

/// Flips any bit of a page, and in the header any but the one that has a test of its own.
fn flip(bytes: &mut [u8], random: &mut Prng) {
    let position = random.below(bytes.len() as u64) as usize;
    let bit = 1 << random.below(8);
    if (position, bit) != (NEWEST_BYTE, NEWEST_BIT) {
        bytes[position] ^= bit;
    }
}

/// Where a page begins that has something in it.
fn page(image: &[u8], random: &mut Prng) -> usize {
    let start = random.below((image.len() / PAGE) as u64) as usize * PAGE;
    let is_used = image[start..start + PAGE].iter().any(|byte| *byte != 0);
    if is_used { start } else { page(image, random) }
}
