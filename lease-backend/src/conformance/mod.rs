//! What every [`Backend`] must do, to be called in one line by whoever writes one.
//!
//! ```
//! use lease_backend::{MemoryBackend, conformance};
//!
//! conformance::check(|| {
//!     let store = MemoryBackend::new();
//!     move || store.clone()
//! });
//! ```
//!
//! The outer closure makes a fresh, empty store; the inner one opens it, and opens it again after
//! the backend that it gave before was dropped. A property that does not hold panics and says its
//! name and what came instead.

mod batches;
mod concurrent;
mod host;
mod leases;
mod random;
mod restart;

use lease_core::{Backend, BackendError, Epoch, LeaseId, LeaseRow, Table, Ttl, WriteBatch};

/// A store that can be opened more than once.
///
/// Every closure that returns a backend is one.
///
/// ```
/// use lease_backend::MemoryBackend;
/// use lease_backend::conformance::Restart;
/// use lease_core::Epoch;
///
/// let store = MemoryBackend::new();
/// let restart = || store.clone();
/// assert_eq!(restart.open().load(&mut |_| {})?, Epoch::ZERO);
/// # Ok::<(), lease_core::BackendError>(())
/// ```
pub trait Restart: Sync {
    /// Opens the store. Backends that were opened before have been dropped.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_backend::conformance::Restart;
    /// use lease_core::{Backend, Epoch, WriteBatch};
    ///
    /// let store = MemoryBackend::new();
    /// let restart = || store.clone();
    /// let mut batch = WriteBatch::default();
    /// batch.put_epoch(Epoch::new(3));
    /// restart.open().commit(&batch)?;
    /// assert_eq!(restart.open().load(&mut |_| {})?, Epoch::new(3));
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    fn open(&self) -> Box<dyn Backend>;
}

impl<F, B> Restart for F
where
    F: Fn() -> B + Sync,
    B: Backend + 'static,
{
    fn open(&self) -> Box<dyn Backend> {
        Box::new(self())
    }
}

/// One thing that every backend must do.
///
/// ```
/// use lease_backend::{MemoryBackend, conformance};
///
/// // One property alone, while an adapter is being written.
/// let store = MemoryBackend::new();
/// let mut properties = conformance::properties();
/// let property = properties.find(|property| property.name().contains("epoch"));
/// property.expect("the suite looks at epochs").check(&|| store.clone());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Property {
    name: &'static str,
    check: fn(&dyn Restart),
}

impl Property {
    /// What must hold, as a short sentence.
    ///
    /// ```
    /// use lease_backend::conformance;
    ///
    /// for property in conformance::properties() {
    ///     println!("{}", property.name());
    /// }
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the property on a fresh store.
    ///
    /// # Panics
    ///
    /// If it does not hold; the message begins with the name.
    ///
    /// ```
    /// use lease_backend::{MemoryBackend, conformance};
    ///
    /// for property in conformance::properties() {
    ///     let store = MemoryBackend::new();
    ///     property.check(&|| store.clone());
    /// }
    /// ```
    pub fn check(&self, store: &dyn Restart) {
        (self.check)(store);
    }
}

/// Checks every property, each on a store of its own from `fresh`.
///
/// Takes about 30 commits, one of them of 10,000 rows, and 300 small ones.
///
/// # Panics
///
/// If one does not hold.
///
/// ```
/// use lease_backend::{MemoryBackend, conformance};
///
/// conformance::check(|| {
///     let store = MemoryBackend::new();
///     move || store.clone()
/// });
/// ```
pub fn check<R: Restart>(fresh: impl Fn() -> R) {
    for property in properties() {
        property.check(&fresh());
    }
}

/// Every property, in the order in which [`check`] takes them.
///
/// ```
/// use lease_backend::conformance;
///
/// let names: Vec<_> = conformance::properties().map(|property| property.name()).collect();
/// assert!(names.len() > 20, "{names:?}");
/// ```
pub fn properties() -> impl Iterator<Item = Property> {
    [
        leases::PROPERTIES,
        host::PROPERTIES,
        batches::PROPERTIES,
        restart::PROPERTIES,
        concurrent::PROPERTIES,
        random::PROPERTIES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// A list of properties whose names are in their panic messages: `fn name => "sentence"`.
macro_rules! declare {
    ($($check:ident => $name:literal,)*) => {
        pub(super) const PROPERTIES: &[$crate::conformance::Property] = &[$(
            $crate::conformance::Property {
                name: $name,
                check: |store| $check(&$crate::conformance::Case { name: $name, store }),
            },
        )*];
    };
}
use declare;

/// The property under check and the store it is checked on.
struct Case<'a> {
    name: &'static str,
    store: &'a dyn Restart,
}

impl Case<'_> {
    fn open(&self) -> Box<dyn Backend> {
        self.store.open()
    }

    /// Fails the property unless both are equal.
    #[track_caller]
    fn equal<T: PartialEq + std::fmt::Debug>(&self, what: &str, found: &T, expected: &T) {
        assert!(
            found == expected,
            "{}: {what}: expected {expected:?}, found {found:?}",
            self.name
        );
    }

    /// Fails the property unless both lists are equal; names the first difference alone.
    #[track_caller]
    fn equal_lists<T: PartialEq + std::fmt::Debug>(&self, what: &str, found: &[T], expected: &[T]) {
        let longer = 0..found.len().max(expected.len());
        for index in longer {
            let (found, expected) = (found.get(index), expected.get(index));
            self.equal(&format!("{what} at {index}"), &found, &expected);
        }
    }

    /// The value of a call that must not fail.
    #[track_caller]
    fn ok<T>(&self, what: &str, result: Result<T, BackendError>) -> T {
        result.unwrap_or_else(|error| panic!("{}: {what} failed: {error:?}", self.name))
    }

    #[track_caller]
    fn commit(&self, backend: &dyn Backend, fill: impl FnOnce(&mut WriteBatch)) {
        let mut batch = WriteBatch::default();
        fill(&mut batch);
        self.ok("commit", backend.commit(&batch));
    }

    /// The rows in the order in which they were loaded.
    #[track_caller]
    fn rows(&self, backend: &dyn Backend) -> Vec<LeaseRow> {
        let mut rows = Vec::new();
        self.ok("load", backend.load(&mut |row| rows.push(row)));
        rows
    }

    #[track_caller]
    fn epoch(&self, backend: &dyn Backend) -> Epoch {
        self.ok("load", backend.load(&mut |_| {}))
    }

    /// The host's rows in the order in which they were scanned.
    #[track_caller]
    fn scan(&self, backend: &dyn Backend, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let result = backend.scan(table, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
        });
        self.ok("scan", result);
        rows
    }

    #[track_caller]
    fn get(&self, backend: &dyn Backend, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        self.ok("get", backend.get(table, key))
    }
}

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("the suite's ids are not zero")
}

fn row(number: i64, ttl_secs: i64) -> LeaseRow {
    LeaseRow::new(id(number), ttl(ttl_secs))
}

fn ttl(secs: i64) -> Ttl {
    Ttl::new(secs).expect("the suite's TTLs are in range")
}

fn keys() -> Table {
    Table::new("keys")
}

fn meta() -> Table {
    Table::new("meta")
}
