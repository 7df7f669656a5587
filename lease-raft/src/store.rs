use lease_core::{Backend, BackendError, Table, WriteBatch};

/// Where a member keeps its state: a backend that can be read as of one moment, and replaced as a whole.
pub trait Store: Backend + 'static {
    /// The state as of now, whatever is committed afterwards. O(1).
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    fn view(&self) -> Result<Box<dyn View>, BackendError>;

    /// Replaces the whole state, in one transaction: if `fill` or the commit fails, the state is what
    /// it was. What is not of the state, as the log of a consensus engine in the same file, stays.
    ///
    /// # Errors
    ///
    /// What `fill` returns; or if the store cannot be written.
    fn replace(
        &self,
        fill: &mut dyn FnMut(&mut dyn Fill) -> Result<(), BackendError>,
    ) -> Result<(), BackendError>;
}

/// The state of a store as of one moment.
pub trait View: Send {
    /// Visits every row of every table, table by table in the order of their names, rows in the order
    /// of their keys, until a visit fails.
    ///
    /// # Errors
    ///
    /// The first that `visit` returns; or if the store cannot be read.
    fn visit(&self, visit: &mut VisitRow<'_>) -> Result<(), BackendError>;
}

/// Sees a row: the name of its table, its key and its value.
pub type VisitRow<'v> = dyn FnMut(&str, &[u8], &[u8]) -> Result<(), BackendError> + 'v;

/// What fills a store that is replaced.
pub trait Fill {
    /// Puts a row, as [`View::visit`] has brought it.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), BackendError>;

    /// Writes on top of the rows.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    fn write(&mut self, batch: &WriteBatch) -> Result<(), BackendError>;
}

/// The table in which a replica keeps what it knows of the log: the index that it has applied, and its
/// cluster.
pub(crate) fn meta() -> Table {
    Table::new(PREFIX)
}

/// Whether a table is one of this crate's own, which a host leaves alone: that of its index, its cluster, its
/// sessions, its engine and its log.
pub(crate) fn is_reserved(table: &Table) -> bool {
    table.name() == PREFIX || table.name().starts_with(PREFIX_OF_OTHERS)
}

const PREFIX: &str = "lease_raft";
const PREFIX_OF_OTHERS: &str = "lease_raft_";

/// The table of sessions.
pub(crate) fn sessions() -> Table {
    Table::new("lease_raft_sessions")
}
