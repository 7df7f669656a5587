//! The operations of the lessor under the names and sizes of etcd's own benchmarks.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lease_bench::{core_with, expire_all, primary_with, shuffled_ids};
use lease_core::{Lessor, NullBackend};

const SIZES: [usize; 2] = [1_000, 100_000];

fn lessor_grant(c: &mut Criterion) {
    let mut group = c.benchmark_group("LessorGrant");
    for n in SIZES {
        let ids = shuffled_ids(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::from_parameter(n), &ids, |b, ids| {
            b.iter_batched(
                || primary_with(Arc::new(NullBackend), &[]),
                |lessor| {
                    for id in ids {
                        lessor.grant(*id, 60).expect("each id once");
                    }
                    lessor
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn lessor_revoke(c: &mut Criterion) {
    let mut group = c.benchmark_group("LessorRevoke");
    for n in SIZES {
        let ids = shuffled_ids(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::from_parameter(n), &ids, |b, ids| {
            b.iter_batched(
                || primary_with(Arc::new(NullBackend), ids),
                |lessor| {
                    for id in ids {
                        lessor.revoke(*id).expect("granted");
                    }
                    lessor
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn lessor_renew(c: &mut Criterion) {
    let mut group = c.benchmark_group("LessorRenew");
    for n in SIZES {
        let ids = shuffled_ids(n);
        let lessor = primary_with(Arc::new(NullBackend), &ids);
        let mut next = ids.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                let id = next.next().expect("it goes round");
                black_box(lessor.renew(*id)).expect("it is alive")
            });
        });
    }
}

/// Finds and delivers what has expired, all of it due at once: as in etcd's benchmark the search
/// alone, without a store, threads or a channel.
fn lessor_find_expired(c: &mut Criterion) {
    let mut group = c.benchmark_group("LessorFindExpired");
    group.sample_size(20);
    for n in [10_000, 100_000] {
        let core = core_with(&shuffled_ids(n));
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter_batched(
                || core.clone(),
                |mut core| {
                    assert_eq!(expire_all(&mut core), n);
                    core
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(
    benches,
    lessor_grant,
    lessor_revoke,
    lessor_renew,
    lessor_find_expired
);
criterion_main!(benches);
