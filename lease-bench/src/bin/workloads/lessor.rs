use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lease_backend::{MemoryBackend, RedbBackend};
use lease_bench::{key, lessor_as_etcds, shuffled_ids};
use lease_core::{Backend, BackendLessor, LeaseId, Lessor, NullBackend};

use crate::floor;
use crate::stopwatch::{Stopwatch, rotated};

pub(crate) const TTL: i64 = 3600;

/// As many as the peer's, to which each is a commit.
const MAX_REVOKES: usize = 10_000;

/// How many leases are renewed with one call.
const RENEWALS: usize = 256;

/// The operations in the order of the peer, over redb.
pub(crate) fn run(watch: &Stopwatch) -> anyhow::Result<()> {
    let n = watch.n;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leases.redb");
    let ids = shuffled_ids(n);
    let order = rotated(&ids, n / 3);
    let lessor = lessor_as_etcds(Arc::new(RedbBackend::open(&path)?))?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");

    let start = Instant::now();
    for id in &ids {
        lessor.grant(*id, TTL)?;
    }
    watch.note("grant", start.elapsed(), n);
    lessor.flush()?;
    watch.note("grant_sustained", start.elapsed(), n);

    renewals(watch, &lessor, &order);
    for _ in 0..watch.passes() {
        watch.time("lookup", n, || {
            for id in &order {
                black_box(lessor.lookup(*id)).expect("it was granted");
            }
        });
    }
    for _ in 0..watch.passes() {
        watch.time("lookup_read", n, || {
            let read = |id| {
                let left = lessor.time_to_live(id).expect("it was granted");
                left.remaining().expect("it is the primary")
                    + Duration::from_nanos(left.ttl().as_secs())
            };
            black_box(order.iter().map(|id| read(*id)).max())
        });
    }
    for _ in 0..3 {
        drop(watch.time("list", n, || lessor.leases()));
        watch.time("page", 1, || black_box(lessor.page(None, 1000)).len());
    }
    roles(watch, &lessor);
    items(watch, &lessor, &ids);
    let tenth = n / 10;
    watch.time("detach", tenth, || {
        for id in &ids[..tenth] {
            lessor.detach(*id, &[key(*id)]).expect("it is there");
        }
    });
    let revokes = tenth.min(MAX_REVOKES);
    watch.time("revoke", revokes, || {
        for id in &ids[n - revokes..] {
            lessor.revoke(*id).expect("it is there");
        }
        lessor.flush()
    })?;
    lessor.stop();
    drop(lessor);
    revoke_in_memory(watch, &ids)?;
    recover(watch, &path, n - revokes)
}

/// Grants in the growing order in which etcd itself makes ids.
pub(crate) fn grant_sequential(watch: &Stopwatch) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leases.redb");
    let lessor = lessor_as_etcds(Arc::new(RedbBackend::open(&path)?))?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let ids: Vec<_> = (first_id()..)
        .filter_map(LeaseId::new)
        .take(watch.n)
        .collect();
    watch.time("grant_sequential", watch.n, || {
        ids.iter()
            .try_for_each(|id| lessor.grant(*id, TTL).map(drop))
    })?;
    Ok(())
}

/// An id as etcd makes them: a member, a time, and a count.
pub(crate) const fn first_id() -> i64 {
    0x0123_4567_89ab_0000
}

fn renewals(watch: &Stopwatch, lessor: &BackendLessor, order: &[LeaseId]) {
    let renew_all = |order: &[LeaseId]| {
        for id in order {
            lessor.renew(*id).expect("it is alive");
        }
    };
    for _ in 0..watch.passes() {
        watch.time("renew", watch.n, || renew_all(order));
    }
    for _ in 0..watch.passes() {
        watch.time("renew_many", watch.n, || {
            for ids in order.chunks(RENEWALS) {
                let renewed = lessor.renew_many(ids);
                assert!(renewed.iter().all(Result::is_ok), "they are alive");
            }
        });
    }
    let orders = [0, 1].map(|turn| rotated(order, turn * watch.n / 2));
    for _ in 0..watch.passes() {
        watch.time("renew_2", 2 * watch.n, || {
            thread::scope(|scope| {
                for order in &orders {
                    scope.spawn(|| renew_all(order));
                }
            });
        });
    }
}

fn items(watch: &Stopwatch, lessor: &BackendLessor, ids: &[LeaseId]) {
    let items: Vec<_> = ids.iter().map(|id| [key(*id)]).collect();
    watch.time("attach", watch.n, || {
        for (id, item) in ids.iter().zip(&items) {
            lessor.attach(*id, item).expect("it is there");
        }
    });
    let items = rotated(&items, watch.n / 3);
    for _ in 0..watch.passes() {
        watch.time("get_lease", watch.n, || {
            for [item] in &items {
                black_box(lessor.get_lease(item.as_bytes())).expect("it is attached");
            }
        });
    }
}

/// What a caller waits for, and how long it takes until every lease is in the queue again.
fn roles(watch: &Stopwatch, lessor: &BackendLessor) {
    for _ in 0..3 {
        watch.time("demote", 1, || lessor.demote());
        let start = Instant::now();
        lessor.promote(Duration::ZERO).expect("the epoch is stored");
        watch.note("promote", start.elapsed(), 1);
        while lessor.stats().expiry_entries < watch.n {
            thread::sleep(Duration::from_micros(100));
        }
        watch.note("promote_slices", start.elapsed(), 1);
    }
}

/// Against a peer whose store costs nothing.
fn revoke_in_memory(watch: &Stopwatch, ids: &[LeaseId]) -> anyhow::Result<()> {
    for (op, backend) in [
        ("revoke_null", Arc::new(NullBackend) as Arc<dyn Backend>),
        ("revoke_memory", Arc::new(MemoryBackend::default())),
    ] {
        let lessor = lessor_as_etcds(backend)?;
        lessor.promote(Duration::ZERO).expect("the epoch is stored");
        for id in ids {
            lessor.grant(*id, TTL)?;
            lessor.attach(*id, &[key(*id)])?;
        }
        lessor.flush()?;
        let tenth = watch.n / 10;
        watch.time(op, tenth, || {
            for id in &ids[watch.n - tenth..] {
                lessor.revoke(*id).expect("it is there");
            }
        });
    }
    Ok(())
}

fn recover(watch: &Stopwatch, path: &Path, leases: usize) -> anyhow::Result<()> {
    let backend = Arc::new(RedbBackend::open(path)?);
    let lessor = watch.time("recover", leases, || lessor_as_etcds(backend.clone()))?;
    assert_eq!(lessor.stats().leases, leases);
    floor::recover(watch, &*backend, leases)
}
