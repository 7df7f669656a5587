//! Every operation of the lessor at three sizes, without a store.
//!
//! `LEASE_BENCH_HUGE=1` adds ten million leases.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and is told by its environment"
)]

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};
use lease_backend::RedbBackend;
use lease_bench::{core_with, expire_all, primary_with, shuffled_ids};
use lease_core::{Backend, BackendLessor, Durability, LeaseId, LeaseItem, Lessor, NullBackend};

/// How many leases are renewed with one call.
const RENEWALS: usize = 256;

fn sizes() -> Vec<usize> {
    let mut sizes = vec![10_000, 100_000, 1_000_000];
    if std::env::var_os("LEASE_BENCH_HUGE").is_some() {
        sizes.push(10_000_000);
    }
    sizes
}

/// A lessor and what it holds: of each lease the id and the items attached to it.
struct Leases {
    lessor: BackendLessor,
    ids: Vec<LeaseId>,
    items: Vec<[LeaseItem; 1]>,
}

impl Leases {
    fn new(n: usize) -> Self {
        let ids = shuffled_ids(n);
        let lessor = primary_with(Arc::new(NullBackend), &ids);
        let items = ids
            .iter()
            .map(|id| [LeaseItem::from(format!("services/{:023}", id.get()))]);
        let items: Vec<_> = items.collect();
        for (id, items) in ids.iter().zip(&items) {
            lessor.attach(*id, items).expect("it is there");
        }
        Self { lessor, ids, items }
    }

    /// Times `work` over lease after lease, after `prepare` over the same ones.
    fn after(&self, iterations: u64, prepare: impl Fn(usize), work: impl Fn(usize)) -> Duration {
        let mut spent = Duration::ZERO;
        let mut left = iterations as usize;
        while left > 0 {
            let round = left.min(self.ids.len());
            (0..round).for_each(&prepare);
            let start = Instant::now();
            (0..round).for_each(&work);
            spent += start.elapsed();
            left -= round;
        }
        spent
    }

    /// The leases that so many iterations have changed.
    fn touched(&self, iterations: u64) -> Range<usize> {
        0..self.ids.len().min(iterations as usize)
    }
}

fn operations(c: &mut Criterion) {
    for n in sizes() {
        let leases = Leases::new(n);
        let mut group = c.benchmark_group("operations");
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_secs(1));
        look(&mut group, &leases);
        change(&mut group, &leases);
        whole(&mut group, &leases);
        group.finish();
    }
}

fn named(op: &str, leases: &Leases) -> BenchmarkId {
    BenchmarkId::new(op, leases.ids.len())
}

/// Operations on one lease that leave it as it is, but for its deadline.
fn look(group: &mut BenchmarkGroup<'_, WallTime>, leases: &Leases) {
    let Leases { lessor, ids, items } = leases;
    let none = |_| {};
    group.bench_function(named("renew", leases), |b| {
        let renew = |at: usize| drop(black_box(lessor.renew(ids[at])));
        b.iter_custom(|iterations| leases.after(iterations, none, renew));
    });
    group.bench_function(named("renew_many", leases), |b| {
        let renew = |at: usize| {
            if at.is_multiple_of(RENEWALS) {
                let end = ids.len().min(at + RENEWALS);
                black_box(lessor.renew_many(&ids[at..end]));
            }
        };
        b.iter_custom(|iterations| leases.after(iterations, none, renew));
    });
    group.bench_function(named("lookup", leases), |b| {
        let lookup = |at: usize| drop(black_box(lessor.lookup(ids[at])));
        b.iter_custom(|iterations| leases.after(iterations, none, lookup));
    });
    group.bench_function(named("get_lease", leases), |b| {
        let get = |at: usize| {
            let _ = black_box(lessor.get_lease(items[at][0].as_bytes()));
        };
        b.iter_custom(|iterations| leases.after(iterations, none, get));
    });
}

/// Operations that are undone before they are done again.
fn change(group: &mut BenchmarkGroup<'_, WallTime>, leases: &Leases) {
    let Leases { lessor, ids, items } = leases;
    let attach = |at: usize| lessor.attach(ids[at], &items[at]).expect("it is there");
    let detach = |at: usize| lessor.detach(ids[at], &items[at]).expect("it is there");
    let grant = |at: usize| drop(lessor.grant(ids[at], 60).expect("it is free"));
    let revoke = |at: usize| lessor.revoke(ids[at]).expect("it is there");
    group.bench_function(named("attach", leases), |b| {
        b.iter_custom(|iterations| leases.after(iterations, detach, attach));
    });
    group.bench_function(named("detach", leases), |b| {
        b.iter_custom(|iterations| {
            let spent = leases.after(iterations, attach, detach);
            leases.touched(iterations).for_each(attach);
            spent
        });
    });
    group.bench_function(named("grant", leases), |b| {
        b.iter_custom(|iterations| {
            let spent = leases.after(iterations, revoke, grant);
            leases.touched(iterations).for_each(attach);
            spent
        });
    });
    group.bench_function(named("revoke", leases), |b| {
        let ensure = |at: usize| {
            if lessor.lookup(ids[at]).is_none() {
                grant(at);
                attach(at);
            }
        };
        b.iter_custom(|iterations| {
            let spent = leases.after(iterations, ensure, revoke);
            leases.touched(iterations).for_each(ensure);
            spent
        });
    });
    group.bench_function(named("checkpoint", leases), |b| {
        let set = |at: usize| lessor.checkpoint(ids[at], 30).expect("it is there");
        let reset = |at: usize| lessor.checkpoint(ids[at], 0).expect("it is there");
        b.iter_custom(|iterations| {
            let spent = leases.after(iterations, reset, set);
            leases.touched(iterations).for_each(reset);
            spent
        });
    });
}

/// Operations on all leases, or on many.
fn whole(group: &mut BenchmarkGroup<'_, WallTime>, leases: &Leases) {
    let Leases { lessor, ids, .. } = leases;
    group.bench_function(named("page", leases), |b| {
        b.iter(|| lessor.page(None, 1000));
    });
    group.bench_function(named("list", leases), |b| b.iter(|| lessor.leases()));
    group.bench_function(named("demote", leases), |b| {
        let promote = || lessor.promote(Duration::ZERO).expect("the epoch is stored");
        b.iter_batched(promote, |_| lessor.demote(), BatchSize::PerIteration);
    });
    group.bench_function(named("promote", leases), |b| {
        let promote = |_| {
            lessor.promote(Duration::ZERO).expect("the epoch is stored");
        };
        let spent = |iterations: u64| -> Duration {
            let rounds = (0..iterations).map(|_| leases.after(1, |_| lessor.demote(), promote));
            rounds.sum()
        };
        b.iter_custom(spent);
    });
    let core = core_with(ids);
    group.bench_function(named("expire_all", leases), |b| {
        let expire = |mut core| (expire_all(&mut core), core);
        b.iter_batched(|| core.clone(), expire, BatchSize::PerIteration);
    });
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("leases.redb");
    let stored = primary_with(backend(&path), ids);
    stored.flush().expect("the disk works");
    drop(stored);
    group.bench_function(named("recover", leases), |b| {
        b.iter(|| {
            let lessor = BackendLessor::builder(backend(&path)).durability(Durability::ETCD);
            lessor.build().expect("the file is sound")
        });
    });
}

fn backend(path: &std::path::Path) -> Arc<dyn Backend> {
    Arc::new(RedbBackend::open(path).expect("the file is ours"))
}

criterion_group!(benches, operations);
criterion_main!(benches);
