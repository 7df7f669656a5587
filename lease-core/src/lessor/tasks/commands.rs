use super::super::commands::{Haste, Parts, attached, granted, parts_of};
use super::super::job::{Done, Job, Refusal};
use super::super::new_ids::NewId;
use super::super::state::State;
use super::AsyncLessor;
use super::carrier::Request;
use crate::{
    Answer, Command, ExpiredBatch, Grant, Lease, LeaseError, LeaseId, LeaseItem, RequestedTtl,
    Revocation, Revoked, Ttl, WriteBatch,
};
#[cfg(doc)]
use crate::{BackendLessor, Lessor};

/// Commands. When they are durable, and what becomes of one whose future is dropped, is said
/// [above](AsyncLessor#a-future-that-is-dropped).
impl AsyncLessor {
    /// Grants a lease that expires no earlier than `ttl` from now, see [`BackendLessor::grant`].
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::grant`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, LeaseId, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = LeaseId::try_from(7)?;
    /// assert_eq!(lessor.grant(id, 60).await?.ttl().as_secs(), 60);
    /// assert_eq!(lessor.grant(id, 60).await, Err(LeaseError::LeaseExists));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn grant(
        &self,
        id: LeaseId,
        ttl: impl Into<RequestedTtl>,
    ) -> Result<Lease, LeaseError> {
        self.grant_with(id, ttl, WriteBatch::default()).await
    }

    /// As [`grant`](Self::grant), together with writes of the host's: the lease and they come to be
    /// together, or neither does.
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::grant_with`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, LeaseId, NullBackend, Table};
    /// # use lease_core::WriteBatch;
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("sessions"), "7", "alice");
    /// lessor.grant_with(LeaseId::try_from(7)?, 60, writes).await?;
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn grant_with(
        &self,
        id: LeaseId,
        ttl: impl Into<RequestedTtl>,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let ttl = self.lessor().admit_ttl(ttl)?;
        self.grant_admitted(id, ttl, writes).await
    }

    /// As [`grant`](Self::grant), under an id that the lessor makes, see [`BackendLessor::grant_new`].
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::grant_new`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # use std::time::Duration;
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let lease = lessor.grant_new(Duration::from_secs(60)).await?;
    /// assert!(lessor.grant_new(60).await?.id() > lease.id());
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn grant_new(&self, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        let ttl = self.lessor().admit_ttl(ttl)?;
        loop {
            let id = self.new_id().await?;
            let granted = self.grant_admitted(id, ttl, WriteBatch::default()).await;
            // Else somebody else has granted the id meanwhile.
            if granted != Err(LeaseError::LeaseExists) {
                return granted;
            }
        }
    }

    /// An id that no lease has, for a grant whose id is to be known before; see
    /// [`BackendLessor::new_id`].
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::new_id`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.new_id().await?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("sessions"), "alice", id.get().to_be_bytes());
    /// lessor.grant_with(id, 60, writes).await?;
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn new_id(&self) -> Result<LeaseId, LeaseError> {
        loop {
            match self.shared().state.with(State::new_id)? {
                NewId::Free(id) => return Ok(id),
                NewId::InUse => {}
                NewId::NoEpoch(next) => {
                    let begin = Job::new(
                        Command::BeginEpoch(next),
                        WriteBatch::default(),
                        Refusal::Writes,
                    );
                    match self.carry(begin).await? {
                        Some((_, Answer::Epoch(begun))) => drop(begun?),
                        _ => unreachable!("the beginning of an epoch is answered as one"),
                    }
                }
            }
        }
    }

    /// Revokes a lease with its items, see [`Lessor::revoke`].
    ///
    /// # Errors
    ///
    /// Those of [`Lessor::revoke`], and [`LeaseError::Spawn`] if there is no room for a thread in which
    /// the range deleter is called.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// lessor.revoke(id).await?;
    /// assert_eq!(lessor.revoke(id).await, Err(LeaseError::LeaseNotFound));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.revoke_with(id, WriteBatch::default()).await
    }

    /// As [`revoke`](Self::revoke), together with writes of the host's, see
    /// [`BackendLessor::revoke_with`].
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::revoke_with`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// let mut writes = WriteBatch::default();
    /// writes.delete(Table::new("sessions"), "alice");
    /// lessor.revoke_with(id, writes).await?;
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn revoke_with(&self, id: LeaseId, writes: WriteBatch) -> Result<(), LeaseError> {
        let (writes, done) = self.shared().revoke_at_once(Haste::MustNotWait, id, writes);
        if let Some(done) = done {
            return done;
        }
        let answers = self
            .revoke_all(vec![Revocation::by_user(id)], writes)
            .await?;
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }

    /// Revokes leases, up to 1,024 in each transaction, and answers for each, see
    /// [`Lessor::revoke_many`].
    ///
    /// # Errors
    ///
    /// Those of [`Lessor::revoke_many`], and [`LeaseError::Spawn`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, LeaseId, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// let answers = lessor.revoke_many(&[LeaseId::try_from(7)?, id]).await?;
    /// assert_eq!(answers, [Err(LeaseError::LeaseNotFound), Ok(())]);
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn revoke_many(
        &self,
        ids: &[LeaseId],
    ) -> Result<Vec<Result<(), LeaseError>>, LeaseError> {
        let revocations = ids.iter().copied().map(Revocation::by_user);
        let answers = self.revoke_in_parts(revocations.collect()).await?;
        Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
    }

    /// Revokes the leases of an expired batch, as far as the fences still match, see
    /// [`Lessor::revoke_expired`]. [`expired`](Self::expired), whose example has it, brings such batches.
    ///
    /// # Errors
    ///
    /// Those of [`revoke_many`](Self::revoke_many).
    pub async fn revoke_expired(
        &self,
        batch: ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        self.revoke_in_parts(batch.revocations().collect()).await
    }

    /// Attaches items to a lease; an item of another lease is moved. All or nothing, see
    /// [`Lessor::attach`].
    ///
    /// # Errors
    ///
    /// Those of [`Lessor::attach`], and [`LeaseError::Backend`] if they are stored.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// lessor.attach(id, &["services/web/1".into()]).await?;
    /// assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.attach_with(id, items, WriteBatch::default()).await
    }

    /// As [`attach`](Self::attach), together with writes of the host's, such as the rows of the items.
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::attach_with`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("kv"), "services/web/1", "10.0.0.7");
    /// lessor.attach_with(id, &["services/web/1".into()], writes).await?;
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn attach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        let haste = Haste::MustNotWait;
        let (writes, done) = self.shared().attach_at_once(haste, id, items, writes);
        if let Some(done) = done {
            return done;
        }
        let items = items.to_vec();
        let job = Job::new(Command::Attach { id, items }, writes, Refusal::Drops);
        attached(self.carry(job).await?)
    }

    /// Detaches items from a lease; items of another lease stay where they are, see
    /// [`Lessor::detach`].
    ///
    /// # Errors
    ///
    /// Those of [`Lessor::detach`], and [`LeaseError::Backend`] if they are stored.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// lessor.attach(id, &["a".into()]).await?;
    /// lessor.detach(id, &["a".into()]).await?;
    /// assert_eq!(lessor.get_lease(b"a"), None);
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn detach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.detach_with(id, items, WriteBatch::default()).await
    }

    /// As [`detach`](Self::detach), together with writes of the host's, see
    /// [`BackendLessor::detach_with`].
    ///
    /// # Errors
    ///
    /// Those of [`BackendLessor::detach_with`]; then nothing is written.
    pub async fn detach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        let haste = Haste::MustNotWait;
        let (writes, done) = self.shared().detach_at_once(haste, id, items, writes);
        if let Some(done) = done {
            return done;
        }
        let items = items.to_vec();
        let job = Job::new(Command::Detach { id, items }, writes, Refusal::Drops);
        attached(self.carry(job).await?)
    }

    async fn grant_admitted(
        &self,
        id: LeaseId,
        ttl: Ttl,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let grant = Grant::new(id, ttl);
        let shared = self.shared();
        let (writes, done) = shared.grant_at_once(Haste::MustNotWait, &grant, writes);
        let (incarnation, runs) = match done {
            Some(granted) => granted?,
            None => {
                let job = Job::new(grant.into(), writes, Refusal::Drops);
                (granted(self.carry(job).await?)?, shared.note_granted())
            }
        };
        Ok(Lease::granted(id, ttl, incarnation, runs))
    }

    /// As [`Shared::revoke_many`](super::super::Shared::revoke_many).
    async fn revoke_in_parts(
        &self,
        revocations: Vec<Revocation>,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        let mut parts = Parts::of(&revocations);
        for some in parts_of(&revocations) {
            let part = self.revoke_all(some.to_vec(), WriteBatch::default()).await;
            if parts.add(part)?.is_break() {
                break;
            }
        }
        Ok(parts.answers)
    }

    async fn revoke_all(
        &self,
        revocations: Vec<Revocation>,
        writes: WriteBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        let job = Job::new(Command::Revoke(revocations), writes, Refusal::Drops);
        match self.carry(job).await? {
            Some((_, Answer::Revoked(answers))) => Ok(answers),
            _ => unreachable!("a revoke is answered as one"),
        }
    }

    /// Has a command carried out. Once it is in the line it goes to its end whatever becomes of this future.
    async fn carry(&self, job: Job) -> Result<Done, LeaseError> {
        let (reply, awaited) = self.inner.carrier.answers.open(self.shared());
        self.inner.carrier.give(Request { job, reply });
        awaited.answer().await
    }
}
