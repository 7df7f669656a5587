use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A storage whose changes are held in memory until the gate is released.
///
/// redb repairs a database while it opens it, before anybody can see whose database it is. Behind
/// the gate that changes nothing: what turns out to be somebody else's is left as it was.
///
/// A panic of the storage comes out as an error. redb has destructors that panic while a panic goes
/// through it, which ends the process.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    storage: Box<dyn StorageBackend>,
    is_released: AtomicBool,
    /// Invariant: empty once the gate is released.
    held: Mutex<Vec<Change>>,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
}

impl Gate {
    pub(super) fn new(storage: Box<dyn StorageBackend>) -> Self {
        Self {
            shared: Arc::new(Shared {
                storage,
                is_released: AtomicBool::new(false),
                held: Mutex::default(),
            }),
        }
    }

    /// Makes the changes that were held, in their order and with their syncs, and lets those that
    /// follow through.
    ///
    /// # Errors
    ///
    /// Those of the storage. It is then as a crash in between would have left it, and the gate
    /// stays closed.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut held = self.held();
        for change in &*held {
            self.call(|storage| change.apply(storage))?;
        }
        *held = Vec::new();
        self.shared.is_released.store(true, Ordering::Release);
        Ok(())
    }

    fn call<T, E: From<io::Error>>(
        &self,
        operation: impl FnOnce(&dyn StorageBackend) -> Result<T, E>,
    ) -> Result<T, E> {
        catch_unwind(AssertUnwindSafe(|| operation(&*self.shared.storage)))
            .unwrap_or_else(|_| Err(io::Error::other("the storage panicked").into()))
    }

    fn is_released(&self) -> bool {
        self.shared.is_released.load(Ordering::Acquire)
    }

    /// The changes that are held; `None` if the gate is released.
    fn closed(&self) -> Option<MutexGuard<'_, Vec<Change>>> {
        if self.is_released() {
            return None;
        }
        // It may have been released while this call waited for the lock.
        Some(self.held()).filter(|_| !self.is_released())
    }

    fn held(&self) -> MutexGuard<'_, Vec<Change>> {
        self.shared
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Gate {
    fn len(&self) -> io::Result<u64> {
        let held = self.closed();
        let len = self.call(|storage| storage.len())?;
        Ok(held.map_or(len, |held| len_after(len, &held)))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.closed() {
            Some(held) if !held.is_empty() => {
                self.call(|storage| read_through(storage, &held, offset, out))
            }
            _ => self.call(|storage| storage.read(offset, out)),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Some(mut held) = self.closed() else {
            return self.call(|storage| storage.set_len(len));
        };
        held.push(Change::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let Some(mut held) = self.closed() else {
            return self.call(|storage| storage.sync_data());
        };
        held.push(Change::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(mut held) = self.closed() else {
            return self.call(|storage| storage.write(offset, data));
        };
        let data = data.to_vec();
        held.push(Change::Write { offset, data });
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.call(|storage| storage.close())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, LockError> {
        self.call(|storage| storage.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, LockError> {
        self.call(|storage| storage.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), LockError> {
        self.call(|storage| storage.lock_range(start, end))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), LockError> {
        self.call(|storage| storage.lock_shared_range(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), LockError> {
        self.call(|storage| storage.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, LockError> {
        self.call(|storage| storage.query_lock_range(start, end))
    }
}

impl Change {
    fn apply(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        match self {
            Self::Write { offset, data } => storage.write(*offset, data),
            Self::SetLen(len) => storage.set_len(*len),
            Self::Sync => storage.sync_data(),
        }
    }

    /// Does to `out`, which is what was at `offset`, what the change does to the storage.
    fn show(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        match self {
            Self::Write {
                offset: start,
                data,
            } => {
                let from = offset.max(*start);
                let to = end.min(start + data.len() as u64);
                if from < to {
                    let data = &data[(from - start) as usize..(to - start) as usize];
                    out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(data);
                }
            }
            // What was cut off is zeros if the storage grows again.
            Self::SetLen(len) if *len < end => out[len.saturating_sub(offset) as usize..].fill(0),
            Self::SetLen(_) | Self::Sync => {}
        }
    }
}

fn len_after(len: u64, changes: &[Change]) -> u64 {
    changes.iter().fold(len, |len, change| match change {
        Change::Write { offset, data } => len.max(offset + data.len() as u64),
        Change::SetLen(len) => *len,
        Change::Sync => len,
    })
}

/// Reads what would be there had the changes been made. O(number of changes).
fn read_through(
    storage: &dyn StorageBackend,
    changes: &[Change],
    offset: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let len = storage.len()?;
    if offset + out.len() as u64 > len_after(len, changes) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let stored = len.saturating_sub(offset).min(out.len() as u64) as usize;
    let (old, new) = out.split_at_mut(stored);
    if !old.is_empty() {
        storage.read(offset, old)?;
    }
    new.fill(0);
    changes.iter().for_each(|change| change.show(offset, out));
    Ok(())
}

type LockError = redb::BackendError;

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    /// The naive model of a gate is a second storage that is written to at once.
    #[test]
    fn a_closed_gate_shows_its_changes_and_makes_them_when_it_is_released() {
        let (storage, model) = (InMemoryBackend::new(), InMemoryBackend::new());
        for storage in [&storage, &model] {
            storage.set_len(300).expect("memory works");
            storage.write(10, &[9; 200]).expect("memory works");
        }
        let gate = Gate::new(Box::new(storage));
        let storage = &*gate.shared.storage;
        let before = contents(storage);
        for step in 0..500_u64 {
            let (a, b) = (step * 7919 % 400, step * 104_729 % 90);
            for storage in [&gate as &dyn StorageBackend, &model] {
                let len = storage.len().expect("memory works");
                match step % 5 {
                    0 => storage.set_len(a),
                    1 => storage.sync_data(),
                    _ if a + b <= len => storage.write(a, &vec![step as u8; b as usize]),
                    _ => Ok(()),
                }
                .expect("memory works");
            }
            assert_eq!(contents(&gate), contents(&model), "step {step}");
            let len = model.len().expect("memory works");
            assert!(gate.read(len, &mut [0]).is_err(), "step {step}");
            let (from, to) = (a.min(len), (a + b).min(len));
            let mut part = vec![1; (to - from) as usize];
            gate.read(from, &mut part).expect("it is there");
            assert_eq!(part, contents(&model)[from as usize..to as usize]);
        }
        assert_eq!(contents(storage), before, "a closed gate wrote");
        gate.release().expect("memory works");
        assert_eq!(contents(storage), contents(&model));
        gate.set_len(1).expect("memory works");
        assert_eq!(storage.len().expect("memory works"), 1);
    }

    fn contents(storage: &dyn StorageBackend) -> Vec<u8> {
        let mut contents = vec![1; storage.len().expect("memory works") as usize];
        storage.read(0, &mut contents).expect("memory works");
        contents
    }
}
