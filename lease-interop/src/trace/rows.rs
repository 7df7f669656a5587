use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::Row;

/// Rows of a store, many of which no lessor of ours would write.
pub(super) fn draw(rng: &mut impl Rng, ids: &[i64]) -> Vec<Row> {
    let count = rng.random_range(1..5);
    let mut rows: Vec<Row> = (0..count).map(|_| row(rng, ids)).collect();
    rows.sort();
    rows.dedup_by_key(|(key, _)| *key);
    rows
}

fn row(rng: &mut impl Rng, ids: &[i64]) -> Row {
    let key = if rng.random_bool(0.1) {
        0
    } else {
        pick(rng, ids)
    };
    let id = if rng.random_bool(0.1) {
        pick(rng, ids)
    } else {
        key
    };
    let ttl = match rng.random_range(0..4) {
        0 => pick(
            rng,
            &[0, -1, i64::MIN, i64::MAX, 9_000_000_000, 9_000_000_001],
        ),
        _ => rng.random_range(1..500),
    };
    let remaining = match rng.random_range(0..4) {
        0 => pick(rng, &[-1, i64::MIN, i64::MAX, 9_000_000_000, 9_000_000_001]),
        1 => rng.random_range(1..500),
        _ => 0,
    };
    let mut value = Vec::new();
    for (number, field) in [(1, id), (2, ttl), (3, remaining)] {
        put(&mut value, number, field as u64);
    }
    if rng.random_bool(0.3) {
        // Of ours alone.
        put(&mut value, 1002, rng.random_range(1..1_000));
    }
    (key.to_be_bytes(), value)
}

fn pick(rng: &mut impl Rng, from: &[i64]) -> i64 {
    *from.choose(rng).expect("there is something to choose")
}

/// A field of a message, which is left out if it is zero.
fn put(message: &mut Vec<u8>, number: u64, value: u64) {
    if value > 0 {
        varint(message, number << 3);
        varint(message, value);
    }
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
