//! Leases out of etcd's bucket, and the calls that etcd's server makes.
//!
//! Run it with `cargo run -p lease --example from_etcd`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    // What etcd's bucket `lease` holds for lease 7 with a TTL of 60 s, of which 42 s remain.
    let bucket = [([0, 0, 0, 0, 0, 0, 0, 7], [8, 7, 16, 60, 24, 42])];
    let store = MemoryBackend::new();
    store.put_dump(bucket)?;

    // lease.NewLessor(lg, b, cluster, cfg)
    let lessor = BackendLessor::builder(Arc::new(store.clone())).build()?;
    // lessor.Promote(extend)
    lessor.promote(Duration::ZERO)?;

    // lessor.Lookup(id)
    let lease = lessor
        .lookup(LeaseId::try_from(7)?)
        .ok_or("it is in the bucket")?;
    // lease.TTL(), lease.RemainingTTL(), lease.Keys()
    println!("granted for {}", lease.ttl());
    println!(
        "more than 41 s left: {}",
        lease.remaining() > Some(Duration::from_secs(41))
    );
    println!("keys: {:?}", lease.keys());

    // lessor.Attach(id, items), lessor.GetLease(item)
    lessor.attach(lease.id(), &["foo".into()])?;
    let owner = lessor.get_lease(b"foo").ok_or("it is attached")?;
    println!("foo belongs to lease {owner}");
    // lessor.Renew(id)
    println!("renewed for {}", lessor.renew(lease.id())?);
    // lessor.Grant(id, ttl), lessor.Revoke(id)
    lessor.grant(LeaseId::try_from(8)?, 60)?;
    lessor.revoke(LeaseId::try_from(7)?)?;
    // What the bucket holds now.
    println!("{:?}", store.dump());
    Ok(())
}
// ANCHOR_END: program
