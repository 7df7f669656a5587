//! The world's own state beside the leases: keys, each with its lease; they go with it.

use std::sync::Arc;

use lease_core::{
    Backend, BackendError, BackendLessor, BoxError, Command, Deleted, LeaseError, LeaseId,
    LeaseItem, Lessor, RangeDeleter, Renewal, Table, TableDeleter, TxnDelete, WriteBatch, probe,
};
use lease_raft::{Decided, Leases, StateMachine};

use super::Around;
use super::meanwhile::During;
use crate::wire::read_put;

fn keys() -> Table {
    Table::new("keys")
}

/// Reads what a backend holds beside the leases.
pub(super) fn read_keys(backend: &dyn Backend) -> Result<Vec<(u8, i64)>, BackendError> {
    let mut found = Vec::new();
    backend.scan(&keys(), &mut |key, value| {
        if let (&[key], Ok(value)) = (key, value.try_into()) {
            found.push((key, i64::from_be_bytes(value)));
        }
    })?;
    Ok(found)
}

pub(super) struct Keys(pub(super) Arc<Around>);

impl StateMachine for Keys {
    fn recover(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        self.0.check_brought(backend)
    }

    fn decide(&self, index: u64, command: &[u8], leases: &dyn Leases) -> Decided {
        let (key, lease) = read_put(command);
        let items = vec![LeaseItem::new([key])];
        let is_accepted = lease.is_none_or(|id| leases.contains(id));
        let mut writes = WriteBatch::default();
        if is_accepted || probe::is_planted("machine-writes-what-is-refused") {
            let value = lease.map_or(0, LeaseId::get);
            writes.put(keys(), [key], value.to_be_bytes());
        }
        let owner = leases.get_lease(&[key]);
        let command = match (lease, owner) {
            (Some(id), Some(owner)) if id != owner && probe::is_planted("attach-without-move") => {
                None
            }
            (Some(id), _) if is_accepted => Some(Command::Attach { id, items }),
            (None, Some(id)) => Some(Command::Detach { id, items }),
            _ => None,
        };
        Decided {
            answer: [&[u8::from(is_accepted)], &index.to_be_bytes()[..]].concat(),
            writes,
            command,
        }
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}

    fn range_deleter(&self) -> Option<Arc<dyn RangeDeleter>> {
        Some(Arc::new(Deleter {
            keys: TableDeleter::new(keys()),
            around: Arc::clone(&self.0),
        }))
    }
}

/// Deletes the keys of revoked leases, and calls the lessor back meanwhile.
struct Deleter {
    keys: TableDeleter,
    around: Arc<Around>,
}

impl RangeDeleter for Deleter {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Delete {
            keys: self.keys.begin(batch)?,
            around: &self.around,
        }))
    }
}

struct Delete<'t> {
    keys: Box<dyn TxnDelete + 't>,
    around: &'t Around,
}

impl TxnDelete for Delete<'_> {
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError> {
        self.around
            .with_lessor(|lessor| self.around.look_inside(lessor, key));
        self.around.meanwhile(During::Deletion);
        self.keys.delete_range(key, end)
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        self.keys.end()
    }
}

impl Around {
    /// A revoke that is decided and not written has changed nothing, and keeps other commands away
    /// from its leases.
    fn look_inside(&self, lessor: &BackendLessor, key: &[u8]) {
        let Some(id) = lessor.get_lease(key) else {
            return self.object(format!("key {key:?} is detached before it is deleted"));
        };
        let inside = lessor.attach(id, &[LeaseItem::new(key)]);
        if inside == Err(LeaseError::Reentrant) {
            probe::mark("raft: a command inside of another one is refused");
        } else {
            self.object(format!(
                "an attach to lease {id} inside of its revoke: {inside:?}"
            ));
        }
        if lessor.primary_epoch().is_none() {
            return;
        }
        match lessor.try_renew(id) {
            Ok(Renewal::Renewed(_)) => {
                probe::mark("raft: a lease is renewed while its revoke is written");
            }
            Ok(_) => {}
            Err(error) => self.object(format!(
                "a renewal inside of a revoke of lease {id}: {error}"
            )),
        }
    }
}
