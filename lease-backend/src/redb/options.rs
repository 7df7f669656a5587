use std::path::Path;

use lease_core::BackendError;
use redb::StorageBackend;

use super::RedbBackend;
use super::place::Place;

/// How a [`RedbBackend`] is opened.
///
/// Every commit is durable when it returns. Batching is the lessor's business, see
/// `Durability` in `lease-core`.
///
/// ```
/// use lease_backend::{RedbOptions, RepairMode};
///
/// let options = RedbOptions::new().cache_size(16 << 20).repair(RepairMode::Quick);
/// let dir = tempfile::tempdir()?;
/// let backend = options.open(dir.path().join("leases.redb"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct RedbOptions {
    pub(super) cache_size: usize,
    pub(super) repair: RepairMode,
    pub(super) integrity_check: IntegrityCheck,
}

/// What opening a file costs after a crash, against what each commit costs.
///
/// ```
/// use lease_backend::{RedbOptions, RepairMode};
///
/// // A commit waits for two syncs, and a file of any size is open at once.
/// let options = RedbOptions::new().repair(RepairMode::Quick);
/// # assert_ne!(options, RedbOptions::new());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RepairMode {
    /// Opening after a crash reads the whole file: about 50 ms for a million leases. A commit waits
    /// for one sync.
    ///
    /// After a crash a last commit that was damaged looks like one that the crash has torn, and the
    /// file opens as it was before that commit.
    #[default]
    Full,
    /// Opening after a crash takes about a millisecond, unless [`IntegrityCheck::EveryOpen`] reads
    /// the whole file. A commit waits for two syncs.
    ///
    /// The second one tells a torn commit from a damaged one.
    Quick,
}

/// When the checksums of the whole file are verified.
///
/// | | [`EveryOpen`](Self::EveryOpen) | [`AfterCrash`](Self::AfterCrash) |
/// |---|---|---|
/// | a file that was closed | found | not found |
/// | not closed, [`RepairMode::Full`] | found, or in the last commit: opens without it | the same |
/// | not closed, [`RepairMode::Quick`] | found | not found |
///
/// "Found" is [`BackendError::Damaged`], or [`BackendError::Foreign`] if the file does not even
/// begin as one of redb's. It holds for every byte that is in use but for one bit of the header,
/// which says what of the newest two commits is the last one: with that bit wrong, a file that was
/// not closed opens without its last commit. `tests/altered_files.rs` tries it out.
///
/// ```
/// use lease_backend::{IntegrityCheck, RedbOptions};
///
/// // The host's own rows make the file large.
/// let options = RedbOptions::new().integrity_check(IntegrityCheck::AfterCrash);
/// # assert_ne!(options, RedbOptions::new());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum IntegrityCheck {
    /// Each time the file is opened, which reads all of it: about 50 ms for a million leases,
    /// less than loading them.
    #[default]
    EveryOpen,
    /// Only when the file was not closed properly, and not with [`RepairMode::Quick`]. For a host
    /// whose own rows make the file large. Where wrong bytes are not found, redb may panic or answer
    /// wrongly when it comes to the page.
    AfterCrash,
}

