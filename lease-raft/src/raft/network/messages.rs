//! Requests and answers as messages, and back. A message that an honest member would not send is refused,
//! because openraft takes what it is given for true, and panics over some of it.

use lease_pb::leaseraftpb as pb;
use openraft::errors::RPCError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::raft::codec::{self, CodecError};
use crate::raft::config::{LogId, Types, Vote};

pub(super) type Append = AppendEntriesRequest<Types>;
pub(super) type Appended = AppendEntriesResponse<Types>;
pub(super) type RpcError = RPCError<Types>;

pub(super) fn append(header: pb::RaftHeader, request: &Append) -> pb::AppendRequest {
    pb::AppendRequest {
        header: Some(header),
        vote: Some(codec::vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(codec::log_id),
        entries: request.entries.iter().map(codec::entry).collect(),
        committed: request.leader_commit.as_ref().map(codec::log_id),
    }
}

/// The claim of a leader. `known` is the term that is known here.
pub(super) fn read_claim(
    known: u64,
    from: u64,
    vote: Option<pb::RaftVote>,
) -> Result<Vote, CodecError> {
    let vote = codec::read_sent_vote(known, vote)?;
    if !vote.is_committed() || vote.leader_id().voted_for != from {
        return Err(strange(&format!(
            "{vote} is not the claim of leader {from}"
        )));
    }
    Ok(vote)
}

/// An entry of the log of whoever has sent this vote.
fn read_id_of(vote: &Vote, id: Option<pb::RaftLogId>) -> Result<Option<LogId>, CodecError> {
    let id = codec::read_some_log_id(id)?;
    match id {
        Some(id) if codec::term_of(&id) > vote.leader_id().term => Err(strange(&format!(
            "{vote} has the entry {id} of a later term"
        ))),
        id => Ok(id),
    }
}

pub(super) fn read_append(
    known: u64,
    from: u64,
    request: pb::AppendRequest,
) -> Result<Append, CodecError> {
    let vote = read_claim(known, from, request.vote)?;
    let previous = codec::read_some_log_id(request.previous)?;
    let entries = request
        .entries
        .into_iter()
        .map(codec::read_entry)
        .collect::<Result<Vec<_>, _>>()?;
    let mut last = previous;
    for entry in &entries {
        let id = entry.log_id;
        let follows = match last {
            None => id.index() == 0,
            Some(last) => {
                id.index() == last.index() + 1 && codec::term_of(&id) >= codec::term_of(&last)
            }
        };
        if !follows {
            return Err(strange(&format!("entry {id} follows no entry")));
        }
        last = Some(id);
    }
    if last.is_some_and(|last| codec::term_of(&last) > vote.leader_id().term) {
        return Err(strange(&format!("{vote} has an entry of a later term")));
    }
    Ok(Append {
        vote,
        prev_log_id: previous,
        entries,
        leader_commit: read_id_of(&vote, request.committed)?,
    })
}

/// Refuses what contradicts itself or `known`, an entry that is committed: terms do not fall in a log. Whoever leads
/// after it was committed has it.
pub(super) fn check_append(known: Option<LogId>, request: &Append) -> Result<(), CodecError> {
    let entries = request.entries.iter().map(|entry| entry.log_id);
    let sent = || request.prev_log_id.into_iter().chain(entries.clone());
    let fits = |committed: LogId| sent().all(|id| is_one_log(committed, id));
    let committed = request.leader_commit;
    let is_strange = |id: &LogId| !fits(*id);
    if let Some(id) = known.filter(is_strange).or(committed.filter(is_strange)) {
        return Err(strange(&format!("a log in which {id} is not committed")));
    }
    match (known, committed) {
        (Some(known), Some(committed)) if !is_one_log(known, committed) => Err(strange(&format!(
            "a log in which {committed} is committed, and not {known}"
        ))),
        _ => Ok(()),
    }
}

/// Whether two entries can be of one log.
fn is_one_log(a: LogId, b: LogId) -> bool {
    let terms = codec::term_of(&a).cmp(&codec::term_of(&b));
    let indices = a.index().cmp(&b.index());
    terms == indices || (terms.is_eq() && indices.is_ne())
}

pub(super) fn appended(response: &Appended) -> pb::AppendResponse {
    use pb::AppendOutcome as Outcome;

    let mut message = pb::AppendResponse::default();
    match response {
        AppendEntriesResponse::Success => message.set_outcome(Outcome::Appended),
        AppendEntriesResponse::PartialSuccess(last) => {
            message.set_outcome(Outcome::AppendedPartly);
            message.last = last.as_ref().map(codec::log_id);
        }
        AppendEntriesResponse::Conflict => message.set_outcome(Outcome::Conflict),
        AppendEntriesResponse::HigherVote(vote) => {
            message.set_outcome(Outcome::HigherVote);
            message.vote = Some(codec::vote(vote));
        }
    }
    message
}

/// `known` is the term of whoever has asked, and `range` what was sent: the entry before the first one, and the
/// last one.
pub(super) fn read_appended(
    known: u64,
    (previous, last): (Option<LogId>, Option<LogId>),
    response: pb::AppendResponse,
) -> Result<Appended, CodecError> {
    use pb::AppendOutcome as Outcome;

    match response.outcome() {
        Outcome::AppendUnknown => Err(CodecError::Missing("outcome")),
        Outcome::Appended => Ok(AppendEntriesResponse::Success),
        Outcome::AppendedPartly => {
            let reached = codec::read_some_log_id(response.last)?;
            if reached < previous || reached > last {
                return Err(strange(&"it has appended what was not sent"));
            }
            Ok(AppendEntriesResponse::PartialSuccess(reached))
        }
        // openraft asks for the entry before the first one then.
        Outcome::Conflict if previous.is_none() => Err(strange(&"a conflict with nothing")),
        Outcome::Conflict => Ok(AppendEntriesResponse::Conflict),
        Outcome::HigherVote => {
            let vote = codec::read_sent_vote(known, response.vote)?;
            Ok(AppendEntriesResponse::HigherVote(vote))
        }
    }
}

pub(super) fn vote(header: pb::RaftHeader, request: &VoteRequest<Types>) -> pb::VoteRequest {
    pb::VoteRequest {
        header: Some(header),
        vote: Some(codec::vote(&request.vote)),
        last: request.last_log_id.as_ref().map(codec::log_id),
        transfer: request.leadership_transfer,
    }
}

pub(super) fn read_vote(
    known: u64,
    from: u64,
    request: pb::VoteRequest,
) -> Result<VoteRequest<Types>, CodecError> {
    let vote = codec::read_sent_vote(known, request.vote)?;
    let last = codec::read_some_log_id(request.last)?;
    if vote.is_committed() || vote.leader_id().voted_for != from {
        return Err(strange(&format!(
            "{vote} is not the vote of candidate {from}"
        )));
    }
    if last.is_some_and(|last| codec::term_of(&last) >= vote.leader_id().term) {
        return Err(strange(&format!("{vote} has an entry of its own term")));
    }
    let mut request_ = VoteRequest::new(vote, last);
    request_.leadership_transfer = request.transfer;
    Ok(request_)
}

pub(super) fn voted(response: &VoteResponse<Types>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(codec::vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(codec::log_id),
    }
}

pub(super) fn read_voted(
    known: u64,
    response: pb::VoteResponse,
) -> Result<VoteResponse<Types>, CodecError> {
    let vote = codec::read_sent_vote(known, response.vote)?;
    Ok(VoteResponse {
        vote,
        vote_granted: response.granted,
        last_log_id: read_id_of(&vote, response.last)?,
    })
}

pub(super) fn transfer(
    header: pb::RaftHeader,
    request: &TransferLeaderRequest<Types>,
) -> pb::TransferRequest {
    pb::TransferRequest {
        header: Some(header),
        vote: Some(codec::vote(request.from_leader())),
        member: *request.to_node_id(),
        last: request.last_log_id().map(codec::log_id),
    }
}

pub(super) fn read_transfer(
    known: u64,
    from: u64,
    request: pb::TransferRequest,
) -> Result<TransferLeaderRequest<Types>, CodecError> {
    let vote = read_claim(known, from, request.vote)?;
    let last = read_id_of(&vote, request.last)?;
    Ok(TransferLeaderRequest::new(vote, request.member, last))
}

pub(super) fn transferred(response: &TransferLeaderResponse<Types>) -> pb::TransferResponse {
    use pb::TransferOutcome as Outcome;

    let mut message = pb::TransferResponse::default();
    match response {
        Ok(()) => message.set_outcome(Outcome::Accepted),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            message.set_outcome(Outcome::VoteChanged);
            message.vote = Some(codec::vote(actual));
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            message.set_outcome(Outcome::LogNotFlushed);
            message.last = actual.as_ref().map(codec::log_id);
        }
    }
    message
}

pub(super) fn read_transferred(
    request: &TransferLeaderRequest<Types>,
    response: pb::TransferResponse,
) -> Result<TransferLeaderResponse<Types>, CodecError> {
    use pb::TransferOutcome as Outcome;

    Ok(match response.outcome() {
        Outcome::TransferUnknown => return Err(CodecError::Missing("outcome")),
        Outcome::Accepted => Ok(()),
        Outcome::VoteChanged => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: codec::read_sent_vote(request.from_leader().leader_id().term, response.vote)?,
        }),
        Outcome::LogNotFlushed => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: codec::read_some_log_id(response.last)?,
        }),
    })
}

fn strange(what: &dyn std::fmt::Display) -> CodecError {
    CodecError::Strange(what.to_string())
}
