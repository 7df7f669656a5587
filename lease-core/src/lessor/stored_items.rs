use super::Shared;
use super::isolate::isolate;
use super::job::Decided;
use super::told::ITEMS_PER_LOCK;
use crate::probe::planted;
use crate::{
    Answer, Backend, BackendError, Command, Decision, LeaseError, LeaseId, LeaseItem, Recovery,
    Table, WriteBatch,
};

/// The table in which the items of a lessor that [stores](super::ItemMode::Stored) them lie: the item is
/// the key, and its lease's id the value, eight bytes, the highest first.
const TABLE: &str = "lease_items";

impl Shared {
    /// Adds what a decided command does to the stored items, if they are stored.
    pub(super) fn store_items(&self, decided: &mut Decided) {
        let Some(decision) = decided
            .decision
            .as_ref()
            .filter(|_| self.options.stores_items)
        else {
            return;
        };
        let rows = &mut decided.rows;
        let table = || Table::new(TABLE);
        match (decision.command(), decision.answer()) {
            (Command::Attach { id, items }, Answer::Attached(Ok(()))) => {
                for item in items {
                    rows.put(table(), item.as_bytes(), id.get().to_be_bytes());
                }
            }
            (Command::Detach { id, items }, Answer::Detached(Ok(()))) => {
                for item in self.of_lease(*id, items) {
                    rows.delete(table(), item.as_bytes());
                }
            }
            (Command::Revoke(_), _) => {
                for item in self.items_of_revoked(decision) {
                    rows.delete(table(), item.as_bytes());
                }
            }
            _ => {}
        }
    }

    /// Whether these writes may be the host's.
    ///
    /// # Errors
    ///
    /// [`LeaseError::ReservedRows`] if they are not.
    pub(super) fn check_writes(&self, writes: &WriteBatch) -> Result<(), LeaseError> {
        let has_items = || {
            self.options.stores_items && writes.host().iter().any(|one| one.table().name() == TABLE)
        };
        let is_hosts = writes.leases().is_empty() && writes.epoch().is_none() && !has_items();
        if is_hosts || planted!("reserved-rows-are-written") {
            Ok(())
        } else {
            Err(LeaseError::ReservedRows)
        }
    }

    /// Those of the items that are attached to a lease that a command of this thread's has a claim on.
    fn of_lease<'i>(&self, id: LeaseId, items: &'i [LeaseItem]) -> Vec<&'i LeaseItem> {
        let mut its = Vec::new();
        for some in items.chunks(ITEMS_PER_LOCK) {
            self.state.read(|state| {
                let owner = |item: &&LeaseItem| state.core.get_lease(item.as_bytes());
                its.extend(some.iter().filter(|item| owner(item) == Some(id)));
            });
        }
        its
    }

    fn items_of_revoked(&self, decision: &Decision) -> impl Iterator<Item = LeaseItem> {
        let revoked = decision.revoked().iter();
        revoked.flat_map(|id| self.items_of_claimed(*id))
    }
}

/// Attaches the stored items to the leases of a recovery. Those of leases that are not there are left
/// alone: an older version, or another program, has revoked these and did not know of them.
pub(super) fn restore_items(
    backend: &dyn Backend,
    recovery: &mut Recovery,
) -> Result<(), BackendError> {
    let mut damaged = None;
    backend.scan(&Table::new(TABLE), &mut |item, id| {
        let id = id.try_into().ok().map(i64::from_be_bytes);
        match id.and_then(LeaseId::new) {
            Some(id) => recovery.attach(id, LeaseItem::from(item)),
            None => damaged = Some(LeaseItem::from(item)),
        }
    })?;
    damaged.map_or(Ok(()), |item| {
        let text = format!("the lease of item {item} in the table {TABLE}");
        Err(BackendError::Damaged(text))
    })
}

/// Leases that another lessor revokes or grants again would leave these items behind, for leases that
/// they were never attached to.
pub(super) fn refuse_items(backend: &dyn Backend) -> Result<(), BackendError> {
    let mut count = 0_usize;
    // A backend that cannot be read so has none: no lessor could have read them.
    let scan = || backend.scan(&Table::new(TABLE), &mut |_, _| count += 1);
    let is_read = isolate("backend", scan).is_ok_and(|scanned| scanned.is_ok());
    if !is_read || count == 0 {
        return Ok(());
    }
    Err(BackendError::Foreign(format!(
        "{count} items of its leases are stored in its table {TABLE}, and a lessor that does not store them \
         would leave them to the wrong leases: open it with ItemMode::Stored, or delete them before"
    )))
}
