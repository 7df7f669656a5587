use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lease_core::{Backend, BackendError, Clock, Table, Timestamp, WriteBatch};
use lease_raft::{Decided, Leases, MemberId, StateMachine};
use madsim::time::TimeHandle;

use crate::world::World;

/// The commands of the host's, in order: each is a row under its index.
pub(crate) struct Journal {
    pub(crate) member: MemberId,
    pub(crate) world: Arc<World>,
    pub(crate) commands: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl StateMachine for Journal {
    fn recover(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        let mut commands = self.commands.lock().expect("no panic");
        commands.clear();
        backend.scan(&table(), &mut |key, value| {
            let index = key.try_into().expect("eight bytes");
            commands.insert(u64::from_be_bytes(index), value.to_vec());
        })
    }

    fn decide(&self, index: u64, command: &[u8], _: &dyn Leases) -> Decided {
        let mut writes = WriteBatch::default();
        writes.put(table(), index.to_be_bytes(), command);
        Decided {
            answer: index.to_be_bytes().to_vec(),
            writes,
            command: None,
        }
    }

    fn apply(&self, index: u64, command: &[u8], _: &[u8]) {
        let text = String::from_utf8_lossy(command);
        let what = format!("{} applies {index}: {text}", self.member);
        self.world.note(&what);
        let mut commands = self.commands.lock().expect("no panic");
        commands.insert(index, command.to_vec());
    }
}

fn table() -> Table {
    Table::new("journal")
}

/// The time of the simulation.
pub(crate) struct VirtualClock(pub(crate) TimeHandle);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.0.elapsed())
    }
}
