use alloc::vec::Vec;

use super::{
    pool::{Link, PAGE_LEN},
    *,
};

/// Pops everything due at `now`, where the owner's true ticks are the keys themselves.
fn drain(wheel: &mut BucketWheel<u64>, now: u64) -> Vec<u64> {
    let mut due = Vec::new();
    while let Some(popped) = wheel.pop(now) {
        if popped.slot.is_exact() {
            due.push(popped.key);
        } else {
            wheel.insert(popped.key, popped.key);
        }
        wheel.check_invariants();
    }
    due
}

#[test]
fn keys_of_every_level_come_out_in_order() {
    let mut wheel = BucketWheel::new();
    let mut ticks: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
    ticks.push(u64::MAX);
    for &tick in &ticks {
        wheel.insert(tick, tick);
    }
    ticks.sort_unstable();
    assert_eq!(drain(&mut wheel, u64::MAX), ticks);
    assert_eq!(wheel.elapsed(), u64::MAX);
}

#[test]
fn nothing_comes_out_before_its_slot_starts() {
    let mut wheel = BucketWheel::new();
    wheel.insert(2_700_u64, 2_700);
    assert_eq!(wheel.next_tick(), Some(2_048), "the start of the slot");
    assert_eq!(wheel.pop(2_047), None);
    assert_eq!(drain(&mut wheel, 2_048), []);
    assert_eq!(wheel.next_tick(), Some(2_700), "exact on level 0");
    assert_eq!(drain(&mut wheel, 2_699), []);
    assert_eq!(drain(&mut wheel, 2_700), [2_700]);
    assert_eq!(wheel.next_tick(), None);
}

#[test]
fn an_idle_wheel_moves_on_and_never_back() {
    let mut wheel = BucketWheel::new();
    wheel.insert(1 << 20, 1 << 20);
    assert_eq!(wheel.pop(1_000), None);
    assert_eq!(wheel.elapsed(), 1_000);
    assert_eq!(wheel.pop(10), None);
    assert_eq!(wheel.elapsed(), 1_000);
    wheel.check_invariants();
    assert_eq!(drain(&mut wheel, 1 << 20), [1 << 20]);
}

#[test]
fn the_past_counts_as_the_current_tick() {
    let mut wheel = BucketWheel::starting_at(5_000);
    wheel.insert(1, 1);
    assert_eq!(wheel.next_tick(), Some(5_000));
    assert_eq!(wheel.pop(4_999), None, "the clock went back");
    assert_eq!(drain(&mut wheel, 5_000), [1]);
}

#[test]
fn a_cascade_can_stop_and_go_on_between_any_two_keys() {
    let mut wheel = BucketWheel::new();
    for key in 1024..2048 {
        wheel.insert(key, key);
    }
    let mut due = Vec::new();
    for step in 0.. {
        if step == 100 {
            // In the middle of the cascade, the new key joins the ticks that are sorted already.
            wheel.insert(3, 3);
            wheel.check_invariants();
        }
        let Some(popped) = wheel.pop(2047) else { break };
        if popped.slot.is_exact() {
            due.push(popped.key);
        } else {
            assert!(due.is_empty(), "nothing is due while its slot is unsorted");
            wheel.insert(popped.key, popped.key);
        }
    }
    due[..2].sort_unstable();
    let expected: Vec<u64> = [3].into_iter().chain(1024..2048).collect();
    assert_eq!(due, expected);
}

#[test]
fn removal_moves_the_newest_key_of_the_slot() {
    let mut wheel = BucketWheel::new();
    let positions: Vec<Position> = (0..200).map(|key| wheel.insert(key, 9)).collect();
    let removed = wheel.remove(positions[5]).expect("it is there");
    assert_eq!((removed.key, removed.moved), (5, Some(199)));
    assert_eq!(wheel.key_at(positions[5]), Some(199));
    assert_eq!(wheel.remove(positions[199]), None, "it has moved away");
    let removed = wheel.remove(positions[198]).expect("it is there");
    assert_eq!((removed.key, removed.moved), (198, None));
    wheel.check_invariants();
    assert_eq!(wheel.len(), 198);
}

#[test]
fn positions_that_never_were_find_nothing() {
    let mut wheel = BucketWheel::new();
    assert_eq!(wheel.remove(Position::NONE), None);
    wheel.insert('a', 1);
    for bits in [1, 63, 64, 1 << 20, Position::NONE.to_bits()] {
        assert_eq!(wheel.remove(Position::from_bits(bits)), None);
    }
    for _ in 1..CHUNK_LEN + 2 {
        wheel.insert('a', 1);
    }
    let behind_a_full_chunk = Position::from_bits(63);
    assert_eq!(wheel.key_at(behind_a_full_chunk), None);
    assert_eq!(wheel.remove(behind_a_full_chunk), None);
    assert_eq!(wheel.len(), CHUNK_LEN + 2);
}

