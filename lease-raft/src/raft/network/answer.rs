use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use lease_pb::Message;
use lease_pb::leaseraftpb as pb;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::SnapshotResponse;

use super::incoming::{Incoming, Slot, give_up};
use super::{APPEND, GONE, Identity, PRE_VOTE, SNAPSHOT, TRANSFER, VOTE, messages};
use crate::error::with_causes;
use crate::raft::blocking::blocking;
use crate::raft::calls::Calls;
use crate::raft::codec::{self, CodecError};
use crate::raft::config::{LogId, Raft, Snapshot, SnapshotMeta, Vote, position};
use crate::raft::machine::Machine;
use crate::raft::removed::Removed;
use crate::raft::snapshot::{SnapshotData, Spool};
use crate::{InstallError, MemberId, PeerAnswer, Runtime};

/// What the members ask of this one's openraft.
pub(crate) struct Answerer {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) calls: Calls,
    /// It is the engine's: an engine that has stopped has let go of the store.
    pub(crate) machine: Weak<dyn Machine>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) removed: Arc<Removed>,
    /// Where the store's file is: snapshots arrive beside it.
    pub(crate) path: Option<PathBuf>,
    /// The snapshot that is on its way here.
    pub(crate) incoming: Arc<Slot>,
}

/// Why a member is not answered.
struct Refusal {
    status: u16,
    text: String,
}

impl Answerer {
    /// Nothing that a member sends makes it panic. What is strange is refused with a text and a line in
    /// the log.
    pub(crate) async fn answer(&self, from: MemberId, path: &str, body: &[u8]) -> PeerAnswer {
        let answered = match path {
            APPEND => self.append(from, body).await,
            VOTE => self.vote(from, body, false).await,
            PRE_VOTE => self.vote(from, body, true).await,
            TRANSFER => self.transfer(from, body).await,
            SNAPSHOT => self.chunk(from, body).await,
            _ => Err(Refusal::new(404, &format!("nobody answers {path}"))),
        };
        match answered {
            Ok(body) => PeerAnswer { status: 200, body },
            Err(Refusal { status, text }) => {
                tracing::warn!(from, path, status, text, "a member is refused");
                PeerAnswer {
                    status,
                    body: text.into_bytes(),
                }
            }
        }
    }

    async fn append(&self, from: MemberId, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request: pb::AppendRequest = codec::decode(body)?;
        self.check(from, request.header.as_ref())?;
        let request = messages::read_append(self.known_term(), from, request)?;
        let (vote, committed) = self.known();
        // Whoever has led before is told so.
        if request.vote >= vote {
            messages::check_append(committed, &request)?;
        }
        self.check_voter(from, &request.vote, false)?;
        let appends = |raft: Raft| async move { raft.append_entries(request).await };
        let response = self.calls.call(appends).await;
        let response = response.map_err(Refusal::stopped)?;
        Ok(messages::appended(&response).encode_to_vec())
    }

    async fn vote(&self, from: MemberId, body: &[u8], is_pre: bool) -> Result<Vec<u8>, Refusal> {
        let request: pb::VoteRequest = codec::decode(body)?;
        self.check(from, request.header.as_ref())?;
        let request = messages::read_vote(self.known_term(), from, request)?;
        self.check_voter(from, &request.vote, request.leadership_transfer)?;
        let votes = |raft: Raft| async move {
            match is_pre {
                true => raft.pre_vote(request).await,
                false => raft.vote(request).await,
            }
        };
        let response = self.calls.call(votes).await;
        let response = response.map_err(Refusal::stopped)?;
        Ok(messages::voted(&response).encode_to_vec())
    }

    async fn transfer(&self, from: MemberId, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request: pb::TransferRequest = codec::decode(body)?;
        self.check(from, request.header.as_ref())?;
        let request = messages::read_transfer(self.known_term(), from, request)?;
        let transfers = |raft: Raft| async move { raft.handle_transfer_leader(request).await };
        let response = self.calls.call(transfers).await;
        let response = response.map_err(Refusal::stopped)?;
        Ok(messages::transferred(&response).encode_to_vec())
    }

