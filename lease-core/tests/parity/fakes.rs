//! The fakes for tests of code that uses a lessor.

use std::sync::Arc;
use std::time::Duration;

use lease_core::testing::{FakeLessor, FakeTxnDelete};
use lease_core::{Checkpoint, LeaseItem, Lessor, NullBackend, RangeDeleter, WriteBatch};

use crate::{id, items};

#[test]
fn the_fake_lessor_keeps_a_set_of_leases_and_refuses_nothing() {
    let fake = FakeLessor::default();
    let lessor: &dyn Lessor = &fake;
    lessor.set_range_deleter(Arc::new(FakeTxnDelete::default()));
    lessor.set_checkpointer(Arc::new(|_: &[Checkpoint], _: Duration| Ok(())));
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for ttl in [10, 0, i64::MAX] {
        lessor.grant(id(-1), ttl).expect("a fake refuses nothing");
    }
    lessor.grant(id(2), 10).expect("a fake refuses nothing");
    assert!(fake.lease_set().iter().eq([&id(-1), &id(2)]));
    assert!(
        lessor
            .lookup(id(2))
            .is_some_and(|lease| lease.id() == id(2))
    );
    assert_eq!(lessor.lookup(id(3)), None);
    assert_eq!(lessor.leases().len(), 2);

    lessor.attach(id(3), &items(&["a"])).expect("ignored");
    assert_eq!(lessor.get_lease(b"a"), None);
    lessor.detach(id(3), &items(&["a"])).expect("ignored");
    lessor.checkpoint(id(3), -5).expect("ignored");
    assert_eq!(lessor.renew(id(3)).map(|ttl| ttl.get()), Ok(10));
    lessor.revoke(id(-1)).expect("there");
    lessor.revoke(id(-1)).expect("a fake refuses nothing");
    assert_eq!(fake.lease_set().len(), 1);

    lessor
        .recover(Arc::new(NullBackend), None)
        .expect("ignored");
    assert!(lessor.expired_leases().try_recv().is_err());
    lessor.demote();
    lessor.stop();
    assert_eq!(lessor.next_wakeup(), None);
}

#[test]
fn the_fake_deleter_remembers_and_deletes_nothing() {
    let deleter = FakeTxnDelete::default();
    let mut batch = WriteBatch::default();
    let mut txn = deleter.begin(&mut batch).expect("nothing can fail");
    let deleted = txn.delete_range(b"a", Some(b"c")).expect("remembered");
    assert_eq!((deleted.keys, deleted.revision), (1, 0));
    assert!(deleter.deleted().is_empty(), "it has not ended");
    txn.end().expect("nothing can fail");
    assert_eq!(deleter.deleted(), [b"a".to_vec()]);
    assert!(batch.is_empty());
}

/// etcd's `LeaseItem{Key: "a"}`: any bytes, from anything that is bytes.
#[test]
fn an_item_is_any_bytes() {
    let bytes = [0xff, 0, b'a'];
    assert_eq!(LeaseItem::new(bytes).as_bytes(), bytes);
    assert_eq!(LeaseItem::from("a"), LeaseItem::from(b"a".to_vec()));
    assert_eq!(LeaseItem::from(String::from("a")).as_ref(), b"a");
    assert!(LeaseItem::default().into_bytes().is_empty());
}
