use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::Prng;
use super::image::Image;

/// A disk in memory that forgets, tears and fails, all from a seed.
///
/// What was written and not yet synced is read back like anything else, but when the power is cut
/// it is kept, lost or torn. Operations are counted; reads, writes, syncs and changes of the length
/// are operations, and the plan of faults names them by number. A clone is another handle on the
/// same disk; as with files, one handle at a time may have it locked.
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_backend::testing::SimDisk;
/// use lease_core::{Backend, Epoch, WriteBatch};
///
/// let disk = SimDisk::new(1);
/// let backend = RedbBackend::create_with_storage(disk.clone())?;
/// let mut batch = WriteBatch::default();
/// batch.put_epoch(Epoch::new(3));
/// backend.commit(&batch)?;
/// disk.cut_power_after(1);
/// assert!(backend.commit(&batch).is_err());
///
/// let backend = RedbBackend::create_with_storage(disk.restart())?;
/// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3));
/// # Ok::<(), lease_core::BackendError>(())
/// ```
#[derive(Debug)]
pub struct SimDisk {
    /// Tells the handles of a disk apart.
    handle: u64,
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct Disk {
    /// What survives in any case.
    durable: Image,
    /// What is read. Invariant: it is `durable` with all of `unsynced` applied.
    current: Image,
    unsynced: Vec<Change>,
    capacity: u64,
    operations: u64,
    /// The number of the operation that finds no power.
    cut_at: Option<u64>,
    /// The number of the operation that fails.
    fail_at: Option<u64>,
    is_powered: bool,
    handles: u64,
    locked_by: Option<u64>,
    random: Prng,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
}

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

impl SimDisk {
    /// An empty disk without faults; the seed decides what a power cut leaves.
    ///
    /// ```
    /// use lease_backend::testing::SimDisk;
    ///
    /// assert!(SimDisk::new(1).image().is_empty());
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_image(Vec::new(), seed)
    }

    /// A disk with contents.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_backend::testing::SimDisk;
    /// use lease_core::BackendError;
    ///
    /// let disk = SimDisk::with_image(b"Dear reader,".to_vec(), 1);
    /// let opened = RedbBackend::create_with_storage(disk);
    /// assert!(matches!(opened, Err(BackendError::Foreign(_))));
    /// ```
    #[must_use]
    pub fn with_image(image: Vec<u8>, seed: u64) -> Self {
        Self::of(image.into(), seed)
    }

    fn of(image: Image, seed: u64) -> Self {
        let disk = Disk {
            durable: image.clone(),
            current: image,
            unsynced: Vec::new(),
            capacity: u64::MAX,
            operations: 0,
            cut_at: None,
            fail_at: None,
            is_powered: true,
            handles: 1,
            locked_by: None,
            random: Prng::new(seed),
        };
        Self {
            handle: 0,
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// How many operations there have been.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// let before = disk.operations();
    /// backend.commit(&batch)?;
    /// // Where a crash can hit a commit.
    /// let places = disk.operations() - before;
    /// assert!(places > 0);
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Cuts the power in the middle of the `n`-th operation from now; zero cuts it at once.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// disk.cut_power_after(1);
    /// assert!(backend.commit(&batch).is_err());
    /// assert!(!disk.is_powered());
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn cut_power_after(&self, n: u64) {
        let mut disk = self.lock();
        disk.cut_at = Some(disk.operations + n);
        disk.is_powered &= n > 0;
    }

    /// Whether the power is on.
    ///
    /// ```
    /// use lease_backend::testing::SimDisk;
    ///
    /// let disk = SimDisk::new(1);
    /// assert!(disk.is_powered());
    /// disk.cut_power_after(0);
    /// assert!(!disk.is_powered());
    /// ```
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.lock().is_powered
    }

    /// Makes the `n`-th operation from now fail; those behind it work again. A write that fails may
    /// have done a part of its work, a sync that fails has done none.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// disk.fail_after(1);
    /// assert!(backend.commit(&batch).is_err());
    /// assert!(backend.commit(&batch).is_ok(), "it works again");
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn fail_after(&self, n: u64) {
        let mut disk = self.lock();
        disk.fail_at = Some(disk.operations + n);
    }

    /// Lets the disk grow to `bytes` and no further.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// let disk = SimDisk::new(1);
    /// disk.set_capacity(1024);
    /// let opened = RedbBackend::create_with_storage(disk.clone());
    /// assert!(opened.is_err(), "a store is larger");
    /// ```
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Leaves the disk no room to grow.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Table, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// let mut large = WriteBatch::default();
    /// large.put(Table::new("kv"), "a", vec![0; 64 << 20]);
    /// disk.fill();
    /// assert!(backend.commit(&large).is_err());
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn fill(&self) {
        let mut disk = self.lock();
        disk.capacity = disk.current.len() as u64;
    }

    /// Takes back every fault that has not happened yet, and gives the disk room without end.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// disk.fail_after(1);
    /// disk.heal();
    /// assert!(backend.commit(&batch).is_ok());
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn heal(&self) {
        let mut disk = self.lock();
        disk.capacity = u64::MAX;
        disk.fail_at = None;
        if disk.is_powered {
            disk.cut_at = None;
        }
    }

    /// Cuts the power of this disk and turns on another one with what has survived: everything
    /// synced, and of the rest what the seed decides.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// backend.commit(&batch)?;
    /// let backend = RedbBackend::create_with_storage(disk.restart())?;
    /// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3), "what was committed is there");
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut disk = self.lock();
        disk.is_powered = false;
        let mut image = disk.durable.clone();
        let unsynced = std::mem::take(&mut disk.unsynced);
        // Each extreme is a crash of its own, too rare among independent coins.
        let fate = disk.random.below(4);
        for change in unsynced {
            let survivors = match fate {
                0 => Vec::new(),
                1 => vec![change],
                _ => change.survivors(&mut disk.random),
            };
            survivors.iter().for_each(|change| change.apply(&mut image));
        }
        Self::of(image, disk.random.next_u64())
    }

