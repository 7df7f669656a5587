use super::BackendLessor;
#[cfg(doc)]
use crate::Lessor;
use crate::{Answer, Command, LeaseError, LeaseId, LeaseItem, WriteBatch};

/// Commands together with writes of the host's, beside
/// [`grant_with`](BackendLessor::grant_with).
impl BackendLessor {
    /// As [`revoke`](Lessor::revoke), together with writes of the host's.
    ///
    /// # Errors
    ///
    /// Those of [`revoke`](Lessor::revoke) and [`LeaseError::ReservedRows`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.delete(Table::new("sessions"), "7");
    /// let unknown = lessor.revoke_with(LeaseId::try_from(7)?, writes);
    /// assert_eq!(unknown, Err(LeaseError::LeaseNotFound)); // and the row is still there
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn revoke_with(&self, id: LeaseId, writes: WriteBatch) -> Result<(), LeaseError> {
        self.shared.revoke(id, writes)
    }

    /// As [`attach`](Lessor::attach), together with writes of the host's, such as the rows of the
    /// items: no end of a lease comes between.
    ///
    /// # Errors
    ///
    /// Those of [`attach`](Lessor::attach), [`LeaseError::Backend`] and [`LeaseError::ReservedRows`]; then
    /// nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("kv"), "services/web/1", "10.0.0.7");
    /// lessor.attach_with(id, &["services/web/1".into()], writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn attach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        self.shared.attach(id, items, writes)
    }

    /// As [`detach`](Lessor::detach), together with writes of the host's.
    ///
    /// # Errors
    ///
    /// Those of [`detach`](Lessor::detach), [`LeaseError::Backend`] and [`LeaseError::ReservedRows`]; then
    /// nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["a".into()])?;
    /// let mut writes = WriteBatch::default();
    /// writes.delete(Table::new("kv"), "a");
    /// lessor.detach_with(id, &["a".into()], writes)?;
    /// assert_eq!(lessor.get_lease(b"a"), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn detach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        self.shared.detach(id, items, writes)
    }

    /// Applies a command from the host's log, together with writes of the host's: all of it in one
    /// transaction. On members that have applied the same commands before, the answer is the same.
    ///
    /// A refusal, such as a grant of an id in use, is an answer: the host's writes, such as the
    /// index of the log entry, are committed all the same.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`], [`LeaseError::RangeDeleter`], [`LeaseError::Clock`],
    /// [`LeaseError::Reentrant`], [`LeaseError::ReservedRows`] and [`LeaseError::Stopped`]: then nothing
    /// was changed, and the host's writes are not committed either.
    ///
    /// ```
    /// # use lease_core::{Answer, BackendLessor, Command, Grant, Incarnation, LeaseId, NullBackend};
    /// # use lease_core::{Table, Ttl, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let index = 17;
    /// let grant = Grant {
    ///     incarnation: Incarnation::supplied(index),
    ///     ..Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?)
    /// };
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("meta"), "applied", index.to_be_bytes());
    /// let answer = lessor.apply(&Command::Grant(grant), writes)?;
    /// assert!(matches!(answer, Answer::Granted(Ok(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn apply(&self, command: &Command, host: WriteBatch) -> Result<Answer, LeaseError> {
        self.shared.apply(command.clone(), host)
    }

    /// Commits writes of the host's that belong to no command of the lessor's.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`], [`LeaseError::Clock`], [`LeaseError::Reentrant`],
    /// [`LeaseError::ReservedRows`] and [`LeaseError::Stopped`]: then nothing is committed.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("meta"), "applied", 18_u64.to_be_bytes());
    /// lessor.write(writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn write(&self, host: WriteBatch) -> Result<(), LeaseError> {
        self.shared.write(host)
    }
}
