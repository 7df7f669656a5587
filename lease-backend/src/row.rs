//! The bytes of a lease row, as etcd's bucket `lease` has them.

use lease_core::{BackendError, LeaseId, LeaseRow, RowFault, StrangeRow, Ttl};
use lease_pb::{Message, leasepb};

/// The key of a row: the id as eight bytes, big-endian, two's complement.
pub(crate) const fn key(id: LeaseId) -> [u8; 8] {
    id.get().to_be_bytes()
}

/// Replaces what is in `value` with the encoded row.
pub(crate) fn encode(row: &LeaseRow, value: &mut Vec<u8>) {
    value.clear();
    leasepb::Lease::from(row)
        .encode(value)
        .expect("a vector grows");
}

/// The row under `key`, or `None` if it is of no lease. What a lessor would not have written is told
/// to `strange`.
pub(crate) fn decode(
    key: [u8; 8],
    value: &[u8],
    strange: &mut dyn FnMut(StrangeRow),
) -> Result<Option<LeaseRow>, BackendError> {
    let key = i64::from_be_bytes(key);
    let damaged =
        |why: &dyn std::fmt::Display| BackendError::Damaged(format!("lease row {key:016x}: {why}"));
    let mut lease = leasepb::Lease::decode(value).map_err(|error| damaged(&error))?;
    let mut is_skipped = false;
    mend(key, &mut lease, &mut |fault: RowFault| {
        is_skipped |= fault.is_skipped();
        strange(StrangeRow { key, fault });
    });
    if is_skipped {
        return Ok(None);
    }
    let row = LeaseRow::try_from(&lease).map_err(|error| damaged(&error))?;
    Ok(Some(row))
}

/// Brings the fields of a row into range, as near to what etcd makes of them as a lease can be.
fn mend(key: i64, lease: &mut leasepb::Lease, tell: &mut dyn FnMut(RowFault)) {
    if key == 0 {
        return tell(RowFault::NoLease);
    }
    if lease.id != key {
        return tell(RowFault::OtherId { id: lease.id });
    }
    let secs = lease.ttl;
    lease.ttl = secs.clamp(Ttl::MIN.get(), Ttl::MAX.get());
    if secs < lease.ttl {
        tell(RowFault::TtlTooShort { secs });
    } else if secs > lease.ttl {
        tell(RowFault::TtlTooLong { secs });
    }
    let secs = lease.remaining_ttl;
    lease.remaining_ttl = secs.clamp(0, lease.ttl);
    if secs < 0 {
        tell(RowFault::RemainingNegative { secs });
    } else if secs > lease.ttl {
        let ttl_secs = lease.ttl;
        tell(RowFault::RemainingTooLong { secs, ttl_secs });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64) -> LeaseRow {
        let id = LeaseId::new(number).expect("not zero");
        LeaseRow::new(id, Ttl::new(300).expect("a TTL"))
    }

    fn encoded(row: &LeaseRow) -> Vec<u8> {
        let mut value = vec![1, 2, 3];
        encode(row, &mut value);
        value
    }

    #[test]
    fn a_row_without_extras_is_etcds() {
        assert_eq!(key(row(1).id), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(encoded(&row(1)), [8, 1, 16, 0xac, 2]);

        assert_eq!(key(row(-2).id), [255, 255, 255, 255, 255, 255, 255, 254]);
        let minus_two = [0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        let expected = [&[8], &minus_two[..], &[16, 0xac, 2]].concat();
        assert_eq!(encoded(&row(-2)), expected);

        let checkpointed = LeaseRow {
            remaining: Some(Ttl::new(5).expect("a TTL")),
            ..row(1)
        };
        assert_eq!(encoded(&checkpointed), [8, 1, 16, 0xac, 2, 24, 5]);
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let value = [encoded(&row(1)), vec![0xf8, 0x7f, 1]].concat();
        let decoded = decode(key(row(1).id), &value, &mut |strange| panic!("{strange}"));
        assert_eq!(decoded, Ok(Some(row(1))));
    }

    /// A row of these fields, as it is read and what is told of it.
    fn read(key: i64, id: i64, ttl: i64, remaining: i64) -> (Option<LeaseRow>, Vec<RowFault>) {
        let lease = leasepb::Lease {
            id,
            ttl,
            remaining_ttl: remaining,
            ..leasepb::Lease::default()
        };
        let mut told = Vec::new();
        let mut tell = |strange: StrangeRow| {
            assert_eq!(strange.key, key);
            told.push(strange.fault);
        };
        let read = decode(key.to_be_bytes(), &lease.encode_to_vec(), &mut tell);
        (read.expect("it decodes"), told)
    }

    #[test]
    fn a_row_that_no_lessor_writes_is_mended_or_skipped_and_told() {
        let lease = |ttl: i64, remaining: i64| {
            let secs = |secs| Ttl::new(secs).expect("in range");
            Some(LeaseRow {
                remaining: (remaining > 0).then(|| secs(remaining)),
                ..LeaseRow::new(LeaseId::new(7).expect("not zero"), secs(ttl))
            })
        };
        let too_long = |secs, ttl_secs| RowFault::RemainingTooLong { secs, ttl_secs };
        let short = |secs| RowFault::TtlTooShort { secs };
        assert_eq!(read(7, 7, 60, 60), (lease(60, 60), vec![]));
        assert_eq!(read(7, 7, 60, 61), (lease(60, 60), vec![too_long(61, 60)]));
        assert_eq!(
            read(7, 7, 60, i64::MAX),
            (lease(60, 60), vec![too_long(i64::MAX, 60)])
        );
        let negative = RowFault::RemainingNegative { secs: i64::MIN };
        assert_eq!(read(7, 7, 60, i64::MIN), (lease(60, 0), vec![negative]));
        assert_eq!(read(7, 7, 0, 0), (lease(1, 0), vec![short(0)]));
        assert_eq!(
            read(7, 7, -5, 9),
            (lease(1, 1), vec![short(-5), too_long(9, 1)])
        );
        let long = RowFault::TtlTooLong { secs: i64::MAX };
        assert_eq!(
            read(7, 7, i64::MAX, 0),
            (lease(Ttl::MAX.get(), 0), vec![long])
        );
        assert_eq!(read(0, 0, 60, 0), (None, vec![RowFault::NoLease]));
        assert_eq!(read(7, 8, 60, 0), (None, vec![RowFault::OtherId { id: 8 }]));
        let garbage = decode([0; 8], &[0xff], &mut |strange| panic!("{strange}"));
        assert!(matches!(garbage, Err(BackendError::Damaged(_))));
    }
}
