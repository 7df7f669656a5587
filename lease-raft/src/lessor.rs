use std::time::Duration;

use lease_core::{
    Answer, Incarnation, Lease, LeaseError, LeaseEvents, LeaseId, LeaseItem, Lessor, RequestedTtl,
    Revocation, Ttl,
};
use lease_http::messages::{Keys, LeaseTimes};

use crate::entry::Request;
use crate::replica::{Outcome, Replica};
use crate::{MemberId, ReplicaError, ReplicaStats};

/// Up to which moment a read sees what happens elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Consistency {
    /// All that was acknowledged before the call, by whatever member. It asks a quorum.
    #[default]
    Linearizable,
    /// What this member has applied, which may be old. It asks nobody, and does not fail.
    Local,
}

/// The leases of a cluster, from one of its members. Cheap to clone.
///
/// Commands go through the log, whoever leads; an answer comes when the command is applied at this
/// member, so that its reads see it. Each call has a timeout. A call that is dropped is not taken back.
///
/// Calls that go through the log, to the primary or to a quorum are spans of `tracing`: `call`, at the level
/// DEBUG, with the fields `what`, `member`, `lease` if there is one, and in the end `outcome`.
///
/// No call blocks the executor's thread, except for what [`Replica::apply`] holds meanwhile: some
/// microseconds, or a commit of the disk when writes come faster than it takes them.
#[derive(Clone)]
pub struct ReplicatedLessor {
    replica: Replica,
}

impl ReplicatedLessor {
    pub(crate) const fn new(replica: Replica) -> Self {
        Self { replica }
    }

    /// Grants a lease. Its incarnation, which is also its fencing token, is the index of its entry in
    /// the log.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused are an id that is there, and a TTL out of range.
    pub async fn grant(
        &self,
        id: LeaseId,
        ttl: impl Into<RequestedTtl>,
        timeout: Duration,
    ) -> Result<Granted, ReplicaError> {
        let ttl = self.replica.inner.lessor.admit_ttl(ttl)?;
        let request = Request::Grant { id, ttl };
        match self.propose_request(request, timeout).await? {
            Answer::Granted(Ok(incarnation)) => Ok(Granted {
                id,
                ttl,
                incarnation,
            }),
            Answer::Granted(Err(error)) => Err(error.into()),
            answer => Err(forged(&answer)),
        }
    }

    /// Grants a lease under an id that no other one has.
    ///
    /// # Errors
    ///
    /// As [`grant`](Self::grant).
    pub async fn grant_new(
        &self,
        ttl: impl Into<RequestedTtl>,
        timeout: Duration,
    ) -> Result<Granted, ReplicaError> {
        let ttl = ttl.into();
        loop {
            let id = self.replica.inner.lessor.new_id()?;
            match self.grant(id, ttl, timeout).await {
                Err(ReplicaError::Lease(LeaseError::LeaseExists)) => {}
                granted => return granted,
            }
        }
    }

    /// Revokes a lease, and deletes its items.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused is a lease that is not there.
    pub async fn revoke(&self, id: LeaseId, timeout: Duration) -> Result<(), ReplicaError> {
        let request = Request::Revoke(vec![Revocation::by_user(id)]);
        match self.propose_request(request, timeout).await? {
            Answer::Revoked(answers) => {
                let answer = answers.into_iter().next();
                let answer = answer.unwrap_or(Err(LeaseError::LeaseNotFound));
                answer.map(drop).map_err(Into::into)
            }
            answer => Err(forged(&answer)),
        }
    }

    /// Attaches items to a lease; an item of another lease is moved. They are deleted, or at least
    /// detached, when the lease ends.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused are a lease that is not there, and items beyond the limits.
    pub async fn attach(
        &self,
        id: LeaseId,
        items: Vec<LeaseItem>,
        timeout: Duration,
    ) -> Result<(), ReplicaError> {
        let request = Request::Attach { id, items };
        match self.propose_request(request, timeout).await? {
            Answer::Attached(answer) => answer.map_err(Into::into),
            answer => Err(forged(&answer)),
        }
    }

    /// Detaches items from a lease.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused is a lease that is not there.
    pub async fn detach(
        &self,
        id: LeaseId,
        items: Vec<LeaseItem>,
        timeout: Duration,
    ) -> Result<(), ReplicaError> {
        let request = Request::Detach { id, items };
        match self.propose_request(request, timeout).await? {
            Answer::Detached(answer) => answer.map_err(Into::into),
            answer => Err(forged(&answer)),
        }
    }

