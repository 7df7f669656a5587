use alloc::vec::Vec;

use crate::{BackendError, Epoch, LeaseRow, StrangeRow, Table, WriteBatch};

/// Where lease rows live: one atomic write and three reads.
///
/// The lessor calls [`commit`](Self::commit) from one thread at a time and never under its own
/// lock. Adapters for memory and for redb are in `lease-backend`, with a conformance suite that
/// checks any other in one line.
///
/// ```
/// # use lease_core::{Backend, BackendError, Epoch, LeaseRow, NullBackend, Table, WriteBatch};
/// # use std::sync::atomic::{AtomicU64, Ordering};
/// /// Counts the commits of another backend.
/// struct Counted<B>(B, AtomicU64);
///
/// impl<B: Backend> Backend for Counted<B> {
///     fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
///         self.1.fetch_add(1, Ordering::Relaxed);
///         self.0.commit(batch)
///     }
///     fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
///         self.0.load(visit)
///     }
///     fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
///         self.0.get(table, key)
///     }
///     fn scan(
///         &self,
///         table: &Table,
///         visit: &mut dyn FnMut(&[u8], &[u8]),
///     ) -> Result<(), BackendError> {
///         self.0.scan(table, visit)
///     }
/// }
/// # let counted = Counted(NullBackend, AtomicU64::new(0));
/// # counted.commit(&WriteBatch::default())?;
/// # assert_eq!(counted.1.into_inner(), 1);
/// # Ok::<(), BackendError>(())
/// ```
pub trait Backend: Send + Sync {
    /// Applies the whole batch, durably, or nothing of it.
    ///
    /// Lease writes and host writes are in tables of their own, so that only the order within each
    /// of the two lists matters.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from it. After an error nothing of the batch is visible, and a later
    /// commit may succeed.
    ///
    /// ```
    /// # use lease_core::{Backend, BackendError, Epoch, LeaseRow, NullBackend, WriteBatch};
    /// /// Puts a snapshot into an empty store: all of it, or nothing.
    /// fn restore(
    ///     backend: &dyn Backend,
    ///     rows: &[LeaseRow],
    ///     epoch: Epoch,
    /// ) -> Result<(), BackendError> {
    ///     let mut batch = WriteBatch::default();
    ///     rows.iter().for_each(|row| batch.put_lease(*row));
    ///     batch.put_epoch(epoch);
    ///     backend.commit(&batch)
    /// }
    /// # restore(&NullBackend, &[], Epoch::ZERO)?;
    /// # Ok::<(), BackendError>(())
    /// ```
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError>;

    /// Calls `visit` with every lease row by ascending id and returns the stored epoch,
    /// [`Epoch::ZERO`] if there is none. Of a row that is strange it says nothing, see
    /// [`load_telling`](Self::load_telling).
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`] if a row does not decode, and the errors of reading.
    ///
    /// ```
    /// # use lease_core::{Backend, BackendError, Epoch, LessorConfig, LessorCore, NullBackend};
    /// # let (backend, mut lessor) = (NullBackend, LessorCore::new(LessorConfig::default()));
    /// let mut recovery = lessor.begin_recovery();
    /// let mut twice = false;
    /// let epoch = backend.load(&mut |row| twice |= recovery.insert(&row).is_err())?;
    /// assert!(!twice, "no two rows have one id");
    /// lessor.finish_recovery(recovery, epoch);
    /// # Ok::<(), BackendError>(())
    /// ```
    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError>;

    /// As [`load`](Self::load), and calls `strange` for each fault of a row that decodes and is still
    /// not as a lessor writes it. Such a row is mended or skipped, and never keeps the others from being
    /// read. This is what a lessor calls; a store whose rows no other program writes need not have it.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    ///
    /// ```
    /// # use lease_core::{Backend, BackendError, NullBackend};
    /// # let backend = NullBackend;
    /// let (mut rows, mut skipped) = (0, 0);
    /// backend.load_telling(&mut |_| rows += 1, &mut |strange| {
    ///     eprintln!("warning: {strange}");
    ///     skipped += u32::from(strange.fault.is_skipped());
    /// })?;
    /// # assert_eq!((rows, skipped), (0, 0));
    /// # Ok::<(), BackendError>(())
    /// ```
    fn load_telling(
        &self,
        visit: &mut dyn FnMut(LeaseRow),
        strange: &mut dyn FnMut(StrangeRow),
    ) -> Result<Epoch, BackendError> {
        let _ = strange;
        self.load(visit)
    }

    /// The committed value of a row of the host's.
    ///
    /// # Errors
    ///
    /// The errors of reading. An absent table or row is `None`.
    ///
    /// ```
    /// # use lease_core::{Backend, BackendError, NullBackend, Table};
    /// /// The index of the last entry of the host's log that the store has seen.
    /// fn applied(backend: &dyn Backend) -> Result<u64, BackendError> {
    ///     let index = backend.get(&Table::new("meta"), b"applied")?;
    ///     let index = index.and_then(|bytes| bytes.try_into().ok());
    ///     Ok(index.map_or(0, u64::from_be_bytes))
    /// }
    /// # assert_eq!(applied(&NullBackend), Ok(0));
    /// ```
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError>;

    /// Calls `visit` with every committed row of a host's table by ascending key.
    ///
    /// # Errors
    ///
    /// The errors of reading. An absent table has no rows.
    ///
    /// ```
    /// # use lease_core::{Backend, BackendError, BoxError, LeaseId, Lessor, NullBackend, Table};
    /// /// Attaches the host's keys again, whose rows say to which lease they belong.
    /// fn replay(lessor: &dyn Lessor, backend: &dyn Backend) -> Result<(), BoxError> {
    ///     let mut keys = Vec::new();
    ///     backend.scan(&Table::new("keys"), &mut |key, lease| {
    ///         keys.push((key.to_vec(), lease.to_vec()));
    ///     })?;
    ///     for (key, lease) in keys {
    ///         let id = LeaseId::try_from(i64::from_be_bytes(lease[..8].try_into()?))?;
    ///         lessor.attach(id, &[key.into()])?;
    ///     }
    ///     Ok(())
    /// }
    /// # let backend = std::sync::Arc::new(NullBackend);
    /// # let lessor = lease_core::BackendLessor::builder(backend).build()?;
    /// # replay(&lessor, &NullBackend)?;
    /// # Ok::<(), BoxError>(())
    /// ```
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError>;
}
