use std::io;
use std::ops::Bound;

use redb::StorageBackend;

/// Empties a storage that a crash has left in the middle of its creation, which redb takes for
/// somebody else's file. Returns whether it did.
///
/// redb writes the magic number last. Before that there are a header without one and zeros.
pub(super) fn clear_unfinished(storage: &dyn StorageBackend) -> io::Result<bool> {
    if let Ok(false) = storage.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        return Ok(false);
    }
    // A storage that fails must not keep its lock.
    let cleared = clear_locked(storage);
    storage.close()?;
    cleared
}

fn clear_locked(storage: &dyn StorageBackend) -> io::Result<bool> {
    let is_unfinished = is_unfinished(storage)?;
    if is_unfinished {
        storage.set_len(0)?;
        storage.sync_data()?;
    }
    Ok(is_unfinished)
}

fn is_unfinished(storage: &dyn StorageBackend) -> io::Result<bool> {
    let len = storage.len()?;
    if len > MAX_UNFINISHED_LEN {
        return Ok(false);
    }
    let mut image = vec![0; len as usize];
    storage.read(0, &mut image)?;
    let is_zero = |range: &[u8]| range.iter().all(|byte| *byte == 0);
    let header_len = image.len().min(HEADER_LEN);
    let (header, rest) = image.split_at(header_len);
    Ok(is_zero(&header[..header_len.min(MAGIC_LEN)]) && is_zero(rest))
}

/// More than the first size of a redb file, which is 72 KiB since redb 4.6.
const MAX_UNFINISHED_LEN: u64 = 2 << 20;
const HEADER_LEN: usize = 512;
const MAGIC_LEN: usize = 9;
