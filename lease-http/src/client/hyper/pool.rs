use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::connection::Connection;

/// The connections that nobody uses.
#[derive(Default)]
pub(super) struct Pool {
    // Few: a cluster has few members, and those without a connection are not here.
    members: Mutex<Vec<Member>>,
}

/// The idle connections to one member that live on one runtime. On another one they would not be driven.
struct Member {
    origin: Uri,
    runtime: Id,
    // Invariant: not empty, and in the order of their last use.
    idle: VecDeque<Idle>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last.
    pub(super) fn take(&self, origin: &Uri) -> Option<Connection> {
        let runtime = Handle::current().id();
        self.with_members(|members| {
            let is_it = |member: &Member| member.is(origin, runtime);
            let place = members.iter().position(is_it)?;
            let taken = members[place].idle.pop_back();
            if members[place].idle.is_empty() {
                members.swap_remove(place);
            }
            taken.map(|idle| idle.connection)
        })
    }

    /// Keeps a connection whose last use began at this time.
    pub(super) fn keep(&self, origin: Uri, connection: Connection, since: Instant) {
        let runtime = Handle::current().id();
        let idle = Idle { connection, since };
        // What is closed is closed without the lock.
        let closed = self.with_members(|members| {
            let closed: Vec<_> = members
                .iter_mut()
                .flat_map(|member| member.close_unused(since))
                .collect();
            members.retain(|member| !member.idle.is_empty());
            let mut of_member = members.iter_mut();
            match of_member.find(|member| member.is(&origin, runtime)) {
                Some(member) => member.idle.push_back(idle),
                None => members.push(Member {
                    origin,
                    runtime,
                    idle: [idle].into(),
                }),
            }
            closed
        });
        drop(closed);
    }

    fn with_members<R>(&self, work: impl FnOnce(&mut Vec<Member>) -> R) -> R {
        // Nothing panics under it.
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut members)
    }
}

impl Member {
    fn is(&self, origin: &Uri, runtime: Id) -> bool {
        self.runtime == runtime && self.origin == *origin
    }

    /// Takes out what has not been used for long, and what is too much.
    fn close_unused(&mut self, now: Instant) -> impl Iterator<Item = Idle> + '_ {
        let is_unused = move |idle: &Idle| now.saturating_duration_since(idle.since) >= MAX_IDLE;
        let unused = self.idle.iter().take_while(|idle| is_unused(idle)).count();
        let too_many = (self.idle.len() + 1).saturating_sub(MAX_KEPT);
        self.idle.drain(..unused.max(too_many))
    }
}

/// As long as hyper's own client keeps them.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// To each member, as etcd's transport between members.
const MAX_KEPT: usize = 1_024;

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::advance;

    use super::*;

    async fn connection() -> (Connection, DuplexStream) {
        let (near, far) = duplex(1024);
        let opened = Connection::open(TokioIo::new(near)).await;
        (opened.expect("nothing is sent"), far)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_for_long_is_closed_with_the_next_request() {
        let (a, b) = (Uri::from_static("http://a/"), Uri::from_static("http://b/"));
        let pool = Pool::default();
        let (old, mut far) = connection().await;
        pool.keep(a.clone(), old, Instant::now());
        advance(MAX_IDLE / 2).await;
        let (young, _far) = connection().await;
        pool.keep(a.clone(), young, Instant::now());
        advance(MAX_IDLE / 2).await;
        let (other, _far) = connection().await;
        pool.keep(b.clone(), other, Instant::now());
        assert_eq!(far.read(&mut [0]).await.expect("it is closed"), 0);
        assert!(pool.take(&a).is_some() && pool.take(&a).is_none());
        assert!(pool.take(&b).is_some() && pool.take(&b).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn not_more_than_a_bound_is_kept() {
        let origin = Uri::from_static("http://a/");
        let pool = Pool::default();
        for _ in 0..MAX_KEPT + 3 {
            let (connection, _) = connection().await;
            pool.keep(origin.clone(), connection, Instant::now());
        }
        let kept = std::iter::from_fn(|| pool.take(&origin)).count();
        assert_eq!(kept, MAX_KEPT);
    }
}
