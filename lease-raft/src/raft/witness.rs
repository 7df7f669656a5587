//! A simulation that looks on while openraft applies.

use std::io::Read;
use std::sync::Arc;

use lease_core::{LeaseError, WriteBatch};

use super::machine::{Machine, MachineSnapshot};
use super::network::Identity;
use super::{EngineError, OpenraftEngine, OpenraftOptions};
use crate::{ApplyError, Committed, InstallError, MemberId, Peers, RedbStore, Replica, Runtime};

/// Sees what a member applies.
pub trait Witness: Send + Sync + 'static {
    /// An entry is applied next; `None` is one of openraft's own.
    fn committed(&self, index: u64, entry: Option<&[u8]>);

    /// It has been applied, or not.
    fn applied(&self, index: u64, applied: &Result<(), ApplyError>);

    /// A snapshot has come in the place of the state, or not. `before` is what was applied then.
    fn installed(&self, before: u64, installed: &Result<bool, InstallError>);
}

struct Witnessed {
    replica: Replica,
    witness: Arc<dyn Witness>,
}

impl Machine for Witnessed {
    fn applied(&self) -> u64 {
        self.replica.applied()
    }

    fn apply(&self, entry: Committed<'_>) -> Result<(), ApplyError> {
        let index = entry.index;
        self.witness.committed(index, entry.entry);
        let applied = self.replica.apply(entry);
        self.witness.applied(index, &applied);
        applied
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, LeaseError> {
        Ok(Box::new(self.replica.snapshot()?))
    }

    fn check(&self, bytes: &mut dyn Read) -> Result<u64, InstallError> {
        Machine::check(&self.replica, bytes)
    }

    fn install(&self, bytes: &mut dyn Read, writes: &WriteBatch) -> Result<bool, InstallError> {
        let before = self.replica.applied();
        let installed = self.replica.install(bytes, writes);
        self.witness.installed(before, &installed);
        installed
    }
}

impl OpenraftEngine {
    /// As [`start`](Self::start), with somebody who looks on.
    ///
    /// # Errors
    ///
    /// [`EngineError`].
    pub async fn start_witnessed(
        (cluster, member): (&str, MemberId),
        store: Arc<RedbStore>,
        (replica, witness): (Replica, Arc<dyn Witness>),
        peers: Arc<dyn Peers>,
        runtime: Arc<dyn Runtime>,
        options: OpenraftOptions,
    ) -> Result<Self, EngineError> {
        let identity = Identity {
            cluster: cluster.to_owned(),
            member,
        };
        let machine = Arc::new(Witnessed { replica, witness });
        Self::start_with(identity, store, machine, peers, runtime, &options).await
    }
}
