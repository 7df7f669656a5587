use std::time::{Duration, Instant};

/// Times operations at one number of leases and prints what it has measured.
pub(crate) struct Stopwatch {
    pub(crate) n: usize,
}

impl Stopwatch {
    pub(crate) const fn new(n: usize) -> Self {
        Self { n }
    }

    /// How often short work over all leases is timed: long enough at every size that a machine which
    /// stood still for a moment does not decide.
    pub(crate) fn passes(&self) -> usize {
        (300_000 / self.n).clamp(3, 30)
    }

    /// Times work that is `count` operations.
    pub(crate) fn time<R>(&self, op: &str, count: usize, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.note(op, start.elapsed(), count);
        result
    }

    pub(crate) fn note(&self, op: &str, span: Duration, count: usize) {
        self.print(op, span.as_nanos() as f64 / count as f64);
    }

    pub(crate) fn print(&self, op: &str, ns: f64) {
        println!("{{\"op\":\"{op}\",\"n\":{},\"ns\":{ns:.1}}}", self.n);
    }
}

/// Begins a list elsewhere: random still, and not in the order in which memory was filled.
pub(crate) fn rotated<T: Clone>(list: &[T], by: usize) -> Vec<T> {
    let (head, tail) = list.split_at(by);
    [tail, head].concat()
}
