//! What a commit costs in each store, by the number of its rows and their order, and how fast rows
//! are read.
//!
//! `--features fjall` adds fjall.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lease_backend::{MemoryBackend, RedbBackend};
use lease_bench::shuffled_ids;
use lease_core::{Backend, LeaseId, LeaseRow, Ttl, WriteBatch};

/// How many leases there are, of which each commit writes some again.
const ROWS: usize = 100_000;

fn batch(ids: &[LeaseId]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for id in ids {
        batch.put_lease(LeaseRow::new(*id, Ttl::MIN));
    }
    batch
}

fn bench(c: &mut Criterion, name: &str, backend: &dyn Backend) {
    let random = shuffled_ids(ROWS);
    backend.commit(&batch(&random)).expect("the store works");
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    for rows in [1, 100, 10_000] {
        let mut sorted = random[..rows].to_vec();
        sorted.sort_unstable();
        group.throughput(Throughput::Elements(rows as u64));
        for (order, ids) in [("random", &random[..rows]), ("sorted", &sorted)] {
            let batch = batch(ids);
            group.bench_function(BenchmarkId::new(format!("commit {order}"), rows), |b| {
                b.iter(|| backend.commit(&batch).expect("the store works"));
            });
        }
    }
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(BenchmarkId::new("load", ROWS), |b| {
        b.iter(|| {
            let mut rows = 0;
            let load = backend.load(&mut |_| rows += 1);
            load.expect("the store works");
            assert_eq!(rows, ROWS);
        });
    });
    group.finish();
}

fn backends(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is room");
    bench(c, "memory", &MemoryBackend::new());
    let redb = RedbBackend::open(folder.path().join("leases.redb"));
    bench(c, "redb", &redb.expect("a new file"));
    #[cfg(feature = "fjall")]
    {
        let fjall = lease_backend::FjallBackend::open(folder.path().join("leases.fjall"));
        bench(c, "fjall", &fjall.expect("a new folder"));
    }
}

criterion_group!(benches, backends);
criterion_main!(benches);
