use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lease_core::{
    BackendLessor, LeaseError, LeaseId, LeaseItem, Lessor, LessorConfig, NullBackend, Ttl,
};
use lease_http::{handler, serve};
use tokio::net::{TcpListener, TcpSocket};

/// How a member is when it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Ready,
    /// It has not applied what is committed.
    Behind,
    Demoted,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Behind => "behind",
            Self::Demoted => "demoted",
        }
    }
}

type Applied = Pin<Box<dyn Future<Output = Result<(), LeaseError>> + Send>>;

/// Starts a member with our handler, and the leases that etcd's have as well. Returns its address.
pub(super) async fn start(state: State) -> Result<String> {
    let config = LessorConfig {
        min_ttl: Ttl::new(5)?,
        ..LessorConfig::default()
    };
    let lessor = BackendLessor::builder(Arc::new(NullBackend)).config(config);
    let lessor = Arc::new(lessor.build()?);
    lessor.promote(Duration::from_secs(1))?;
    let leases = [
        (1, 5),
        (-1, 60),
        (i64::MIN, 3600),
        (i64::MAX, Ttl::MAX.get()),
    ];
    for (id, ttl) in leases {
        lessor.grant(LeaseId::try_from(id)?, ttl)?;
    }
    let keys = [&b""[..], &[0, 0xff], b"bar"].map(LeaseItem::from);
    lessor.attach(LeaseId::try_from(-1)?, &keys)?;
    if state == State::Demoted {
        lessor.demote();
    }
    let applied = move || -> Applied {
        if state == State::Behind {
            Box::pin(pending())
        } else {
            Box::pin(ready(Ok(())))
        }
    };
    let listener = listen()?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener, handler(lessor, applied)));
    Ok(url)
}

/// Listens with a queue as long as that of Go's members, which is the system's longest. With the 128
/// places that `TcpListener::bind` asks for, the system cuts connections when hundreds come at once.
fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(4096)?)
}
