use std::cell::Cell;
use std::io::{self, Read, Write};

use lease_core::{BackendError, HostError, LeaseError, Lessor, WriteBatch};
use lease_pb::Message;
use lease_pb::leaseraftpb::snapshot_part::Part;
use lease_pb::leaseraftpb::{SnapshotHeader, SnapshotPart, SnapshotRow, SnapshotRows};

use super::{Applying, Inner, Replica};
use crate::error::with_causes;
use crate::probe::planted;
use crate::{Fill, View, VisitRow};

/// Why a snapshot is not installed. The state is what it was, but for [`InstallError::HalfDone`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// It is damaged, or cut off.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// It is of another cluster, or of a newer version.
    #[error("the snapshot is not for this member: {0}")]
    Foreign(String),
    /// The state could not be read or written.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// It is stored, in the place of the state, and the member could not go on from there: it has
    /// [failed](Replica::failure), and has to be opened again.
    #[error("the snapshot is stored, but the member cannot go on from it: {0}")]
    HalfDone(#[source] LeaseError),
    /// The member has [failed](Replica::failure) before.
    #[error("the member has failed: {0}")]
    Failed(String),
}

/// The state of a member as of one entry of the log.
pub struct Snapshot {
    index: u64,
    cluster: String,
    view: Box<dyn View>,
}

/// The version of the format.
const FORMAT: u32 = 1;

/// How many bytes of rows are written together, about.
const PART_LEN: usize = 64 << 10;

impl Replica {
    /// The state as of now, which stays so while further entries are applied. It waits for the disk, for
    /// no longer than a commit takes.
    ///
    /// # Errors
    ///
    /// If what is pending cannot be written, or the store not be read.
    pub fn snapshot(&self) -> Result<Snapshot, LeaseError> {
        let inner = &self.inner;
        let applying = inner.applying();
        inner.lessor.flush().map_err(LeaseError::Backend)?;
        let view = inner.store.view().map_err(LeaseError::Backend)?;
        Ok(Snapshot {
            index: applying.applied,
            cluster: inner.options.cluster.clone(),
            view,
        })
    }

    /// Reads a snapshot through, and changes nothing. Returns its index.
    ///
    /// # Errors
    ///
    /// [`InstallError::Damaged`] and [`InstallError::Foreign`], and if it cannot be read.
    #[cfg(feature = "openraft")]
    pub(crate) fn check(&self, snapshot: &mut dyn Read) -> Result<u64, InstallError> {
        let index = self.inner.read_header(snapshot)?;
        read_rows(snapshot, &mut |_, _, _| Ok(()))?;
        Ok(index)
    }

    /// Replaces the state by that of a snapshot, unless that is older. `writes` is written on top, in the
    /// same transaction. Returns whether it did. It waits for the disk.
    ///
    /// Who waits for leases that are not there any more is told, and the member is no primary
    /// afterwards. Everything that is written waits while `snapshot` is read, also a stop: it is to be at hand,
    /// and not to come from a network.
    ///
    /// # Errors
    ///
    /// [`InstallError`].
    pub fn install(
        &self,
        snapshot: &mut dyn Read,
        writes: &WriteBatch,
    ) -> Result<bool, InstallError> {
        self.inner.install(snapshot, writes)
    }
}

impl Snapshot {
    /// The index of the last entry that is in it.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Writes it, in parts that each have a checksum. O(rows), a part in memory at a time.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or the parts not be written.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let header = SnapshotHeader {
            format: FORMAT,
            cluster: self.cluster.clone(),
            index: self.index,
        };
        write_part(to, Part::Header(header))?;
        let mut rows = SnapshotRows::default();
        let (mut len, mut count) = (0, 0);
        let visited = self.view.visit(&mut |table, key, value| {
            if len >= PART_LEN || rows.table != table {
                write_rows(to, &mut rows).map_err(to_backend)?;
                len = 0;
                table.clone_into(&mut rows.table);
            }
            if is_left_out(table) {
                return Ok(());
            }
            let value = &spoiled(table, value);
            len += key.len() + value.len();
            count += 1;
            rows.rows.push(SnapshotRow {
                key: key.to_vec(),
                value: value.to_vec(),
            });
            Ok(())
        });
        visited.map_err(io::Error::other)?;
        write_rows(to, &mut rows)?;
        write_part(to, Part::End(count))
    }
}

