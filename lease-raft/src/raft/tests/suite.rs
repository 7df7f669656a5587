use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::stand_in::Tally;
use crate::raft::config::Types;
use crate::raft::log::RedbLog;
use crate::raft::machine::StateMachine;
use crate::redb_store::RedbStore;
use crate::{Runtime, TokioRuntime};

struct Builder;

impl StoreBuilder<Types, RedbLog, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, RedbLog, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().expect("a folder");
        let store = RedbStore::open(dir.path().join("member.redb")).expect("a new store");
        let store = Arc::new(store);
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let log = RedbLog::open(Arc::clone(&store), Arc::clone(&runtime)).await;
        let machine = Tally::open_lenient(&store);
        let machine = StateMachine::open(machine, store, runtime).await;
        let log = log.expect("an empty log").begin_anywhere();
        Ok((dir, log, machine.expect("no state")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.expect("it passes");
}
