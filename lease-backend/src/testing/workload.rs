use lease_core::{Epoch, Incarnation, LeaseId, LeaseRow, Table, Ttl, WriteBatch};

use super::Prng;

/// A stream of random batches in which everything happens: replaced and deleted rows, ids and TTLs
/// at their limits, overlapping ranges, epochs.
///
/// Ids and keys come from small sets, so that batches meet each other's rows.
///
/// ```
/// use lease_backend::testing::Workload;
///
/// let (mut one, mut same) = (Workload::new(7), Workload::new(7));
/// for _ in 0..100 {
///     assert_eq!(one.batch(5), same.batch(5));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Workload {
    random: Prng,
    tables: Vec<Table>,
}

impl Workload {
    /// The stream with this seed.
    ///
    /// ```
    /// use lease_backend::testing::Workload;
    ///
    /// assert_ne!(Workload::new(7).batch(50), Workload::new(8).batch(50));
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Prng::new(seed),
            tables: vec![Table::new("keys"), Table::new("meta")],
        }
    }

    /// The host's tables that the batches write to.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_backend::testing::{Model, Workload};
    /// use lease_core::Backend;
    ///
    /// let (mut workload, backend) = (Workload::new(7), MemoryBackend::new());
    /// backend.commit(&workload.batch(50))?;
    /// let found = Model::read(&backend, workload.tables())?;
    /// assert_ne!(found, Model::default());
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The next batch, of at most `max_writes` writes and perhaps an epoch.
    ///
    /// # Panics
    ///
    /// If `max_writes` is zero.
    ///
    /// ```
    /// use lease_backend::testing::Workload;
    ///
    /// let mut workload = Workload::new(7);
    /// let batch = workload.batch(5);
    /// assert!((1..=6).contains(&batch.len()), "five writes and an epoch");
    /// ```
    pub fn batch(&mut self, max_writes: u64) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for _ in 0..=self.random.below(max_writes) {
            self.write(&mut batch);
        }
        if self.random.one_in(8) {
            batch.put_epoch(Epoch::new(self.random.next_u64()));
        }
        batch
    }

    fn write(&mut self, batch: &mut WriteBatch) {
        let table = self.random.pick(&self.tables).clone();
        match self.random.below(16) {
            0..6 => batch.put_lease(self.row()),
            6..9 => batch.delete_lease(self.id()),
            9..13 => {
                let value = vec![b'v'; self.random.below(200) as usize];
                batch.put(table, self.key(), value);
            }
            13..15 => batch.delete(table, self.key()),
            _ => {
                let end = (!self.random.one_in(4)).then(|| self.key());
                batch.delete_range(table, self.key(), end);
            }
        }
    }

    fn row(&mut self) -> LeaseRow {
        let ttl = self.ttl(Ttl::MAX);
        LeaseRow {
            id: self.id(),
            ttl,
            remaining: self.random.one_in(2).then(|| self.ttl(ttl)),
            incarnation: match self.random.below(3) {
                0 => None,
                1 => Incarnation::supplied(self.random.below(1000)),
                _ => Incarnation::supplied(Incarnation::MAX_SUPPLIED),
            },
            checkpoint_generation: *self.random.pick(&[0, 0, 1, u32::MAX]),
        }
    }

    fn id(&mut self) -> LeaseId {
        let number = match self.random.below(20) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => self.random.below(40) as i64 - 20,
        };
        LeaseId::new(number).unwrap_or_else(|| self.id())
    }

    fn ttl(&mut self, max: Ttl) -> Ttl {
        let secs = match self.random.below(4) {
            0 => 1,
            1 => max.get(),
            _ => 1 + self.random.below(max.as_secs()) as i64,
        };
        Ttl::new(secs).expect("it is between 1 and a TTL")
    }

    /// Up to three letters, so that the empty key and prefixes of keys are among them.
    fn key(&mut self) -> Vec<u8> {
        (0..self.random.below(4))
            .map(|_| *self.random.pick(&[0, b'a', b'b', 0xff]))
            .collect()
    }
}