    async fn chunk(&self, from: MemberId, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request: pb::ChunkRequest = codec::decode(body)?;
        self.check(from, request.header.as_ref())?;
        let vote = messages::read_claim(self.known_term(), from, request.vote)?;
        let sent = request.meta.clone().ok_or(CodecError::Missing("meta"))?;
        let meta = codec::read_snapshot_meta(sent)?;
        let known = self.known_vote();
        if known > vote {
            return Ok(chunk_response(0, Some(&known)));
        }
        self.check_snapshot(&vote, &meta)?;
        self.check_voter(from, &vote, false)?;

        let mut slot = self.incoming.lock().await;
        let mut incoming = Incoming::take(&mut slot, from, vote, &request, self.path.as_deref())
            .map_err(|text| Refusal::new(409, &text))?;
        let data = request.data;
        let adding = move || incoming.add(&data).map(|()| incoming);
        let added = blocking(&*self.runtime, adding).await;
        let incoming = added
            .and_then(|added| added)
            .map_err(|error| Refusal::new(503, &error))?;
        if !incoming.is_complete() {
            let received = incoming.received();
            *slot = Some(incoming);
            if request.offset == 0 {
                let (slot, runtime) = (Arc::downgrade(&self.incoming), Arc::clone(&self.runtime));
                let gives_up = give_up(slot, runtime, from, request.transfer);
                self.runtime.spawn(Box::pin(gives_up));
            }
            return Ok(chunk_response(received, None));
        }
        let spool = incoming.finish().map_err(|text| Refusal::new(400, &text))?;
        let received = spool.len();
        let spool = self.check_rows(&meta, spool).await?;
        let installed = self.install(vote, meta, spool).await?;
        Ok(chunk_response(received, Some(&installed.vote)))
    }

    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        spool: Spool,
    ) -> Result<SnapshotResponse<crate::raft::config::Types>, Refusal> {
        tracing::info!(snapshot = %meta, bytes = spool.len(), "a snapshot has arrived");
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotData::Received(spool),
        };
        let installs = |raft: Raft| async move { raft.install_full_snapshot(vote, snapshot).await };
        let installed = self.calls.call(installs).await;
        installed.map_err(Refusal::stopped)
    }

    /// What cannot be installed would stop this member, and not the one that has sent it.
    async fn check_rows(&self, meta: &SnapshotMeta, mut spool: Spool) -> Result<Spool, Refusal> {
        let machine = self.machine.upgrade();
        let machine = machine.ok_or_else(|| Refusal::stopped("the engine"))?;
        let check = move || {
            let mut reader = spool.reader().map_err(|error| Refusal::new(503, &error))?;
            let index = machine.check(&mut reader).map_err(unfit)?;
            drop(reader);
            Ok::<_, Refusal>((spool, index))
        };
        let checked = blocking(&*self.runtime, check).await;
        let (spool, found) = checked.map_err(|error| Refusal::new(503, &error))??;
        let expected = meta.last_log_id.map_or(0, |last| position(last.index()));
        match found == expected {
            true => Ok(spool),
            false => {
                let text = format!("a snapshot of entry {found} that is said to be of {expected}");
                Err(Refusal::new(400, &text))
            }
        }
    }

    /// openraft panics over a snapshot that contradicts what is known.
    fn check_snapshot(&self, vote: &Vote, meta: &SnapshotMeta) -> Result<(), Refusal> {
        let committed = self.raft.metrics().borrow_watched().local_committed;
        let last = meta.last_log_id;
        let contradicts = last > committed && index(last) <= index(committed);
        let is_of_later_term = last.is_some_and(|id| codec::term_of(&id) > vote.leader_id().term);
        if contradicts || is_of_later_term || *meta.last_membership.log_id() > last {
            let text = format!("a snapshot of {vote} that cannot be: {meta}");
            return Err(Refusal::new(400, &text));
        }
        Ok(())
    }

    fn known_term(&self) -> u64 {
        self.known_vote().leader_id().term
    }

    /// Who leads, or wants to, with a vote that is new here, has to be a voter where it can be known. It cannot in
    /// general: whoever asks may have become one by entries that are not here yet, and be the only one whom this
    /// member could help to lead: raft has it follow strangers, and vote for them. But a leader that wants another
    /// one to lead asks a voter, and nothing depends on it; and who is the only voter has every entry that adds one.
    /// A leader that has removed itself leads on with the vote that is known.
    fn check_voter(&self, from: MemberId, vote: &Vote, is_asked: bool) -> Result<(), Refusal> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        // As with nearly all that a leader sends.
        if *vote <= metrics.vote {
            return Ok(());
        }
        let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
        let is_alone = voters == [self.identity.member];
        if (is_asked || is_alone) && !voters.contains(&from) {
            let alone = match is_alone {
                true => "; this one decides alone, as after a start with an empty directory",
                false => "",
            };
            let text = format!("member {from} is no voter, and wants to lead{alone}");
            return Err(Refusal::new(403, &text));
        }
        Ok(())
    }

    fn known_vote(&self) -> Vote {
        self.known().0
    }

    /// Who was voted for, and the last entry that is committed, of one moment.
    fn known(&self) -> (Vote, Option<LogId>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.vote, metrics.local_committed)
    }

    fn check(&self, from: MemberId, header: Option<&pb::RaftHeader>) -> Result<(), Refusal> {
        let checked = self.identity.check(from, header);
        checked.map_err(|text| Refusal::new(403, &text))?;
        match self.removed.contains(from) {
            true => Err(Refusal::new(GONE, &format!("member {from} was removed"))),
            false => Ok(()),
        }
    }
}

impl Refusal {
    fn new(status: u16, text: &dyn Display) -> Self {
        Self {
            status,
            text: text.to_string(),
        }
    }

    fn stopped(error: impl Display) -> Self {
        Self::new(503, &error)
    }
}

impl From<CodecError> for Refusal {
    fn from(error: CodecError) -> Self {
        Self::new(400, &error)
    }
}

fn index(id: Option<LogId>) -> Option<u64> {
    id.map(|id| id.index())
}

fn chunk_response(received: u64, vote: Option<&Vote>) -> Vec<u8> {
    pb::ChunkResponse {
        received,
        vote: vote.map(codec::vote),
    }
    .encode_to_vec()
}

fn unfit(error: InstallError) -> Refusal {
    let status = match error {
        InstallError::Damaged(_) | InstallError::Foreign(_) => 400,
        _ => 503,
    };
    Refusal::new(status, &with_causes(&error))
}
