use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use lease_pb::Message;
use lease_pb::leaseraftpb as pb;
use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::RPCOption;
use openraft::raft::{
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::acknowledged::Acknowledged;
use super::messages::{self, Append, Appended, RpcError};
use super::{APPEND, GONE, Identity, PRE_VOTE, SNAPSHOT, TRANSFER, VOTE};
use crate::raft::blocking::blocking;
use crate::raft::codec::{self, CodecError};
use crate::raft::config::{LogId, Snapshot, Types, Vote};
use crate::raft::removed::Removed;
use crate::raft::snapshot::{SnapshotData, Spool};
use crate::{Peers, Runtime};

/// How this member asks the others.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) identity: Identity,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Where the store's file is: snapshots are written beside it before they are sent.
    pub(crate) path: Option<PathBuf>,
    /// How long an answer to entries may take, which waits for a disk.
    pub(crate) append_timeout: Duration,
    /// How long the last chunk of a snapshot may take: it is installed meanwhile.
    pub(crate) install_timeout: Duration,
    pub(crate) removed: Arc<Removed>,
    pub(crate) transfers: Arc<AtomicU64>,
    pub(crate) acknowledged: Arc<Acknowledged>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Client {
        Client {
            network: self.clone(),
            target,
        }
    }
}

/// How this member asks one other.
pub(crate) struct Client {
    network: Network,
    target: u64,
}

impl Client {
    fn header(&self) -> pb::RaftHeader {
        self.network.identity.header(self.target)
    }

    async fn ask<A: Message + Default>(
        &self,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<A, RpcError> {
        let peers = &self.network.peers;
        let answer = peers
            .ask(self.target, path, body, timeout)
            .await
            .map_err(|error| RpcError::Unreachable(Unreachable::new(&error)))?;
        if answer.status == GONE {
            self.network.removed.hear();
        }
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body);
            let (member, status) = (self.target, answer.status);
            tracing::warn!(member, path, status, %text, "another member refuses what it is asked");
            return Err(network_error(format!("{path}: {status}: {text}")));
        }
        codec::decode(&answer.body).map_err(|error| self.nonsense(path, &error))
    }

    /// Another member does not speak as a member does.
    fn nonsense(&self, path: &str, error: &CodecError) -> RpcError {
        let member = self.target;
        tracing::warn!(member, path, %error, "another member answers nonsense");
        network_error(format!("{path}: {error}"))
    }

    /// Another member does not have what it has acknowledged.
    fn forgetful(&self, id: &LogId) -> RpcError {
        let member = self.target;
        tracing::error!(
            member,
            entry = %id,
            "a member has lost what it has acknowledged: it has to be removed, and to come back under another id"
        );
        network_error(format!("it has lost entry {id}"))
    }

    async fn ask_vote(
        &self,
        path: &'static str,
        request: &VoteRequest<Types>,
        timeout: Duration,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let body = messages::vote(self.header(), request).encode_to_vec();
        let answer = self.ask(path, body, timeout).await?;
        let known = request.vote.leader_id().term;
        messages::read_voted(known, answer).map_err(|error| self.nonsense(path, &error))
    }

    async fn send(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        chunk: usize,
        timeout: Duration,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let (meta, data) = (snapshot.meta, snapshot.snapshot);
        let runtime = &*self.network.runtime;
        let path = self.network.path.clone();
        let spooling = move || data.into_spool(path.as_deref());
        let mut spool = local(blocking(runtime, spooling).await)?;
        let transfer = self.network.transfers.fetch_add(1, Ordering::Relaxed);
        let (len, checksum) = (spool.len(), spool.checksum());
        let mut offset = 0;
        loop {
            let reading = move || {
                let data = spool.read_at(offset, chunk)?;
                Ok::<_, io::Error>((spool, data))
            };
            let (back, data): (Spool, Vec<u8>) = local(blocking(runtime, reading).await)?;
            spool = back;
            let end = offset + data.len() as u64;
            let timeout = match end == len {
                true => self.network.install_timeout,
                false => timeout,
            };
            let request = pb::ChunkRequest {
                header: Some(self.header()),
                vote: Some(codec::vote(&vote)),
                meta: Some(codec::snapshot_meta(&meta, len, checksum)),
                transfer,
                offset,
                data,
            };
            let body = request.encode_to_vec();
            let answer: pb::ChunkResponse = self.ask(SNAPSHOT, body, timeout).await?;
            if answer.vote.is_some() {
                let known = vote.leader_id().term;
                let vote = codec::read_sent_vote(known, answer.vote)
                    .map_err(|error| self.nonsense(SNAPSHOT, &error))?;
                return Ok(SnapshotResponse::new(vote));
            }
            if answer.received != end || end == len {
                let text = format!("{} bytes of {end} of a snapshot arrived", answer.received);
                return Err(network_error(text).into());
            }
            offset = end;
        }
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: Append,
        option: RPCOption,
    ) -> Result<Appended, RpcError> {
        // openraft grants a heartbeat interval, in which not every disk is done.
        let timeout = match request.entries.is_empty() {
            true => option.soft_ttl(),
            false => option.soft_ttl().max(self.network.append_timeout),
        };
        let last = request.entries.last().map(|entry| entry.log_id);
        let range = (request.prev_log_id, last.or(request.prev_log_id));
        let body = messages::append(self.header(), &request).encode_to_vec();
        let answer = self.ask(APPEND, body, timeout).await?;
        let known = request.vote.leader_id().term;
        let appended = messages::read_appended(known, range, answer)
            .map_err(|error| self.nonsense(APPEND, &error))?;
        let acknowledged = &self.network.acknowledged;
        match acknowledged.note(self.target, &request.vote, range, &appended) {
            Ok(()) => Ok(appended),
            Err(forgotten) => Err(self.forgetful(&forgotten)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(VOTE, &request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(PRE_VOTE, &request, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let chunk = option.snapshot_chunk_size().unwrap_or(DEFAULT_CHUNK).max(1);
        let last = snapshot.meta.last_log_id;
        let sending = pin!(self.send(vote, snapshot, chunk, option.soft_ttl()));
        match select(sending, pin!(cancel)).await {
            Either::Left((sent, _)) => {
                if sent.as_ref().is_ok_and(|sent| sent.vote == vote) {
                    let acknowledged = &self.network.acknowledged;
                    acknowledged.reach(self.target, &vote, last);
                }
                sent
            }
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        let body = messages::transfer(self.header(), &request).encode_to_vec();
        let answer = self.ask(TRANSFER, body, option.soft_ttl()).await?;
        messages::read_transferred(&request, answer)
            .map_err(|error| self.nonsense(TRANSFER, &error))
    }
}

/// A disk of this member's has failed: another attempt is made later, because only the snapshot is lost.
fn local<T>(done: io::Result<io::Result<T>>) -> Result<T, StreamingError<Types>> {
    done.and_then(|done| done).map_err(|error| {
        tracing::error!(%error, "a snapshot cannot be written beside the store");
        StreamingError::Unreachable(Unreachable::new(&error))
    })
}

fn network_error(text: String) -> RpcError {
    RpcError::Network(NetworkError::from_string(text))
}

const DEFAULT_CHUNK: usize = 1 << 20;
