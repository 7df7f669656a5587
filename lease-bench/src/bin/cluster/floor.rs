use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use lease_backend::RedbBackend;
use lease_core::{Backend, LeaseId, LeaseRow, Ttl, WriteBatch};

const SPAN: Duration = Duration::from_secs(2);

/// Prints how many durable commits a second the disk takes, one after the other: what is not batched
/// can be no faster.
///
/// # Errors
///
/// If the disk fails.
pub(crate) fn report(dir: &Path) -> Result<()> {
    let backend = RedbBackend::open(dir.join("floor.redb"))?;
    let id = LeaseId::new(1).expect("not zero");
    let start = Instant::now();
    let mut commits = 0_u32;
    while start.elapsed() < SPAN {
        let mut batch = WriteBatch::default();
        batch.put_lease(LeaseRow::new(id, Ttl::MIN));
        backend.commit(&batch)?;
        commits += 1;
    }
    let rate = f64::from(commits) / start.elapsed().as_secs_f64();
    println!("floor: {rate:.0} durable commits a second, one after the other");
    Ok(())
}
