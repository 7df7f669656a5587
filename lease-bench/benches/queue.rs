//! Expiry queues beside each other: what it costs to enter a key, to move it, as a renewal does, and
//! to take all keys out in the order of their times.
//!
//! `--features peers` adds tokio-util's `DelayQueue`.

use std::collections::BTreeSet;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use lease_bench::shuffled_ids;
use lease_queue::{
    BucketWheel, ExpiryQueue, LeaseExpiredNotifier, Position, Timestamp, TimingWheel,
};

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];

/// What is known of each key; all queues find it in the same way.
type Map<V> = HashMap<u64, V, FixedState>;

/// What every queue can do. Times are milliseconds.
trait Queue: Default {
    const NAME: &'static str;

    fn enter(&mut self, key: u64, at_ms: u64);

    fn renew(&mut self, key: u64, at_ms: u64);

    /// Takes out all that is due and returns how much that was.
    fn expire(&mut self, now_ms: u64) -> usize;
}

/// One of lease-queue's, by its trait.
macro_rules! expiry_queue {
    ($queue:ident, $name:literal) => {
        impl Queue for $queue<u64> {
            const NAME: &'static str = $name;

            fn enter(&mut self, key: u64, at_ms: u64) {
                self.register_or_update(key, Timestamp::from_millis(at_ms));
            }

            fn renew(&mut self, key: u64, at_ms: u64) {
                self.enter(key, at_ms);
            }

            fn expire(&mut self, now_ms: u64) -> usize {
                let now = Timestamp::from_millis(now_ms);
                std::iter::from_fn(|| self.pop_due(now)).count()
            }
        }
    };
}

expiry_queue!(LeaseExpiredNotifier, "heap");
expiry_queue!(TimingWheel, "wheel");

/// A bucket wheel as lease-core uses it: a renewal stores the time and nothing else.
#[derive(Default)]
struct LazyWheel {
    wheel: BucketWheel<u64>,
    records: Map<(u64, Position)>,
    popped: Vec<u64>,
}

impl Queue for LazyWheel {
    const NAME: &'static str = "lazy wheel";

    fn enter(&mut self, key: u64, at_ms: u64) {
        let position = self.wheel.insert(key, at_ms);
        self.records.insert(key, (at_ms, position));
    }

    fn renew(&mut self, key: u64, at_ms: u64) {
        self.records.get_mut(&key).expect("it was entered").0 = at_ms;
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        let mut expired = 0;
        while let Some(slot) = self.wheel.pop_chunk(now_ms, &mut self.popped) {
            for key in self.popped.drain(..) {
                let record = self.records.get_mut(&key).expect("it was entered");
                if slot.is_exact() && record.0 <= slot.tick {
                    self.records.remove(&key);
                    expired += 1;
                } else {
                    record.1 = self.wheel.insert(key, record.0);
                }
            }
        }
        expired
    }
}

/// The plain way: a sorted set of times and keys, and a map from key to time.
#[derive(Default)]
struct SortedSet {
    order: BTreeSet<(u64, u64)>,
    times: Map<u64>,
}

impl Queue for SortedSet {
    const NAME: &'static str = "BTreeSet";

    fn enter(&mut self, key: u64, at_ms: u64) {
        if let Some(old) = self.times.insert(key, at_ms) {
            self.order.remove(&(old, key));
        }
        self.order.insert((at_ms, key));
    }

    fn renew(&mut self, key: u64, at_ms: u64) {
        self.enter(key, at_ms);
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        let mut expired = 0;
        while let Some((at_ms, key)) = self.order.pop_first() {
            if at_ms > now_ms {
                self.order.insert((at_ms, key));
                break;
            }
            self.times.remove(&key);
            expired += 1;
        }
        expired
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::unconstrained;
    use tokio::time::{Instant, advance};
    use tokio_util::time::{DelayQueue, delay_queue::Key};

    use super::{Map, Queue};

    /// tokio-util's wheel in a runtime whose time stands still until it is moved.
    pub(super) struct Delayed {
        runtime: Runtime,
        start: Instant,
        queue: DelayQueue<u64>,
        keys: Map<Key>,
    }

    impl Default for Delayed {
        fn default() -> Self {
            let builder = &mut Builder::new_current_thread();
            let runtime = builder.enable_time().start_paused(true).build();
            let runtime = runtime.expect("a runtime starts");
            let start = runtime.block_on(async { Instant::now() });
            Self {
                runtime,
                start,
                queue: DelayQueue::new(),
                keys: Map::default(),
            }
        }
    }

    impl Queue for Delayed {
        const NAME: &'static str = "DelayQueue";

        fn enter(&mut self, key: u64, at_ms: u64) {
            let _guard = self.runtime.enter();
            let at = self.start + Duration::from_millis(at_ms);
            self.keys.insert(key, self.queue.insert_at(key, at));
        }

        fn renew(&mut self, key: u64, at_ms: u64) {
            let _guard = self.runtime.enter();
            let at = self.start + Duration::from_millis(at_ms);
            self.queue.reset_at(&self.keys[&key], at);
        }

        fn expire(&mut self, now_ms: u64) -> usize {
            let Self {
                runtime,
                start,
                queue,
                ..
            } = self;
            // Without a bound on how much one turn of the runtime may take out.
            runtime.block_on(unconstrained(async {
                let now = *start + Duration::from_millis(now_ms);
                advance(now.saturating_duration_since(Instant::now())).await;
                let mut expired = 0;
                poll_fn(|context| {
                    while let Poll::Ready(Some(_)) = queue.poll_expired(context) {
                        expired += 1;
                    }
                    Poll::Ready(expired)
                })
                .await
            }))
        }
    }
}

/// Keys in random order, each with a time in a thousand seconds.
fn keys(n: usize) -> Vec<(u64, u64)> {
    let ids = shuffled_ids(n).into_iter().enumerate();
    ids.map(|(turn, id)| (id.get() as u64, 60_000 + turn as u64 % 1_000_000))
        .collect()
}

fn filled<Q: Queue>(keys: &[(u64, u64)]) -> Q {
    let mut queue = Q::default();
    for (key, at_ms) in keys {
        queue.enter(*key, *at_ms);
    }
    queue
}

fn bench<Q: Queue>(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    for n in SIZES {
        let keys = keys(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(format!("{} enter", Q::NAME), n), |b| {
            b.iter_batched(|| (), |()| filled::<Q>(&keys), BatchSize::PerIteration);
        });
        group.bench_function(BenchmarkId::new(format!("{} renew", Q::NAME), n), |b| {
            let mut queue: Q = filled(&keys);
            let mut later = 0;
            b.iter(|| {
                later += 7;
                for (key, at_ms) in &keys[n / 2..] {
                    queue.renew(*key, at_ms + later);
                }
                for (key, at_ms) in &keys[..n / 2] {
                    queue.renew(*key, at_ms + later);
                }
            });
        });
        group.bench_function(BenchmarkId::new(format!("{} expire", Q::NAME), n), |b| {
            b.iter_batched(
                || filled::<Q>(&keys),
                |mut queue| {
                    let seconds = (60_000..=1_061_000).step_by(1_000);
                    let expired: usize = seconds.map(|now_ms| queue.expire(now_ms)).sum();
                    assert_eq!(expired, n);
                    queue
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn queues(c: &mut Criterion) {
    bench::<LeaseExpiredNotifier<u64>>(c);
    bench::<TimingWheel<u64>>(c);
    bench::<LazyWheel>(c);
    bench::<SortedSet>(c);
    #[cfg(feature = "peers")]
    bench::<peers::Delayed>(c);
}

criterion_group!(benches, queues);
criterion_main!(benches);
