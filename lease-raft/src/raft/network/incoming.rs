use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::lock::Mutex;
use lease_pb::leaseraftpb as pb;

use crate::Runtime;
use crate::raft::config::Vote;
use crate::raft::snapshot::Spool;

/// Where the snapshot is that is on its way here.
pub(crate) type Slot = Mutex<Option<Incoming>>;

/// How long the next chunk is waited for. Whoever sends one waits for its answer less long, and begins anew then.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
            let is_same = other.is_of(from, request.transfer);
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

    fn is_of(&self, from: u64, transfer: u64) -> bool {
        (self.from, self.transfer) == (from, transfer)
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

/// Gives a transfer up of which nothing more comes, and deletes what has come. Without that it would stay on the disk
/// until there is another one. Ends with the transfer.
pub(super) async fn give_up(slot: Weak<Slot>, runtime: Arc<dyn Runtime>, from: u64, transfer: u64) {
    let mut seen = 0;
    let given_up = loop {
        runtime.sleep(LONGEST_PAUSE).await;
        let Some(slot) = slot.upgrade() else {
            return;
        };
        let mut slot = slot.lock().await;
        match slot.take_if(|incoming| incoming.is_of(from, transfer)) {
            None => return,
            Some(incoming) if incoming.received() == seen => break incoming,
            Some(incoming) => {
                seen = incoming.received();
                *slot = Some(incoming);
            }
        }
    };
    let (received, len) = (given_up.received(), given_up.meta.len);
    tracing::warn!(
        from,
        received,
        len,
        "a snapshot is given up: no more of it comes"
    );
    runtime.block(Box::new(move || drop(given_up))).await;
}
