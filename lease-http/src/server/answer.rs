use std::future::Future;
use std::sync::Arc;

use http_body::Body;
use lease_core::{Lease, LeaseError, LeaseId, Lessor, Lookup};
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
        let lease = match self.lessor.try_lookup(id) {
            None => None,
            Some(Lookup::Whole(lease)) => Some(lease),
            Some(Lookup::WithoutItems(lease)) => match keys {
                Keys::Omit => Some(lease),
                Keys::List => self.lookup(id).await?,
            },
        };
        Ok(Reply::time_to_live(lease.as_ref(), keys))
    }

    /// The lease with its many items. It waits for the commands of the lease, on a thread where that
    /// keeps nobody.
    async fn lookup(&self, id: LeaseId) -> Result<Option<Lease>, Reply> {
        let lessor = Arc::clone(&self.lessor);
        let lookup = spawn_blocking(move || lessor.lookup(id));
        let lease = within(self.timeouts.lease, lookup).await;
        let lease = lease.map_err(|_| Reply::items_not_copied())?;
        lease.map_err(|_| Reply::broken())
    }
}
