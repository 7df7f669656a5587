use std::sync::{Arc, Mutex, PoisonError};

use crate::{BoxError, Deleted, RangeDeleter, TxnDelete, WriteBatch};

/// A range deleter that deletes nothing and remembers what it was asked to delete.
///
/// Clones share their memory.
///
/// ```
/// use lease_core::testing::FakeTxnDelete;
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// # use std::sync::Arc;
///
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// # let id = LeaseId::try_from(7)?;
/// let deleter = FakeTxnDelete::default();
/// lessor.set_range_deleter(Arc::new(deleter.clone()));
/// lessor.grant(id, 60)?;
/// lessor.attach(id, &["b".into(), "a".into()])?;
/// lessor.revoke(id)?;
/// assert_eq!(deleter.deleted(), [b"a", b"b"]);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FakeTxnDelete {
    deleted: Arc<Mutex<Vec<Vec<u8>>>>,
    fails: bool,
}

impl FakeTxnDelete {
    /// One that fails at the first delete.
    ///
    /// ```
    /// # use lease_core::testing::FakeTxnDelete;
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.set_range_deleter(Arc::new(FakeTxnDelete::failing()));
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["a".into()])?;
    /// assert!(matches!(lessor.revoke(id), Err(LeaseError::RangeDeleter(_))));
    /// assert!(lessor.lookup(id).is_some());
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn failing() -> Self {
        Self {
            fails: true,
            ..Self::default()
        }
    }

    /// The keys of all ended transactions, in the order of their deletion.
    ///
    /// ```
    /// # use lease_core::testing::FakeTxnDelete;
    /// # use lease_core::{BoxError, RangeDeleter, WriteBatch};
    /// let deleter = FakeTxnDelete::default();
    /// let mut batch = WriteBatch::default();
    /// let mut deletes = deleter.begin(&mut batch)?;
    /// deletes.delete_range(b"a", None)?;
    /// assert!(deleter.deleted().is_empty(), "it has not ended");
    /// deletes.end()?;
    /// assert_eq!(deleter.deleted(), [b"a"]);
    /// # Ok::<(), BoxError>(())
    /// ```
    #[must_use]
    pub fn deleted(&self) -> Vec<Vec<u8>> {
        let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        deleted.clone()
    }
}

impl RangeDeleter for FakeTxnDelete {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Txn {
            of: self,
            keys: Vec::new(),
        }))
    }
}

struct Txn<'t> {
    of: &'t FakeTxnDelete,
    keys: Vec<Vec<u8>>,
}

impl TxnDelete for Txn<'_> {
    fn delete_range(&mut self, key: &[u8], _: Option<&[u8]>) -> Result<Deleted, BoxError> {
        if self.of.fails {
            return Err("this range deleter fails".into());
        }
        self.keys.push(key.to_vec());
        Ok(Deleted {
            keys: 1,
            revision: 0,
        })
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        let deleted = self.of.deleted.lock();
        deleted
            .unwrap_or_else(PoisonError::into_inner)
            .extend(self.keys);
        Ok(())
    }
}
