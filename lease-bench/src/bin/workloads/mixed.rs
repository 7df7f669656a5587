use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lease_backend::RedbBackend;
use lease_bench::{lessor_as_etcds, shuffled_ids};
use lease_core::{BackendLessor, LeaseId, LeaseItem, Lessor};

use crate::lessor::{TTL, first_id};
use crate::stopwatch::Stopwatch;

const THREADS: usize = 8;

/// What a thread does, and how often of a hundred times.
const MIX: [(&str, u64); 4] = [("grant", 10), ("attach", 10), ("renew", 60), ("lookup", 20)];

/// Nanoseconds of each operation, by kind.
type Latencies = [Vec<u64>; MIX.len()];

/// Eight threads that grant, attach, renew and look up, all mixed. Of each kind the time is noted that
/// passes between two of its ends, and which latency one in a thousand exceeds.
pub(crate) fn run(watch: &Stopwatch) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leases.redb");
    let lessor = lessor_as_etcds(Arc::new(RedbBackend::open(&path)?))?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let ids = shuffled_ids(watch.n);
    for id in &ids {
        lessor.grant(*id, TTL)?;
    }
    lessor.flush()?;
    let next_id = AtomicI64::new(first_id());
    let start = Instant::now();
    let of_threads: Vec<Latencies> = thread::scope(|scope| {
        let (lessor, ids, next_id) = (&lessor, &ids, &next_id);
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || Mixer::new(lessor, ids, next_id, number).run()))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|latencies| latencies.expect("no operation fails"))
            .collect()
    });
    note(watch, start.elapsed(), &of_threads);
    Ok(())
}

fn note(watch: &Stopwatch, span: Duration, of_threads: &[Latencies]) {
    let all = of_threads.iter().flatten().map(Vec::len).sum();
    watch.note("mixed_8", span, all);
    for (kind, (name, _)) in MIX.iter().enumerate() {
        let of_kind = of_threads.iter().flat_map(|latencies| &latencies[kind]);
        let mut of_kind: Vec<_> = of_kind.copied().collect();
        of_kind.sort_unstable();
        watch.note(&format!("mixed_8_{name}"), span, of_kind.len());
        let at = of_kind.len() - 1 - of_kind.len() / 1000;
        watch.print(&format!("mixed_8_{name}_p999"), of_kind[at] as f64);
    }
}

/// One of the threads.
struct Mixer<'a> {
    lessor: &'a BackendLessor,
    ids: &'a [LeaseId],
    next_id: &'a AtomicI64,
    number: usize,
    random: u64,
}

impl<'a> Mixer<'a> {
    fn new(
        lessor: &'a BackendLessor,
        ids: &'a [LeaseId],
        next_id: &'a AtomicI64,
        number: usize,
    ) -> Self {
        Self {
            lessor,
            ids,
            next_id,
            number,
            random: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1),
        }
    }

    fn run(mut self) -> Latencies {
        let mut latencies = Latencies::default();
        for turn in 0..(self.ids.len() / 2).max(1000) {
            let kind = self.kind();
            let id = self.ids[self.draw() as usize % self.ids.len()];
            let item = LeaseItem::from(format!("mixed/{}/{turn:024}", self.number));
            let start = Instant::now();
            self.operate(MIX[kind].0, id, item);
            latencies[kind].push(start.elapsed().as_nanos() as u64);
        }
        latencies
    }

    fn operate(&self, kind: &str, id: LeaseId, item: LeaseItem) {
        match kind {
            "grant" => {
                let id = LeaseId::new(self.next_id.fetch_add(1, Ordering::Relaxed));
                let lease = self.lessor.grant(id.expect("not zero"), TTL);
                black_box(lease).expect("each id once");
            }
            "attach" => self.lessor.attach(id, &[item]).expect("it was granted"),
            "renew" => drop(black_box(self.lessor.renew(id)).expect("it is alive")),
            _ => drop(black_box(self.lessor.lookup(id)).expect("it was granted")),
        }
    }

    fn kind(&mut self) -> usize {
        let mut left = self.draw() % 100;
        let drawn = MIX.iter().position(|(_, share)| {
            let is_it = left < *share;
            left = left.saturating_sub(*share);
            is_it
        });
        drawn.expect("the shares are a hundred")
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}
