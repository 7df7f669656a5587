use std::collections::VecDeque;

use super::job::Seat;
use super::waiting::Waiting;
use crate::WriteBatch;
use crate::sync::Arc;
use crate::sync::thread::ThreadId;

/// The one road that every command goes: it is decided, its rows are written, it is applied.
///
/// A command that touches a lease of another one that is decided and not applied yet waits, behind
/// those that came before it; all others go on. What is decided is written by one writer at a time.
#[derive(Default)]
pub(super) struct Road {
    // What is not decided yet.
    pub(super) waiting: Waiting,
    // What is decided and waits for the next transaction, of a lessor without a journal.
    pub(super) ready: Vec<(WriteBatch, Arc<Seat>)>,
    // Whose rows are in the transaction that is being written.
    pub(super) writing: Vec<Arc<Seat>>,
    // Who wants to be the writer for a purpose of his own.
    pub(super) wanting: VecDeque<Arc<Seat>>,
    // The writer, if there is one.
    pub(super) writer: Option<ThreadId>,
    // Whether everything waits for a recovery.
    pub(super) is_closed: bool,
    // Whether a stop has given up waiting for the writer: nobody else waits for it either.
    pub(super) is_given_up: bool,
}
