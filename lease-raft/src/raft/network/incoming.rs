use std::io::{self, Write};
use std::path::Path;

use lease_pb::leaseraftpb as pb;

use crate::raft::config::Vote;
use crate::raft::snapshot::Spool;

/// A snapshot of which not all has arrived.
pub(crate) struct Incoming {
    from: u64,
    transfer: u64,
    vote: Vote,
    meta: pb::SnapshotMeta,
    spool: Spool,
}

impl Incoming {
    /// The transfer that a chunk belongs to, which is out of its slot then: a chunk that fails ends it.
    /// The first chunk begins a new one, in the place of any of no higher vote.
    ///
    /// # Errors
    ///
    /// If the chunk does not follow what has arrived.
    pub(super) fn take(
        slot: &mut Option<Self>,
        from: u64,
        vote: Vote,
        request: &pb::ChunkRequest,
        store: Option<&Path>,
    ) -> Result<Self, String> {
        let meta = request.meta.clone().unwrap_or_default();
        let end = request.offset.checked_add(request.data.len() as u64);
        if end.is_none_or(|end| end > meta.len) {
            return Err(format!("a chunk goes beyond the {} bytes", meta.len));
        }
        if request.offset == 0 {
            if slot.as_ref().is_some_and(|other| other.vote > vote) {
                return Err("a snapshot of a newer leader is on its way".to_owned());
            }
            let spool = Spool::new(store).map_err(|error| error.to_string())?;
            *slot = None;
            return Ok(Self {
                from,
                transfer: request.transfer,
                vote,
                meta,
                spool,
            });
        }
        let follows = |other: &mut Self| {
            let is_same = (other.from, other.transfer) == (from, request.transfer);
            is_same && other.meta == meta && other.spool.len() == request.offset
        };
        slot.take_if(follows)
            .ok_or_else(|| format!("no chunk before byte {} is here", request.offset))
    }

    pub(super) fn add(&mut self, data: &[u8]) -> io::Result<()> {
        self.spool.write_all(data)
    }

    pub(super) const fn received(&self) -> u64 {
        self.spool.len()
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.spool.len() == self.meta.len
    }

    /// # Errors
    ///
    /// If the bytes are not those that were sent.
    pub(super) fn finish(self) -> Result<Spool, String> {
        let (found, expected) = (self.spool.checksum(), self.meta.checksum);
        if found == expected {
            return Ok(self.spool);
        }
        Err(format!(
            "the checksum of a snapshot is {found:08x}, not {expected:08x}"
        ))
    }
}
