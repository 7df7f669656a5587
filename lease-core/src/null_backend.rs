use alloc::vec::Vec;

use crate::{Backend, BackendError, Epoch, LeaseRow, Table, WriteBatch};

/// A backend that keeps nothing: for a lessor whose leases need not survive it.
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// # use std::sync::Arc;
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// lessor.grant(LeaseId::try_from(7)?, 60)?;
/// drop(lessor);
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// assert!(lessor.leases().is_empty());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NullBackend;

impl Backend for NullBackend {
    fn commit(&self, _: &WriteBatch) -> Result<(), BackendError> {
        Ok(())
    }

    fn load(&self, _: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        Ok(Epoch::ZERO)
    }

    fn get(&self, _: &Table, _: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn scan(&self, _: &Table, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_gone() {
        let table = Table::new("kv");
        let mut batch = WriteBatch::default();
        batch.put(table.clone(), "a", "b");
        batch.put_epoch(Epoch::new(7));
        NullBackend.commit(&batch).expect("nothing can fail");
        assert_eq!(NullBackend.get(&table, b"a"), Ok(None));
        assert_eq!(
            NullBackend.load(&mut |row| panic!("{row:?}")),
            Ok(Epoch::ZERO)
        );
    }
}
