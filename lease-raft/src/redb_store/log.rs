//! The tables of the log.

use std::ops::Range;

use lease_backend::redb::{Failure, RedbView, visit};
use lease_core::BackendError;
use lease_pb::Message;
use lease_pb::leaseraftpb as pb;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};

use super::RedbStore;
use crate::probe::planted;
use crate::raft::codec;
use crate::raft::config::{Entry, LogId, Vote};

/// A change of the log. Changes are made in the order in which they are asked for.
#[derive(Clone, Debug)]
pub(crate) enum LogChange {
    /// Entries that follow the last one.
    Append(Vec<Entry>),
    /// Removes the entries from this index on.
    Truncate {
        from: u64,
    },
    /// Removes the entries up to this one.
    Purge(LogId),
    Vote(Vote),
}

/// What the tables say when the store is opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct StoredLog {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) committed: Option<LogId>,
    /// The last entry, or the last one that was purged.
    pub(crate) last: Option<LogId>,
}

/// The tables that are not of the state.
pub(super) const TABLES: [&str; 2] = ["lease_raft_log", "lease_raft_log_meta"];

const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new(TABLES[0]);
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new(TABLES[1]);

const FORMAT: &str = "format";
const CLUSTER: &str = "cluster";
const MEMBER: &str = "member";
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const COMMITTED: &str = "committed";

const FORMAT_VERSION: u64 = 1;

impl RedbStore {
    pub(super) fn prepare_log(&self) -> Result<(), BackendError> {
        let found = self.backend.read(|transaction| {
            let has_log = transaction
                .list_tables()?
                .any(|table| redb::TableHandle::name(&table) == TABLES[1]);
            Ok(if has_log {
                number(transaction, FORMAT)?
            } else {
                None
            })
        })?;
        match found {
            Some(version) if version > FORMAT_VERSION => Err(BackendError::Foreign(format!(
                "the format of its log is {version}, newer than the {FORMAT_VERSION} that this \
                 version reads"
            ))),
            Some(_) => Ok(()),
            None => {
                self.check_new()?;
                self.backend.write(|transaction| {
                    transaction.open_table(LOG)?;
                    let mut meta = transaction.open_table(META)?;
                    meta.insert(FORMAT, FORMAT_VERSION.to_be_bytes().as_slice())?;
                    Ok(())
                })
            }
        }
    }

    /// Refuses a state that is that of no log: other members would not have it.
    fn check_new(&self) -> Result<(), BackendError> {
        let view = self.backend.view()?;
        visit(view.transaction(), &TABLES, &mut |table, _, _| {
            Err(BackendError::Foreign(format!(
                "it has rows in the table {table:?} and no log: it is that of a lessor alone"
            )))
        })
    }

    /// Says whose file it is, which is settled by the first call.
    pub(crate) fn identify(&self, cluster: &str, member: u64) -> Result<(), BackendError> {
        let found = self
            .backend
            .read(|transaction| Ok((bytes(transaction, CLUSTER)?, number(transaction, MEMBER)?)))?;
        match found {
            (None, None) => self.backend.write(|transaction| {
                let mut meta = transaction.open_table(META)?;
                meta.insert(CLUSTER, cluster.as_bytes())?;
                meta.insert(MEMBER, member.to_be_bytes().as_slice())?;
                Ok(())
            }),
            (Some(found), Some(owner)) if found == cluster.as_bytes() && owner == member => Ok(()),
            (found, owner) => Err(BackendError::Foreign(format!(
                "it belongs to member {} of cluster {:?}, and is opened as that of member {member} of cluster \
                 {cluster:?}",
                owner.unwrap_or_default(),
                String::from_utf8_lossy(&found.unwrap_or_default()),
            ))),
        }
    }

    /// Where the log stands, whose state is that of `applied`. O(1), but that it counts the entries.
    ///
    /// Entries are applied before they are durable in the log, and the state may be durable first. Then the file has
    /// what was in their place before: entries of a leader whom nobody follows any more. They are dropped, and what
    /// the state has is left out of the log.
    pub(crate) fn load_log(&self, applied: Option<LogId>) -> Result<StoredLog, BackendError> {
        let stored = self.read_log()?;
        match (applied, stored.last) {
            (Some(applied), Some(last))
                if last < applied
                    && last.index() >= applied.index()
                    && !planted!("openraft-overruled-stay") =>
            {
                tracing::info!(%applied, %last, "entries that were overruled are dropped");
                let from = applied.index() + 1;
                let changes = [LogChange::Truncate { from }, LogChange::Purge(applied)];
                self.write_log(&changes, None)?;
                self.read_log()
            }
            _ => Ok(stored),
        }
    }

