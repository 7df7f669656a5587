use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use tokio::runtime::{Handle, Id};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;

/// The connections that nobody uses.
#[derive(Default)]
pub(super) struct Pool {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    // Few: a cluster has few members, and those without a connection are not here.
    members: Vec<Member>,
    // The task that closes what is not used, as long as there is something.
    closer: Option<AbortHandle>,
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
        self.with_kept(|Kept { members, .. }| {
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
    pub(super) fn keep(self: &Arc<Self>, origin: Uri, connection: Connection, since: Instant) {
        let runtime = Handle::current();
        let idle = Idle { connection, since };
        // What is closed is closed without the lock.
        let closed = self.with_kept(|kept| {
            if kept.closer.as_ref().is_none_or(AbortHandle::is_finished) {
                let closer = close_in_time(Arc::downgrade(self), since + MAX_IDLE);
                kept.closer = Some(runtime.spawn(closer).abort_handle());
            }
            // The task may be on a runtime that nobody drives.
            let mut closed = kept.take_unused(since);
            let members = &mut kept.members;
            let mut of_member = members.iter_mut();
            match of_member.find(|member| member.is(&origin, runtime.id())) {
                Some(member) => {
                    member.idle.push_back(idle);
                    if member.idle.len() > MAX_KEPT {
                        closed.extend(member.idle.pop_front());
                    }
                }
                None => members.push(Member {
                    origin,
                    runtime: runtime.id(),
                    idle: [idle].into(),
                }),
            }
            closed
        });
        drop(closed);
    }

    /// Closes what has not been used for long. Returns when there is something to close next; `None` if
    /// nothing is kept, and then nobody closes any more.
    fn close_unused(&self, now: Instant) -> Option<Instant> {
        let (closed, next) = self.with_kept(|kept| {
            let closed = kept.take_unused(now);
            let oldest = kept.members.iter().filter_map(|member| member.idle.front());
            let next = oldest.map(|idle| idle.since + MAX_IDLE).min();
            if next.is_none() {
                kept.closer = None;
            }
            (closed, next)
        });
        drop(closed);
        next
    }

    fn with_kept<R>(&self, work: impl FnOnce(&mut Kept) -> R) -> R {
        // Nothing panics under it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut kept)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let closer = self.with_kept(|kept| mem::take(&mut kept.closer));
        closer.iter().for_each(AbortHandle::abort);
    }
}

impl Kept {
    fn take_unused(&mut self, now: Instant) -> Vec<Idle> {
        let members = self.members.iter_mut();
        let unused = members.flat_map(|member| member.take_unused(now)).collect();
        self.members.retain(|member| !member.idle.is_empty());
        unused
    }
}

async fn close_in_time(pool: Weak<Pool>, first: Instant) {
    let mut next = Some(first);
    while let Some(time) = next {
        sleep_until(time).await;
        next = pool
            .upgrade()
            .and_then(|pool| pool.close_unused(time.max(Instant::now())));
    }
}

impl Member {
    fn is(&self, origin: &Uri, runtime: Id) -> bool {
        self.runtime == runtime && self.origin == *origin
    }

    /// Takes out what has not been used for long.
    fn take_unused(&mut self, now: Instant) -> impl Iterator<Item = Idle> + '_ {
        let is_unused = move |idle: &Idle| now.saturating_duration_since(idle.since) >= MAX_IDLE;
        let unused = self.idle.iter().take_while(|idle| is_unused(idle)).count();
        self.idle.drain(..unused)
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
    use tokio::time::sleep;

    use super::*;

    async fn connection() -> (Connection, DuplexStream) {
        let (near, far) = duplex(1024);
        let opened = Connection::open(TokioIo::new(near)).await;
        (opened.expect("nothing is sent"), far)
    }

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_for_long_is_closed() {
        let (a, b) = (Uri::from_static("http://a/"), Uri::from_static("http://b/"));
        let pool = Arc::<Pool>::default();
        for _ in 0..2 {
            let start = Instant::now();
            let (old, mut far) = connection().await;
            pool.keep(a.clone(), old, Instant::now());
            sleep(MAX_IDLE / 2).await;
            let (young, mut far_from_young) = connection().await;
            pool.keep(b.clone(), young, Instant::now());
            for (far, halves) in [(&mut far, 2), (&mut far_from_young, 3)] {
                assert_eq!(far.read(&mut [0]).await.expect("it is closed"), 0);
                let late = start.elapsed() - MAX_IDLE * halves / 2;
                assert!(late <= Duration::from_millis(2), "{late:?}");
            }
            assert!(pool.take(&a).is_none() && pool.take(&b).is_none());
            sleep(Duration::from_millis(1)).await;
            assert_eq!(tasks(), 0, "nothing is kept");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_used_is_kept() {
        let origin = Uri::from_static("http://a/");
        let pool = Arc::<Pool>::default();
        let (mut used, _far) = connection().await;
        for _ in 0..5 {
            pool.keep(origin.clone(), used, Instant::now());
            sleep(MAX_IDLE * 2 / 3).await;
            used = pool.take(&origin).expect("it is kept");
            assert_eq!(tasks(), 1);
        }
        pool.keep(origin.clone(), used, Instant::now());
        drop(pool);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(tasks(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn not_more_than_a_bound_is_kept() {
        let origin = Uri::from_static("http://a/");
        let pool = Arc::<Pool>::default();
        for _ in 0..MAX_KEPT + 3 {
            let (connection, _) = connection().await;
            pool.keep(origin.clone(), connection, Instant::now());
        }
        let kept = std::iter::from_fn(|| pool.take(&origin)).count();
        assert_eq!(kept, MAX_KEPT);
    }
}