impl Inner {
    fn install(&self, snapshot: &mut dyn Read, writes: &WriteBatch) -> Result<bool, InstallError> {
        let mut applying = self.applying();
        if let Some(reason) = self.state().failure.clone() {
            return Err(InstallError::Failed(reason));
        }
        let index = self.read_header(snapshot)?;
        if index <= applying.applied && !planted!("raft-old-snapshot-installed") {
            return Ok(false);
        }
        self.replace_state(snapshot, writes)?;
        *applying = self.go_on().map_err(|error| self.half_done(error))?;
        let (lost, waiters) = {
            let mut state = self.state();
            let (applied, sessions) = (applying.applied, &applying.sessions);
            state.applied = applied;
            // What they have come to is not in the state.
            let may_be_applied =
                |number, made| sessions.may_have_applied(self.session, number, made, applied);
            let lost = state.proposals.let_go(may_be_applied);
            (lost, state.waiters.take_through(applied))
        };
        // Without the lock, since whoever waits may go on at once.
        drop(lost);
        waiters.tell();
        if planted!("raft-install-leaves-the-primary") {
            let epoch = self.lessor.epoch();
            self.lessor.promote_to(epoch, self.options.extend);
        }
        Ok(true)
    }

    /// Replaces what is stored, and the leases by it.
    fn replace_state(
        &self,
        snapshot: &mut dyn Read,
        writes: &WriteBatch,
    ) -> Result<(), InstallError> {
        let mut complaint = None;
        let may_be_replaced = Cell::new(false);
        let mut fill_from_snapshot = |fill: &mut dyn Fill| {
            let read = read_rows(snapshot, &mut |table, key, value| {
                fill.put(table, key, value)
            });
            match read {
                Ok(()) => fill.write(writes),
                Err(InstallError::Lease(LeaseError::Backend(error))) => Err(error),
                Err(error) => {
                    let text = error.to_string();
                    complaint = Some(error);
                    Err(BackendError::Damaged(text))
                }
            }
        };
        let recovered = self.lessor.recover_in_place(|| {
            // If it panics nobody knows.
            may_be_replaced.set(true);
            let replaced = self.store.replace(&mut fill_from_snapshot);
            may_be_replaced.set(replaced.is_ok());
            replaced
        });
        match recovered {
            Ok(()) => match complaint {
                None => Ok(()),
                // The store has taken what it was to leave.
                Some(complaint) => {
                    let damaged = BackendError::Damaged(complaint.to_string());
                    Err(self.half_done(LeaseError::Backend(damaged)))
                }
            },
            Err(error) if may_be_replaced.get() => Err(self.half_done(error)),
            Err(error) => Err(complaint.unwrap_or(error.into())),
        }
    }

    fn half_done(&self, error: LeaseError) -> InstallError {
        let error = InstallError::HalfDone(error);
        self.break_down(&with_causes(&error));
        error
    }

    /// Takes what else is stored for the state.
    fn go_on(&self) -> Result<Applying, LeaseError> {
        let recovered = self.machine.recover(&*self.store);
        recovered.map_err(LeaseError::Backend)?;
        let loaded = Applying::load(&*self.store, &self.options.cluster);
        loaded.map_err(LeaseError::Backend)
    }