impl RedbOptions {
    /// 64 MiB of cache, full repair, a check whenever the file is opened.
    ///
    /// ```
    /// use lease_backend::{IntegrityCheck, RedbOptions, RepairMode};
    ///
    /// let spelled_out = RedbOptions::new()
    ///     .cache_size(64 << 20)
    ///     .repair(RepairMode::Full)
    ///     .integrity_check(IntegrityCheck::EveryOpen);
    /// assert_eq!(RedbOptions::new(), spelled_out);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cache_size: 64 << 20,
            repair: RepairMode::Full,
            integrity_check: IntegrityCheck::EveryOpen,
        }
    }

    /// How many bytes of pages redb keeps in memory, half of them at most for uncommitted ones.
    /// Zero is valid: every page is then read from the file.
    ///
    /// ```
    /// use lease_backend::RedbOptions;
    ///
    /// // 16 MiB.
    /// let options = RedbOptions::new().cache_size(16 << 20);
    /// # assert_ne!(options, RedbOptions::new());
    /// ```
    #[must_use]
    pub const fn cache_size(mut self, bytes: usize) -> Self {
        self.cache_size = bytes;
        self
    }

    /// What opening after a crash costs, see [`RepairMode`].
    ///
    /// ```
    /// use lease_backend::{RedbOptions, RepairMode};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let options = RedbOptions::new().repair(RepairMode::Quick);
    /// let backend = options.open(dir.path().join("leases.redb"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn repair(mut self, mode: RepairMode) -> Self {
        self.repair = mode;
        self
    }

    /// When the whole file is verified, see [`IntegrityCheck`].
    ///
    /// ```
    /// use lease_backend::{IntegrityCheck, RedbOptions};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let options = RedbOptions::new().integrity_check(IntegrityCheck::AfterCrash);
    /// let backend = options.open(dir.path().join("leases.redb"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn integrity_check(mut self, when: IntegrityCheck) -> Self {
        self.integrity_check = when;
        self
    }

    /// Opens the file at `path`, and creates it if there is none or it is empty.
    ///
    /// # Errors
    ///
    /// - [`BackendError::Locked`]: a process, perhaps this one, has it open.
    /// - [`BackendError::Foreign`]: it is no redb file, a redb file of somebody else, or one of a
    ///   newer format.
    /// - [`BackendError::Damaged`]: it is cut short or its checksums are wrong.
    /// - [`BackendError::Io`]: everything else that the system says.
    ///
    /// What is foreign or damaged is left as it was, to the byte.
    ///
    /// ```
    /// use lease_backend::{IntegrityCheck, RedbOptions};
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let options = RedbOptions::new().integrity_check(IntegrityCheck::AfterCrash);
    /// let backend = options.open(dir.path().join("leases.redb"))?;
    /// let keys = Table::new("keys");
    /// let mut batch = WriteBatch::default();
    /// batch.put(keys.clone(), "lock/a", "held by lease 7");
    /// backend.commit(&batch)?;
    /// assert_eq!(backend.get(&keys, b"lock/a")?, Some(b"held by lease 7".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<RedbBackend, BackendError> {
        RedbBackend::open_with(self, Place::file(path.as_ref())?)
    }

    /// Opens or creates a store on any storage, such as a simulated disk.
    ///
    /// A clone of `storage` must be the same storage: it is what the store is opened on again
    /// after a failure. A panic of the storage is a failure of it. A storage without locks must not
    /// be opened twice at a time.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use lease_backend::RedbOptions;
    /// use lease_backend::testing::SimDisk;
    /// use lease_core::{Backend, WriteBatch};
    ///
    /// let disk = SimDisk::new(1);
    /// let backend = RedbOptions::new().create_with_storage(disk.clone())?;
    /// disk.fail_after(1);
    /// backend.commit(&WriteBatch::default()).expect_err("the disk fails");
    /// backend.commit(&WriteBatch::default()).expect("it works again");
    /// # }
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn create_with_storage<S>(self, storage: S) -> Result<RedbBackend, BackendError>
    where
        S: StorageBackend + Clone,
    {
        RedbBackend::open_with(self, Place::storage(storage))
    }
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn settings_come_back_may_be_left_out_and_are_known() {
        let options = RedbOptions::new().repair(RepairMode::Quick);
        let written = to_value(options).expect("settings");
        let expected = json!({
            "cache_size": 64 << 20,
            "repair": "quick",
            "integrity_check": "every_open",
        });
        assert_eq!(written, expected);
        let read: RedbOptions = from_value(json!({"repair": "quick"})).expect("settings");
        assert_eq!(read, options);
        let unknown = from_value::<RedbOptions>(json!({"cash_size": 1}));
        assert!(
            unknown
                .expect_err("a slip")
                .to_string()
                .contains("cash_size")
        );
    }
}