    /// What is read from the disk.
    ///
    /// ```
    /// # use lease_backend::{RedbBackend, testing::SimDisk};
    /// # use lease_core::{Backend, Epoch, WriteBatch};
    /// let disk = SimDisk::new(1);
    /// let backend = RedbBackend::create_with_storage(disk.clone())?;
    /// # let mut batch = WriteBatch::default();
    /// # batch.put_epoch(Epoch::new(3));
    /// backend.commit(&batch)?;
    /// drop(backend);
    /// let copy = SimDisk::with_image(disk.image(), 2);
    /// let backend = RedbBackend::create_with_storage(copy)?;
    /// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3));
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.lock().current.to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        let mut disk = self.lock();
        let handle = disk.handles;
        disk.handles += 1;
        Self {
            handle,
            disk: Arc::clone(&self.disk),
        }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.lock();
        disk.begin(None)?;
        match disk.current.read(offset as usize, out) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.lock();
        disk.begin(Some(Change::SetLen(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.lock();
        disk.begin(None)?;
        disk.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.lock();
        let data = data.into();
        disk.begin(Some(Change::Write { offset, data }))
    }

    fn close(&self) -> io::Result<()> {
        let mut disk = self.lock();
        if disk.locked_by == Some(self.handle) {
            disk.locked_by = None;
        }
        Ok(())
    }

    fn try_lock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, redb::BackendError> {
        let (Bound::Unbounded | Bound::Included(0), Bound::Unbounded) = (start, end) else {
            return Err(redb::BackendError::Unsupported);
        };
        let mut disk = self.lock();
        let is_free = disk.locked_by.is_none();
        if is_free {
            disk.locked_by = Some(self.handle);
        }
        Ok(is_free)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), redb::BackendError> {
        self.close().map_err(redb::BackendError::from)
    }
}

impl Disk {
    /// Counts an operation, makes its change, and fails if the plan says so.
    fn begin(&mut self, change: Option<Change>) -> io::Result<()> {
        self.operations += 1;
        if self.is_powered && self.cut_at == Some(self.operations) {
            // The change may still reach the platter, wholly or in part.
            self.is_powered = false;
            self.unsynced.extend(change);
            return Err(io::Error::other("the power was cut"));
        }
        if !self.is_powered {
            return Err(io::Error::other("there is no power"));
        }
        if self.fail_at == Some(self.operations) {
            let survivors = change.map(|change| change.survivors(&mut self.random));
            for change in survivors.into_iter().flatten() {
                self.push(change);
            }
            return Err(io::Error::other("injected failure of the disk"));
        }
        let Some(change) = change else { return Ok(()) };
        if change.end() > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.push(change);
        Ok(())
    }

    /// Makes durable what is read.
    fn sync(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let mut written = Vec::new();
        for change in &unsynced {
            match change {
                Change::Write { offset, data } => written.push((*offset as usize, data.len())),
                // A page that was written may be gone by now.
                Change::SetLen(_) => return self.durable.clone_from(&self.current),
            }
        }
        self.durable.share(&self.current, &written);
    }

    fn push(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }
}

impl Change {
    fn end(&self) -> u64 {
        match self {
            Self::Write { offset, data } => offset.saturating_add(data.len() as u64),
            Self::SetLen(len) => *len,
        }
    }

    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, data } => image.write(*offset as usize, data),
            Self::SetLen(len) => image.set_len(*len as usize),
        }
    }

    /// What becomes of a change that nobody waited for: kept, lost, or some of its sectors.
    fn survivors(self, random: &mut Prng) -> Vec<Self> {
        match (self, random.below(3)) {
            (_, 0) => Vec::new(),
            (Self::Write { offset, data }, 1) => data
                .chunks(SECTOR)
                .zip((offset..).step_by(SECTOR))
                .filter(|_| random.one_in(2))
                .map(|(sector, offset)| Self::Write {
                    offset,
                    data: sector.into(),
                })
                .collect(),
            (change, _) => vec![change],
        }
    }
}