#[test]
fn a_chunk_comes_out_at_once() {
    let mut wheel = BucketWheel::new();
    for key in 0..100 {
        wheel.insert(key, 4);
    }
    wheel.insert(100, 5);
    let mut keys = Vec::new();
    let mut sizes = Vec::new();
    while let Some(slot) = wheel.pop_chunk(5, &mut keys) {
        sizes.push((slot.tick, keys.len()));
        wheel.check_invariants();
    }
    assert_eq!(sizes, [(4, 37), (4, 100), (5, 101)]);
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..=100));
    assert_eq!(wheel.pop_chunk(u64::MAX, &mut Vec::new()), None);
}

#[test]
fn a_million_keys_cost_less_than_8_6_bytes_each_and_go_back() {
    const KEYS: u64 = 1_000_000;
    let minutes = 60_000;
    let mut wheel = BucketWheel::new();
    for key in 0..KEYS {
        wheel.insert(key, key.wrapping_mul(0x9e37_79b9_7f4a_7c15) % minutes);
    }
    let per_key = memory_bytes(&wheel) as f64 / KEYS as f64;
    assert!(per_key < 8.6, "{per_key} bytes a key");
    while wheel.pop_chunk(u64::MAX, &mut Vec::new()).is_some() {}
    wheel.check_invariants();
    assert_eq!(wheel.pool.resident_pages(), 1, "memory follows the content");
}

#[test]
fn a_retired_wheel_is_freed_in_steps() {
    let mut wheel = BucketWheel::new();
    for key in 0..(PAGE_LEN * CHUNK_LEN * 4 + 1) as u64 {
        wheel.insert(key, 0);
    }
    let mut retired = wheel.retire();
    assert!(!retired.release_some(2));
    assert!(!retired.release_some(2));
    assert!(retired.release_some(2));
    assert!(retired.release_some(0), "nothing is left");
    assert!(BucketWheel::<u64>::new().retire().release_some(0));
}

#[test]
fn clear_keeps_the_tick() {
    let mut wheel = BucketWheel::starting_at(77);
    let position = wheel.insert(1, 1_000);
    assert!(!wheel.is_empty());
    wheel.clear();
    assert!(wheel.is_empty());
    assert_eq!((wheel.len(), wheel.elapsed()), (0, 77));
    assert_eq!(wheel.pop(u64::MAX), None);
    assert_eq!(wheel.key_at(position), None);
    wheel.check_invariants();
}

/// A wheel with 100 keys in a slot of level 0 and one key in the first slot of level 1.
fn wheel_of_two_levels() -> BucketWheel<u64> {
    let mut wheel = BucketWheel::new();
    for key in 0..100 {
        wheel.insert(key, 5);
    }
    wheel.insert(1_300, 1_300);
    wheel.check_invariants();
    wheel
}

#[test]
#[should_panic(expected = "no slot lies in the past")]
fn the_check_sees_a_slot_that_was_passed_by() {
    let mut wheel = wheel_of_two_levels();
    wheel.elapsed = 6;
    wheel.check_invariants();
}

#[test]
#[should_panic(expected = "the open slot is current")]
fn the_check_sees_an_open_slot_that_has_not_begun() {
    let mut wheel = wheel_of_two_levels();
    wheel.open = Some(slot_of(0, 1_300));
    wheel.check_invariants();
}

#[test]
#[should_panic(expected = "only the open slot is unsorted")]
fn the_check_sees_a_slot_that_was_not_sorted() {
    let mut wheel = BucketWheel::new();
    wheel.insert(1_300_u64, 1_300);
    wheel.elapsed = 1_024;
    wheel.check_invariants();
}

#[test]
#[should_panic(expected = "every key is in one slot")]
fn the_check_sees_a_key_that_is_not_counted() {
    let mut wheel = wheel_of_two_levels();
    wheel.len -= 1;
    wheel.check_invariants();
}

#[test]
#[should_panic(expected = "no chunk is lost")]
fn the_check_sees_a_chunk_of_no_slot() {
    let mut wheel = wheel_of_two_levels();
    wheel.pool.take(slot_of(0, 9), NO_CHUNK, 9);
    wheel.check_invariants();
}

#[test]
#[should_panic(expected = "a chunk belongs to its chain")]
fn the_check_sees_a_chain_that_leads_into_another_slot() {
    let mut wheel = wheel_of_two_levels();
    wheel.slots.set(slot_of(0, 1_300), Position::new(0, 0));
    wheel.check_invariants();
}

fn memory_bytes<K>(wheel: &BucketWheel<K>) -> usize {
    let page = PAGE_LEN * (size_of::<Link>() + CHUNK_LEN * size_of::<K>());
    let table = arithmetic::LEVELS * arithmetic::SLOTS * size_of::<Position>();
    wheel.pool.resident_pages() * page + table + size_of_val(wheel)
}