    fn read_log(&self) -> Result<StoredLog, BackendError> {
        self.backend.read(|transaction| {
            let vote = message::<pb::RaftVote>(transaction, VOTE)?;
            let purged = read_id(transaction, PURGED)?;
            let committed = read_id(transaction, COMMITTED)?;
            let log = transaction.open_table(LOG)?;
            let first = log.first()?.map(|(index, _)| index.value());
            let last = log
                .last()?
                .map(|(index, row)| decoded(index.value(), row.value()))
                .transpose()?;
            if let (Some(first), Some(last)) = (first, &last) {
                let after_purged = purged.as_ref().map_or(0, |purged| purged.index() + 1);
                let entries = last.log_id.index() - first + 1;
                if first != after_purged || log.len()? != entries {
                    return Err(damaged(&format!(
                        "{} entries from {first} to {}, after {after_purged} were purged",
                        log.len()?,
                        last.log_id.index()
                    )));
                }
            }
            Ok(StoredLog {
                vote: vote
                    .map(|vote| codec::read_vote(Some(vote)))
                    .transpose()
                    .map_err(|error| damaged(&error))?,
                last: last.map(|entry| entry.log_id).or(purged),
                purged,
                committed,
            })
        })
    }

    /// Makes changes in one durable commit.
    pub(crate) fn write_log(
        &self,
        changes: &[LogChange],
        committed: Option<LogId>,
    ) -> Result<(), BackendError> {
        let written = self.backend.write(|transaction| {
            let mut meta = transaction.open_table(META)?;
            if let Some(committed) = &committed {
                let id = codec::log_id(committed).encode_to_vec();
                meta.insert(COMMITTED, id.as_slice())?;
            }
            for change in changes {
                match change {
                    LogChange::Append(entries) => append(transaction, entries)?,
                    LogChange::Truncate { from } => {
                        let mut log = transaction.open_table(LOG)?;
                        log.retain_in(*from.., |_, _| false)?;
                    }
                    LogChange::Purge(id) => {
                        let mut log = transaction.open_table(LOG)?;
                        log.retain_in(..=id.index(), |_, _| false)?;
                        let id = codec::log_id(id).encode_to_vec();
                        meta.insert(PURGED, id.as_slice())?;
                    }
                    LogChange::Vote(vote) => {
                        let vote = codec::vote(vote).encode_to_vec();
                        meta.insert(VOTE, vote.as_slice())?;
                    }
                }
            }
            Ok(())
        });
        self.note(written)
    }

    /// The log as of now, to be read from later.
    pub(crate) fn view_log(&self) -> Result<RedbView, BackendError> {
        self.backend.view()
    }
}

/// All entries of a range, until they are `max_bytes` or more. A missing one is damage.
pub(crate) fn read_entries(
    view: &RedbView,
    range: Range<u64>,
    max_bytes: usize,
) -> Result<Vec<Entry>, BackendError> {
    read(view.transaction(), range, max_bytes).map_err(|failure| failure.error().clone())
}

fn read(
    transaction: &ReadTransaction,
    range: Range<u64>,
    max_bytes: usize,
) -> Result<Vec<Entry>, Failure> {
    let log = transaction.open_table(LOG)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut rows = log.range(range.clone())?;
    for expected in range {
        let Some(row) = rows.next() else {
            return Err(damaged(&format!("there is no entry {expected}")));
        };
        let (index, row) = row?;
        let entry = decoded(index.value(), row.value())?;
        if index.value() != expected {
            return Err(damaged(&format!("there is no entry {expected}")));
        }
        entries.push(entry);
        bytes += row.value().len();
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(entries)
}

fn append(transaction: &WriteTransaction, entries: &[Entry]) -> Result<(), Failure> {
    let mut log = transaction.open_table(LOG)?;
    let mut row = Vec::new();
    for entry in entries {
        row.clear();
        let message = codec::entry(entry);
        message.encode(&mut row).expect("a vector grows");
        log.insert(entry.log_id.index(), row.as_slice())?;
    }
    Ok(())
}

fn decoded(index: u64, row: &[u8]) -> Result<Entry, Failure> {
    let entry = codec::decode(row).and_then(codec::read_entry);
    let entry = entry.map_err(|error| damaged(&format!("entry {index}: {error}")))?;
    if entry.log_id.index() != index {
        let found = entry.log_id.index();
        return Err(damaged(&format!("entry {index} says that it is {found}")));
    }
    Ok(entry)
}

fn bytes(transaction: &ReadTransaction, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    let meta = transaction.open_table(META)?;
    Ok(meta.get(key)?.map(|row| row.value().to_vec()))
}

fn number(transaction: &ReadTransaction, key: &str) -> Result<Option<u64>, Failure> {
    let Some(row) = bytes(transaction, key)? else {
        return Ok(None);
    };
    let number = <[u8; 8]>::try_from(row).map_err(|_| damaged(&format!("{key} is no number")))?;
    Ok(Some(u64::from_be_bytes(number)))
}

fn message<M: Message + Default>(
    transaction: &ReadTransaction,
    key: &str,
) -> Result<Option<M>, Failure> {
    let Some(row) = bytes(transaction, key)? else {
        return Ok(None);
    };
    let message = codec::decode(&row).map_err(|error| damaged(&format!("{key}: {error}")))?;
    Ok(Some(message))
}

fn read_id(transaction: &ReadTransaction, key: &str) -> Result<Option<LogId>, Failure> {
    codec::read_some_log_id(message::<pb::RaftLogId>(transaction, key)?)
        .map_err(|error| damaged(&format!("{key}: {error}")))
}

fn damaged(why: &dyn std::fmt::Display) -> Failure {
    BackendError::Damaged(format!("the log: {why}")).into()
}
