use std::panic::{AssertUnwindSafe, catch_unwind};

use lease_core::BackendError;
use redb::{Builder, Database, StorageBackend};

use super::claim::{Owner, read_owner, write_claim};
use super::failure::io_error;
use super::failure::{Failure, open_error};
use super::gate::Gate;
use super::options::{IntegrityCheck, RedbOptions};
use super::place::Place;
use super::store_id::StoreId;
use super::unfinished::clear_unfinished;

/// Opens a database that must be a lessor's; a new one becomes a lessor's.
pub(super) fn open(
    place: &mut Place,
    options: RedbOptions,
) -> Result<(Database, StoreId), BackendError> {
    let opened = match open_if(Gate::new(place.create()?), options, &Ok) {
        Err(BackendError::Foreign(_)) if is_cleared(place)? => {
            open_if(Gate::new(place.create()?), options, &Ok)
        }
        opened => opened,
    };
    let (database, owner) = opened?;
    place.pin()?;
    let id = match owner {
        Owner::Lessor(Some(id)) => id,
        Owner::Lessor(None) => claim(&database)?,
        Owner::Nobody => {
            // Before there is anything to lose; another attempt does it again.
            place.sync_name()?;
            claim(&database)?
        }
    };
    Ok((database, id))
}

/// Opens the database that was opened before as `id`. Writes nothing to any other.
pub(super) fn reopen(
    place: &Place,
    options: RedbOptions,
    id: StoreId,
) -> Result<Database, BackendError> {
    let is_the_same = |owner| match owner {
        Owner::Lessor(Some(found)) if found == id => Ok(owner),
        _ => Err(BackendError::Foreign(format!(
            "{place:?} has another store than the one that was opened"
        ))),
    };
    let gate = Gate::new(place.existing()?);
    // redb would begin a new database in it.
    if gate.len().map_err(io_error)? == 0 {
        let text = format!("{place:?} was a store and is empty now");
        return Err(BackendError::Foreign(text));
    }
    open_if(gate, options, &is_the_same).map(|(database, _)| database)
}

/// Opens a database and leaves it as it was if its owner is not accepted.
///
/// redb may panic on a page that was altered behind its back; here that is an error.
fn open_if(
    gate: Gate,
    options: RedbOptions,
    accept: &dyn Fn(Owner) -> Result<Owner, BackendError>,
) -> Result<(Database, Owner), BackendError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let created = builder(options).create_with_backend(gate.clone());
        let database = created.map_err(open_error)?;
        let owner = read_owner(&database).map_err(|failure| failure.error)?;
        let owner = accept(owner)?;
        gate.release().map_err(io_error)?;
        Ok((database, owner))
    }));
    opened.unwrap_or_else(|_| Err(BackendError::Damaged("redb panicked over it".to_owned())))
}

fn builder(options: RedbOptions) -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(options.cache_size)
        .set_check_integrity_on_open(options.integrity_check == IntegrityCheck::EveryOpen);
    builder
}

fn claim(database: &Database) -> Result<StoreId, BackendError> {
    let claim = || -> Result<StoreId, Failure> {
        let transaction = database.begin_write()?;
        let id = write_claim(&transaction)?;
        transaction.commit()?;
        Ok(id)
    };
    claim().map_err(|failure| failure.error)
}

fn is_cleared(place: &Place) -> Result<bool, BackendError> {
    let gate = Gate::new(place.create()?);
    gate.release()
        .and_then(|()| clear_unfinished(&gate))
        .map_err(io_error)
}
