use std::sync::Arc;

use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};

use super::stand_in::Tally;
#[cfg(madsim)]
use crate::MadsimRuntime as OwnRuntime;
use crate::Runtime;
#[cfg(not(madsim))]
use crate::TokioRuntime as OwnRuntime;
use crate::raft::config::Types;
use crate::raft::log::RedbLog;
use crate::raft::machine::StateMachine;
use crate::raft::removed::Removed;
use crate::raft::runtime::OpenraftRuntime;
use crate::redb_store::RedbStore;

struct Builder;

#[cfg(not(madsim))]
type Disk = tempfile::TempDir;
#[cfg(madsim)]
type Disk = lease_backend::testing::SimDisk;

#[cfg(not(madsim))]
fn new_store() -> (Disk, RedbStore) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(dir.path().join("member.redb"));
    (dir, store.expect("a new store"))
}

#[cfg(madsim)]
fn new_store() -> (Disk, RedbStore) {
    let disk = Disk::new(1);
    let store = RedbStore::create_with_storage(lease_backend::RedbOptions::new(), disk.clone());
    (disk, store.expect("a new store"))
}

impl StoreBuilder<Types, RedbLog, StateMachine, Disk> for Builder {
    async fn build(&self) -> Result<(Disk, RedbLog, StateMachine), StorageError<Types>> {
        let (disk, store) = new_store();
        let store = Arc::new(store);
        let runtime: Arc<dyn Runtime> = Arc::new(OwnRuntime);
        let log = RedbLog::open(Arc::clone(&store), Arc::clone(&runtime)).await;
        let machine = Tally::open_lenient(&store);
        let machine = StateMachine::open(machine, store, runtime, Arc::new(Removed::new(1))).await;
        let log = log.expect("an empty log").begin_anywhere();
        Ok((disk, log, machine.expect("no state")))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    let tested = OpenraftRuntime::run(Suite::test_all(Builder));
    tested.expect("it passes");
}

/// That of tokio passes it at openraft's.
#[cfg(madsim)]
#[test]
fn openrafts_suite_for_runtimes_passes() {
    openraft::testing::runtime::Suite::<OpenraftRuntime>::test_all();
}
