use std::future::Future;
use std::sync::Arc;

use http_body::Body;
use lease_core::{LeaseError, LeaseId, Lessor, Lookup};
use tokio::task::spawn_blocking;

use super::Handler;
use super::body::read_body;
use super::isolate::isolate;
use super::watch::{Wait, Watch};
use super::within::within;
use crate::messages::{Keys, Kind, Reply, Request, check_lease, check_method};

impl<W, F> Handler<W>
where
    W: Fn() -> F,
    F: Future<Output = Result<(), LeaseError>>,
{
    /// Answers a request. Dropped before its end it leaves nothing behind.
    pub(super) async fn answer<B: Body>(
        &self,
        request: http::Request<B>,
        watch: &mut Watch,
    ) -> Reply {
        let answered = self.try_answer(request, watch).await;
        let reply = answered.unwrap_or_else(|refusal| refusal);
        watch.end(reply.outcome());
        reply
    }

    async fn try_answer<B: Body>(
        &self,
        request: http::Request<B>,
        watch: &mut Watch,
    ) -> Result<Reply, Reply> {
        let (head, body) = request.into_parts();
        check_method(head.method.as_str())?;
        let body = read_body(&head.headers, body, self.timeouts.body).await?;
        let request = Request::decode(head.uri.path(), &body)?;
        watch.set_kind(request.kind());
        self.catch_up(request.kind(), watch).await?;
        match request {
            Request::Renew(id) => self.renew(id, watch).await,
            Request::TimeToLive { id, keys } => self.time_to_live(id, keys, watch).await,
            Request::RenewBatch(ids) => Ok(Reply::batch(&ids, &self.lessor.renew_many(&ids))),
        }
    }

    /// Waits until this member has applied what is committed.
    async fn catch_up(&self, kind: Kind, watch: &Watch) -> Result<(), Reply> {
        let _timer = watch.timer(Wait::Applied);
        let applied = isolate(async { (self.wait_applied)().await });
        let applied = within(self.timeouts.applied, applied).await;
        let applied = applied.ok().transpose().map_err(|_| Reply::broken())?;
        Reply::check_applied(kind, applied)
    }
}

impl<W> Handler<W> {
    async fn renew(&self, id: Option<LeaseId>, watch: &Watch) -> Result<Reply, Reply> {
        let _timer = watch.timer(Wait::Lease);
        let id = check_lease(Kind::Renew, id)?;
        let renewed = within(self.timeouts.lease, self.lessor.renew_async(id)).await;
        Ok(Reply::to_renewal(id, renewed.ok()))
    }

    async fn time_to_live(
        &self,
        id: Option<LeaseId>,
        keys: Keys,
        watch: &Watch,
    ) -> Result<Reply, Reply> {
        let _timer = watch.timer(Wait::Lease);
        let id = check_lease(Kind::TimeToLive, id)?;
        if keys == Keys::Omit {
            let left = isolate(async { self.lessor.time_to_live(id) }).await;
            return Ok(Reply::time_left(id, left.map_err(|_| Reply::broken())?));
        }
        match self.lessor.try_lookup(id) {
            None => Ok(Reply::time_to_live(None, keys)),
            Some(Lookup::Whole(lease)) => Ok(Reply::time_to_live(Some(&lease), keys)),
            Some(Lookup::WithoutItems(_)) => {
                let copied = within(self.timeouts.lease, self.copy_items(id)).await;
                copied.unwrap_or_else(|_| Err(Reply::items_not_copied()))
            }
        }
    }

    /// The answer with the many items of a lease. It waits for the commands of the lease, on a thread
    /// where that keeps nobody. There are only a few of these, also if callers go away: they may be many,
    /// and the items too.
    async fn copy_items(&self, id: LeaseId) -> Result<Reply, Reply> {
        let turn = Arc::clone(&self.copies).acquire_owned().await;
        let turn = turn.map_err(|_| Reply::items_not_copied())?;
        let lessor = Arc::clone(&self.lessor);
        let copied = spawn_blocking(move || {
            let _turn = turn;
            Reply::time_to_live(lessor.lookup(id).as_ref(), Keys::List)
        });
        copied.await.map_err(|_| Reply::broken())
    }
}
