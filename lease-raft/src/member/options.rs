use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use lease_backend::RedbOptions;
use lease_core::{Clock, Observer, SystemClock};

use crate::grpc::Tls;
use crate::peers::MAX_BODY_LEN;
use crate::raft::check_id;
use crate::{
    EngineError, MemberId, NoMachine, OpenraftOptions, ReplicaOptions, StartError, StateMachine,
};

/// What a member does in the cluster that it joins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum JoinAs {
    /// It decides: a majority of all that do has to be there.
    #[default]
    Voter,
    /// It gets the log, answers reads, and is not counted.
    Learner,
}

/// Who a [`Member`](crate::Member) is, and how it runs.
///
/// ```
/// use lease_raft::{MemberOptions, ReplicaOptions};
/// use std::time::Duration;
///
/// let options = MemberOptions::new("/var/lib/leases", "blue", 1, "10.0.0.1:7351")
///     .listen("0.0.0.0:7351")
///     .replica(ReplicaOptions { extend: Duration::from_secs(2), ..ReplicaOptions::default() });
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct MemberOptions {
    pub(super) dir: PathBuf,
    pub(super) cluster: String,
    pub(super) member: MemberId,
    pub(super) address: String,
    pub(super) listen: Option<String>,
    pub(super) join_as: JoinAs,
    pub(super) tls: Option<Tls>,
    pub(super) redb: RedbOptions,
    pub(super) openraft: OpenraftOptions,
    pub(super) replica: ReplicaOptions,
    pub(super) machine: Arc<dyn StateMachine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) stop_timeout: Duration,
}

/// As that of a lessor.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

impl MemberOptions {
    /// Member `member` of cluster `cluster`, whose files are in `dir`, and which the others find at `address`,
    /// a host and a port. All else is as the defaults say, without TLS.
    ///
    /// The directory is made if there is none. An id is not 0, and is never given to a second member, and the name of the
    /// cluster to no other one that could be reached: they are what keeps strangers apart.
    #[must_use]
    pub fn new(
        dir: impl Into<PathBuf>,
        cluster: impl Into<String>,
        member: MemberId,
        address: impl Into<String>,
    ) -> Self {
        Self {
            dir: dir.into(),
            cluster: cluster.into(),
            member,
            address: address.into(),
            listen: None,
            join_as: JoinAs::Voter,
            tls: None,
            redb: RedbOptions::new(),
            openraft: OpenraftOptions::new(),
            replica: ReplicaOptions::default(),
            machine: Arc::new(NoMachine),
            clock: Arc::new(SystemClock::default()),
            observer: None,
            stop_timeout: STOP_TIMEOUT,
        }
    }

    /// Where the member listens, if not at its address.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// What it does in a cluster that it joins. Without a meaning for one that starts its own.
    #[must_use]
    pub const fn join_as(mut self, join_as: JoinAs) -> Self {
        self.join_as = join_as;
        self
    }

    /// With certificates, which all members have then.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How its file is opened.
    #[must_use]
    pub const fn redb(mut self, options: RedbOptions) -> Self {
        self.redb = options;
        self
    }

    /// How its engine keeps time. Equal on all members.
    #[must_use]
    pub const fn openraft(mut self, options: OpenraftOptions) -> Self {
        self.openraft = options;
        self
    }

    /// How it behaves, and its lessor. Equal on all members. The `cluster` in it is not used: that of
    /// [`new`](Self::new) is.
    #[must_use]
    pub fn replica(mut self, options: ReplicaOptions) -> Self {
        self.replica = options;
        self
    }

    /// The host's own state, which its commands change in the log.
    #[must_use]
    pub fn machine(mut self, machine: Arc<dyn StateMachine>) -> Self {
        self.machine = machine;
        self
    }

    /// The lessor's clock, which is the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told what happens in the lessor, such as its metrics.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How long the member's disk and the host's machine are waited for when the member [stops](crate::Member::stop),
    /// 30 seconds by default. What has not ended by then is said, and left alone.
    #[must_use]
    pub const fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// # Errors
    ///
    /// [`StartError::Options`] and [`EngineError::Options`] if they cannot work.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let (bytes, limit) = (self.replica.max_entry_bytes, MAX_BODY_LEN);
        if bytes > limit {
            let text = format!("no message carries entries of {bytes} bytes, but {limit} at most");
            return Err(EngineError::Options(text).into());
        }
        for (is_none, name) in [
            (self.replica.max_expired_batches == 0, "max_expired_batches"),
            (self.replica.max_proposals == 0, "max_proposals"),
            (self.replica.ask_timeout.is_zero(), "ask_timeout"),
        ] {
            if is_none {
                return Err(StartError::Options(format!("{name} is 0")));
            }
        }
        if self.cluster.is_empty() {
            return Err(StartError::Options("the cluster has no name".to_owned()));
        }
        check_id(self.member)?;
        check_address(&self.address)?;
        if let Some(Err(why)) = self.tls.as_ref().map(Tls::check) {
            return Err(StartError::Options(format!("the certificates: {why}")));
        }
        Ok(self.openraft.config(&self.cluster).map(drop)?)
    }
}

/// # Errors
///
/// [`StartError::Options`] if no member is to be found there.
pub(super) fn check_address(address: &str) -> Result<(), StartError> {
    let refused = |why| StartError::Options(format!("the address {address:?} {why}"));
    let is_anywhere = |host: &str| {
        let host = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host.is_ok_and(|host| host.is_unspecified())
    };
    let authority = address.parse::<Authority>().ok();
    let found = authority.as_ref().map(|it| (it.host(), it.port_u16()));
    match found {
        Some((host, Some(1..))) if is_anywhere(host) => Err(refused(
            "is none at which others find a member, but one at which a member may listen",
        )),
        Some((host, Some(1..))) if !host.is_empty() => Ok(()),
        _ => Err(refused("is no host and port, such as 10.0.0.1:7351")),
    }
}

impl std::fmt::Debug for MemberOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberOptions")
            .field("dir", &self.dir)
            .field("cluster", &self.cluster)
            .field("member", &self.member)
            .field("address", &self.address)
            .field("listen", &self.listen)
            .field("join_as", &self.join_as)
            .field("tls", &self.tls)
            .field("redb", &self.redb)
            .field("openraft", &self.openraft)
            .field("replica", &self.replica)
            .field("stop_timeout", &self.stop_timeout)
            .finish_non_exhaustive()
    }
}
