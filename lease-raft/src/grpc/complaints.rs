use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pause between two lines in the log.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// What others do wrong, of which not each time is told.
#[derive(Default, Debug)]
pub(super) struct Complaints(Mutex<Told>);

#[derive(Default, Debug)]
struct Told {
    last: Option<Instant>,
    /// How many were not, since then.
    left_out: u64,
}

impl Complaints {
    /// Whether one is told now: then how many others were left out before it.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| now < last + COMPLAINT_PAUSE) {
            told.left_out += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_each_one_is_told() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.admit(begun), Some(0));
        for _ in 0..3 {
            assert_eq!(complaints.admit(begun + COMPLAINT_PAUSE / 2), None);
        }
        assert_eq!(complaints.admit(begun + COMPLAINT_PAUSE), Some(3));
        assert_eq!(complaints.admit(begun + 3 * COMPLAINT_PAUSE), Some(0));
    }
}