    /// Gives a lease its whole TTL again, at the primary. The answer comes when a quorum has said that
    /// it is the primary; one such question serves all that wait.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused is a lease that is not there, or that has expired.
    pub async fn renew(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, ReplicaError> {
        self.replica.inner.renew(id, timeout).await
    }

    /// Renews many leases, with one message to the primary for thousands of them and one question to the
    /// quorum. Each has its result, in the order of the ids, with the errors of [`renew`](Self::renew).
    pub async fn renew_many(
        &self,
        ids: &[LeaseId],
        timeout: Duration,
    ) -> Vec<Result<Ttl, ReplicaError>> {
        self.replica.inner.renew_many(ids, timeout).await
    }

    /// How much time a lease has left, which the primary knows; with its items if they are asked for.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; refused is a lease that is not there. [`ReplicaError::AnswerTooLong`] if its items are asked
    /// for at another member than the primary, and are longer than 32 MiB: [`lookup`](Self::lookup) has them at every
    /// member.
    pub async fn time_to_live(
        &self,
        id: LeaseId,
        keys: Keys,
        timeout: Duration,
    ) -> Result<LeaseTimes, ReplicaError> {
        self.replica.inner.time_to_live(id, keys, timeout).await
    }

    /// A lease as this member has it. How much time it has left only the primary knows.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`] and [`ReplicaError::Stopped`].
    pub async fn lookup(
        &self,
        id: LeaseId,
        consistency: Consistency,
        timeout: Duration,
    ) -> Result<Option<Lease>, ReplicaError> {
        self.read(consistency, timeout).await?;
        Ok(self.replica.inner.lessor.lookup(id))
    }

    /// The leases in the order of their ids, after `after` and at most `limit` of them. Two pages are
    /// two reads; they may be of two members.
    ///
    /// O(n log n) of all leases for each page, off the executor's threads: take large ones. That is not counted in the
    /// timeout.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`] and [`ReplicaError::Stopped`].
    pub async fn page(
        &self,
        after: Option<LeaseId>,
        limit: usize,
        consistency: Consistency,
        timeout: Duration,
    ) -> Result<Vec<Lease>, ReplicaError> {
        self.read(consistency, timeout).await?;
        let page = self.replica.inner.page(after, limit).await;
        page.ok_or(ReplicaError::Stopped)
    }

    /// Which lease an item is attached to.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`] and [`ReplicaError::Stopped`].
    pub async fn get_lease(
        &self,
        item: &[u8],
        consistency: Consistency,
        timeout: Duration,
    ) -> Result<Option<LeaseId>, ReplicaError> {
        self.read(consistency, timeout).await?;
        Ok(self.replica.inner.lessor.get_lease(item))
    }

    /// Waits until this member has applied all that was committed before the call, after which its
    /// host's own state may be read.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::DeadlineExceeded`] and [`ReplicaError::Stopped`].
    pub async fn catch_up(&self, timeout: Duration) -> Result<(), ReplicaError> {
        self.replica.inner.catch_up(timeout).await
    }

    /// Has the host's [machine](crate::StateMachine) apply a command on every member. Returns what it
    /// answers here.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`].
    pub async fn propose(
        &self,
        command: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, ReplicaError> {
        let request = Request::Host(command);
        match self.replica.inner.propose(request, timeout).await? {
            Outcome::Host(answer) => Ok(answer),
            outcome => Err(forged(&outcome)),
        }
    }

    /// What happens to leases at this member from now on, as a stream that keeps up to `capacity` events;
    /// see [`LeaseEvents`]. Grants and revokes, with their reason, are told by every member when it applies
    /// them; renewals and expiries by the primary alone.
    ///
    /// A member that has been away and is brought up by a snapshot tells nothing of what it has left out:
    /// whoever has to know it reads the leases then.
    #[must_use]
    pub fn events(&self, capacity: usize) -> LeaseEvents {
        self.replica.inner.lessor.events(capacity)
    }

    /// Has this member deliver no lease as expired until [`resume_expiry`](Self::resume_expiry), for an operator
    /// who wants nothing to be lost while he looks. What was delivered before is revoked all the same; a lease
    /// whose time is up meanwhile can be renewed. It is an act of this member alone, and means something while
    /// it is the primary: suspend it on every member, and by
    /// [`suspend_expiry`](crate::ReplicaOptions::suspend_expiry) on those that start. Beyond etcd. O(1).
    pub fn suspend_expiry(&self) {
        self.replica.inner.lessor.suspend_expiry();
    }

    /// Ends what [`suspend_expiry`](Self::suspend_expiry) began: what is due is delivered at once, as fast as the
    /// revoke rate allows. O(1).
    pub fn resume_expiry(&self) {
        self.replica.inner.lessor.resume_expiry();
    }

    /// What this member has counted, and how far it is. O(1).
    #[must_use]
    pub fn stats(&self) -> ReplicaStats {
        self.replica.inner.stats()
    }

    /// The member that this one takes for the leader.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.replica.inner.leader()
    }

    /// Whether this member leads, as far as it knows. It is the primary a little later, when it has applied its
    /// first entry.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.replica.member())
    }

    /// Whether this member is the primary, as far as it knows: what it does as such is confirmed each
    /// time.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.replica.inner.lessor.primary_epoch().is_some()
    }

    async fn propose_request(
        &self,
        request: Request,
        timeout: Duration,
    ) -> Result<Answer, ReplicaError> {
        match self.replica.inner.propose(request, timeout).await? {
            Outcome::Answer(answer) => Ok(answer),
            outcome => Err(forged(&outcome)),
        }
    }

    async fn read(&self, consistency: Consistency, timeout: Duration) -> Result<(), ReplicaError> {
        match consistency {
            Consistency::Linearizable => self.replica.inner.catch_up(timeout).await,
            Consistency::Local => Ok(()),
        }
    }
}

/// What comes of an entry that another member has made under the name of one of this member's, which is void then.
fn forged(outcome: &dyn std::fmt::Debug) -> ReplicaError {
    tracing::error!(?outcome, "another member has taken the name of a proposal");
    ReplicaError::Unknown
}

/// A lease that was granted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Granted {
    /// The lease.
    pub id: LeaseId,
    /// Its TTL.
    pub ttl: Ttl,
    /// Which grant of the id it is: the fencing token, which is larger than that of every earlier grant
    /// of the cluster.
    pub incarnation: Incarnation,
}
