use std::sync::Arc;
use std::time::Duration;

use lease::{
    BoxError, Durability, LeaseError, LeaseId, Lessor, RangeDeleter, Renewal, Table, TableDeleter,
    TxnDelete, WriteBatch,
};

use crate::on_one_thread;
use crate::support::{Gate, Mode, lessor, lessor_with, watched};

#[test]
fn while_the_store_hangs_all_that_needs_none_goes_on() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        let id = lessor.grant_new(60).await.expect("granted").id();
        let attached = lessor.attach(id, &["a".into()]).await;
        attached.expect("attached");

        store.set(Mode::Closed);
        let its = lessor.clone();
        let hanging = tokio::spawn(async move { watched(its.grant_new(60)).await });
        store.hangs().await;
        for _ in 0..100 {
            assert_eq!(watched(lessor.renew(id)).await, lessor_ttl());
            let renewed = watched(lessor.renew_many(&[id])).await;
            assert!(matches!(renewed[..], [Ok(Renewal::Renewed(_))]));
            assert!(lessor.time_to_live(id).is_some());
            assert_eq!(lessor.get_lease(b"a"), Some(id));
            let found = watched(lessor.lookup(id)).await.expect("it is looked up");
            assert_eq!(found.expect("it is there").keys(), ["a".into()]);
            let page = watched(lessor.page(None, 10)).await.expect("it is listed");
            assert_eq!(page.len(), 1);
        }
        // Timers of others run.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!hanging.is_finished());

        store.set(Mode::Open);
        let granted = hanging.await.expect("no panic").expect("granted");
        assert!(lessor.time_to_live(granted.id()).is_some());
    });
}

fn lessor_ttl() -> Result<lease::Ttl, LeaseError> {
    Ok(lease::Ttl::new(60).expect("in range"))
}

#[test]
fn batched_commands_wait_for_a_store_only_when_it_is_far_behind() {
    on_one_thread(async {
        let max_writes = std::num::NonZeroUsize::new(8).expect("not zero");
        let batched = Durability::Batched {
            interval: Duration::from_millis(1),
            max_writes,
        };
        let (lessor, store) = lessor_with(|builder| builder.durability(batched));
        store.set(Mode::Closed);
        // The ones that find room are granted at once, and the rest when there is some again.
        let mut granted = 0;
        let mut waiting = Vec::new();
        for number in 1..=1000 {
            let its = lessor.clone();
            let id = LeaseId::try_from(number).expect("not zero");
            let grant = tokio::spawn(async move { watched(its.grant(id, 60)).await });
            tokio::task::yield_now().await;
            if grant.is_finished() {
                granted += 1;
            }
            waiting.push(grant);
        }
        assert!((100..1000).contains(&granted), "{granted} were granted");
        store.set(Mode::Open);
        for grant in waiting {
            grant.await.expect("no panic").expect("granted");
        }
        watched(lessor.flush()).await.expect("the store is back");
        assert_eq!(lessor.lessor().stats().leases, 1000);
    });
}

/// Deletes when it is let.
pub(crate) struct Slow {
    pub(crate) gate: Gate,
    inner: TableDeleter,
}

impl Slow {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::default(),
            inner: TableDeleter::new(Table::new("kv")),
        })
    }
}

impl RangeDeleter for Slow {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        self.gate.pass()?;
        self.inner.begin(batch)
    }
}

#[test]
fn a_range_deleter_that_hangs_holds_up_its_revokes_and_nothing_else() {
    on_one_thread(async {
        let slow = Slow::new();
        let (lessor, _) = lessor_with(|builder| builder.range_deleter(slow.clone()));
        let mut ids = Vec::new();
        for number in 0..20 {
            let id = lessor.grant_new(60).await.expect("granted").id();
            let item = format!("item {number}").into();
            lessor.attach(id, &[item]).await.expect("attached");
            ids.push(id);
        }
        slow.gate.set(Mode::Closed);
        let revoke = |id| {
            let lessor = lessor.clone();
            tokio::spawn(async move { watched(lessor.revoke(id)).await })
        };
        // More of them than there are threads for them.
        let revokes: Vec<_> = ids.iter().copied().map(revoke).collect();
        slow.gate.arrived().await;
        let other = watched(lessor.grant_new(60)).await.expect("granted").id();
        watched(lessor.attach(other, &["other".into()]))
            .await
            .expect("attached");
        let plain = watched(lessor.grant_new(60)).await.expect("granted").id();
        watched(lessor.revoke(plain))
            .await
            .expect("it has no items");
        assert!(revokes.iter().all(|revoke| !revoke.is_finished()));

        slow.gate.set(Mode::Refuses);
        for revoke in revokes {
            let refused = revoke.await.expect("no panic");
            assert!(matches!(refused, Err(LeaseError::RangeDeleter(_))));
        }
        slow.gate.set(Mode::Open);
        watched(lessor.revoke(ids[0]))
            .await
            .expect("it is not busy");
        assert_eq!(lessor.lessor().lookup(ids[0]), None);
        assert!(lessor.lessor().lookup(ids[1]).is_some());
    });
}

#[test]
fn a_lease_of_very_many_items_is_copied_elsewhere() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        let id = lessor.grant_new(60).await.expect("granted").id();
        let items: Vec<_> = (0..3000).map(|n| format!("{n:04}").into()).collect();
        lessor.attach(id, &items).await.expect("attached");
        let found = watched(lessor.lookup(id)).await.expect("looked up");
        assert_eq!(found.expect("it is there").keys(), items);
        let page = watched(lessor.page(None, 10)).await.expect("listed");
        assert_eq!(page[0].keys(), items);
    });
}