    fn read_header(&self, from: &mut dyn Read) -> Result<u64, InstallError> {
        let Part::Header(header) = read_part(from)? else {
            return Err(InstallError::Damaged("it has no beginning".to_owned()));
        };
        if header.format != FORMAT {
            let text = format!("its format is {}", header.format);
            return Err(InstallError::Foreign(text));
        }
        if header.cluster != self.options.cluster {
            let text = format!("it is of the cluster {:?}", header.cluster);
            return Err(InstallError::Foreign(text));
        }
        Ok(header.index)
    }
}

fn read_rows(from: &mut dyn Read, put: &mut VisitRow<'_>) -> Result<(), InstallError> {
    let mut count = 0;
    loop {
        match read_part(from)? {
            Part::Header(_) => {
                return Err(InstallError::Damaged("it begins twice".to_owned()));
            }
            Part::Rows(SnapshotRows { table, rows }) => {
                for SnapshotRow { key, value } in &rows {
                    put(&table, key, value).map_err(LeaseError::Backend)?;
                    count += 1;
                }
            }
            Part::End(expected) if expected == count => return Ok(()),
            Part::End(expected) => {
                let text = format!("it has {count} rows of {expected}");
                return Err(InstallError::Damaged(text));
            }
        }
    }
}

fn write_rows(to: &mut dyn Write, rows: &mut SnapshotRows) -> io::Result<()> {
    let rows = std::mem::take(rows);
    if rows.rows.is_empty() {
        return Ok(());
    }
    write_part(to, Part::Rows(rows))
}

/// What a wrong snapshot has not.
fn is_left_out(table: &str) -> bool {
    if table == "lease_items" {
        return planted!("raft-snapshot-without-attachments");
    }
    table == "lease_raft_sessions" && planted!("raft-snapshot-without-sessions")
}

/// What a wrong snapshot makes of a row.
fn spoiled<'v>(table: &str, value: &'v [u8]) -> std::borrow::Cow<'v, [u8]> {
    if planted!("raft-snapshot-without-remaining") && table == "lease" {
        let lease = lease_pb::leasepb::Lease::decode(value).unwrap_or_default();
        let whole = lease_pb::leasepb::Lease {
            remaining_ttl: 0,
            ..lease
        };
        return whole.encode_to_vec().into();
    }
    value.into()
}

/// A part is its length, its checksum and its bytes.
fn write_part(to: &mut dyn Write, part: Part) -> io::Result<()> {
    let bytes = SnapshotPart { part: Some(part) }.encode_to_vec();
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(&checksum(&bytes).to_be_bytes())?;
    to.write_all(&bytes)
}

fn read_part(from: &mut dyn Read) -> Result<Part, InstallError> {
    let mut head = [0; 8];
    read_exact(from, &mut head)?;
    let [len, sum] = [&head[..4], &head[4..]].map(|half| {
        let half = half.try_into().unwrap_or_default();
        u32::from_be_bytes(half)
    });
    // A row may have any length; memory is taken for what is there alone.
    let mut bytes = Vec::new();
    let read = from.take(len.into()).read_to_end(&mut bytes);
    read.map_err(unread)?;
    if bytes.len() < len as usize {
        return Err(cut_off());
    }
    if checksum(&bytes) != sum {
        return Err(InstallError::Damaged("a checksum is wrong".to_owned()));
    }
    let part = SnapshotPart::decode(&bytes[..]);
    let part = part.map_err(|error| InstallError::Damaged(error.to_string()))?;
    let unknown = || InstallError::Foreign("it has a part that is not known".to_owned());
    part.part.ok_or_else(unknown)
}

fn read_exact(from: &mut dyn Read, bytes: &mut [u8]) -> Result<(), InstallError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        _ => unread(error),
    })
}

fn cut_off() -> InstallError {
    InstallError::Damaged("it is cut off".to_owned())
}

fn unread(error: io::Error) -> InstallError {
    InstallError::Lease(LeaseError::Backend(to_backend(error)))
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn to_backend(error: io::Error) -> BackendError {
    BackendError::Io(HostError::new(error))
}
