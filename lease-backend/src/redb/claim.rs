use lease_core::BackendError;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableError, WriteTransaction};

use super::failure::Failure;
use super::store_id::StoreId;
use super::tables::{FORMAT, FORMAT_VERSION, LEASE, META, STORE_HIGH, STORE_LOW};

/// Whose database it is.
pub(super) enum Owner {
    /// It has no table yet.
    Nobody,
    /// A lessor; the id is absent in the stores of earlier versions of this crate.
    Lessor(Option<StoreId>),
}

/// Makes a host's database one that [`apply`](super::apply) and [`load`](super::load) work on,
/// in a transaction of the host's. Doing it again changes nothing.
///
/// # Errors
///
/// [`BackendError::Foreign`] if the tables are of a newer format, and the errors of redb.
///
/// ```
/// use lease_backend::redb::prepare;
///
/// let storage = redb::backends::InMemoryBackend::new();
/// let database = redb::Builder::new().create_with_backend(storage)?;
/// let transaction = database.begin_write()?;
/// prepare(&transaction)?;
/// // The host's own tables, and its commit.
/// transaction.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn prepare(transaction: &WriteTransaction) -> Result<(), BackendError> {
    write_claim(transaction)
        .map(drop)
        .map_err(|failure| failure.error)
}

/// Writes the format and the id where they are missing.
pub(super) fn write_claim(transaction: &WriteTransaction) -> Result<StoreId, Failure> {
    transaction.open_table(LEASE)?;
    let mut meta = transaction.open_table(META)?;
    match number(&meta, FORMAT)? {
        Some(version) => verify_format(version)?,
        None => {
            meta.insert(FORMAT, FORMAT_VERSION)?;
        }
    }
    if let Some(id) = read_id(&meta)? {
        return Ok(id);
    }
    let id = StoreId::random();
    write_id(&mut meta, id)?;
    Ok(id)
}

/// Reads whose database it is, and refuses what is of no lessor or of a later one.
pub(super) fn read_owner(database: &Database) -> Result<Owner, Failure> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => {
            let version = number(&meta, FORMAT)?;
            verify_format(version.ok_or_else(|| foreign("its table lease_meta names no format"))?)?;
            Ok(Owner::Lessor(read_id(&meta)?))
        }
        Err(TableError::TableDoesNotExist(_)) => {
            let has_tables = transaction.list_tables()?.next().is_some()
                || transaction.list_multimap_tables()?.next().is_some();
            if has_tables {
                return Err(foreign("a redb file without the table lease_meta"));
            }
            Ok(Owner::Nobody)
        }
        Err(error) => Err(error.into()),
    }
}

fn read_id(meta: &impl ReadableTable<&'static str, u64>) -> Result<Option<StoreId>, Failure> {
    let (high, low) = (number(meta, STORE_HIGH)?, number(meta, STORE_LOW)?);
    Ok(high
        .zip(low)
        .map(|(high, low)| StoreId::from_halves(high, low)))
}

fn write_id(meta: &mut Table<'_, &'static str, u64>, id: StoreId) -> Result<(), Failure> {
    meta.insert(STORE_HIGH, id.high())?;
    meta.insert(STORE_LOW, id.low())?;
    Ok(())
}

fn number(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &'static str,
) -> Result<Option<u64>, Failure> {
    Ok(meta.get(name)?.map(|value| value.value()))
}

fn verify_format(version: u64) -> Result<(), Failure> {
    if version <= FORMAT_VERSION {
        return Ok(());
    }
    Err(foreign(&format!(
        "its format is {version}, newer than the {FORMAT_VERSION} that this version reads"
    )))
}

fn foreign(text: &str) -> Failure {
    BackendError::Foreign(text.to_owned()).into()
}
