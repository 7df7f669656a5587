//! What the memory store has beyond the suite.

use lease_backend::MemoryBackend;
use lease_core::{Backend, Incarnation, LeaseId, LeaseRow, Ttl, WriteBatch};

#[test]
fn a_dump_has_the_order_and_the_bytes_of_etcds_bucket() {
    let backend = MemoryBackend::new();
    let mut batch = WriteBatch::default();
    for number in [-1, 256, 1] {
        batch.put_lease(row(number));
    }
    backend.commit(&batch).expect("memory works");
    let minus_one = [&[8], &[0xff; 9][..], &[1, 16, 60]].concat();
    assert_eq!(
        backend.dump(),
        [
            (1_i64.to_be_bytes(), vec![8, 1, 16, 60]),
            (256_i64.to_be_bytes(), vec![8, 0x80, 2, 16, 60]),
            ((-1_i64).to_be_bytes(), minus_one),
        ]
    );
}

#[test]
fn what_etcd_does_not_know_rides_in_fields_that_it_skips() {
    let backend = MemoryBackend::new();
    let mut batch = WriteBatch::default();
    batch.put_lease(LeaseRow {
        incarnation: Incarnation::supplied(5),
        checkpoint_generation: 2,
        ..row(1)
    });
    backend.commit(&batch).expect("memory works");
    let (_, value) = &backend.dump()[0];
    // Tags 1001 and 1002, both variable-length integers.
    assert_eq!(value, &[8, 1, 16, 60, 0xc8, 0x3e, 5, 0xd0, 0x3e, 2]);
}

#[cfg(feature = "testing")]
#[test]
fn the_commit_that_was_named_fails_and_leaves_nothing() {
    use lease_core::BackendError;

    let backend = MemoryBackend::new();
    backend.clone().fail_after(2);
    for number in 1..=3 {
        let mut batch = WriteBatch::default();
        batch.put_lease(row(number));
        let result = backend.commit(&batch);
        assert_eq!(
            matches!(result, Err(BackendError::Io(_))),
            number == 2,
            "commit {number} gave {result:?}"
        );
    }
    let mut found = Vec::new();
    backend
        .load(&mut |row| found.push(row.id.get()))
        .expect("memory works");
    assert_eq!(found, [1, 3]);
    assert_eq!(backend.lease_count(), 2);
}

fn row(number: i64) -> LeaseRow {
    let id = LeaseId::new(number).expect("not zero");
    LeaseRow::new(id, Ttl::new(60).expect("a TTL"))
}
