//! The bytes of a lease row, as etcd's bucket `lease` has them.

#[cfg(any(feature = "fjall", feature = "redb", test))]
use lease_core::BackendError;
use lease_core::{LeaseId, LeaseRow};
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

/// The row under `key`.
#[cfg(any(feature = "fjall", feature = "redb", test))]
pub(crate) fn decode(key: [u8; 8], value: &[u8]) -> Result<LeaseRow, BackendError> {
    let id = i64::from_be_bytes(key);
    let damaged =
        |why: &dyn std::fmt::Display| BackendError::Damaged(format!("lease row {id:016x}: {why}"));
    let lease = leasepb::Lease::decode(value).map_err(|error| damaged(&error))?;
    if lease.id != id {
        return Err(damaged(&format_args!(
            "its value is of lease {:016x}",
            lease.id
        )));
    }
    LeaseRow::try_from(&lease).map_err(|error| damaged(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lease_core::Ttl;

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
        assert_eq!(decode(key(row(1).id), &value), Ok(row(1)));
    }
}
