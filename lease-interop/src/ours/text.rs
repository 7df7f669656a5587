use std::time::Duration;

use lease_core::{Checkpoint, Lease, LeaseError, Ttl};

use crate::trace::hex_all;

/// Nanoseconds as milliseconds.
pub(super) fn millis(nanos: i128) -> String {
    if nanos % 1_000_000 == 0 {
        return (nanos / 1_000_000).to_string();
    }
    format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000)
}

/// What remains of a lease; no more than Go's durations can say.
pub(super) fn left(lease: &Lease) -> String {
    let Some(left) = lease.remaining() else {
        return "demoted".to_owned();
    };
    let longest = Duration::from_nanos(i64::MAX as u64);
    millis(left.min(longest).as_nanos() as i128)
}

pub(super) fn lease(lease: &Lease) -> String {
    let checkpointed = lease.checkpointed_remaining();
    let checkpointed = checkpointed.map_or("-".to_owned(), |left| left.get().to_string());
    let keys: Vec<_> = lease.keys().iter().map(|key| key.as_bytes()).collect();
    format!(
        "{} ttl={} left={} checkpointed={checkpointed} keys={}",
        lease.id().get(),
        lease.ttl().get(),
        left(lease),
        hex_all(&keys, ",")
    )
}

pub(super) fn checkpoints(records: &[Checkpoint]) -> String {
    let text = |record: &Checkpoint| {
        let secs = record.remaining.map_or(0, Ttl::get);
        format!("{}={secs}", record.id.get())
    };
    let mut records: Vec<_> = records.iter().map(text).collect();
    records.sort_unstable();
    records.join(",")
}

/// What a client of etcd would see of an error.
pub(super) fn error(error: &LeaseError) -> String {
    match error {
        LeaseError::Checkpointer(source) => source.to_string(),
        other => other.to_string(),
    }
}

pub(super) fn answer<T>(result: Result<T, LeaseError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(failed) => error(&failed),
    }
}
