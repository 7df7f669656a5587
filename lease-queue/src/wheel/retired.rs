use super::pool::Pool;

/// A wheel that is no longer used and gives its memory back in bounded steps.
///
/// Dropping a wheel frees one page per 4,032 keys, which takes long when there are many millions
/// and a lock is held. Dropping this frees what is left.
///
/// # Examples
///
/// ```
/// use lease_queue::BucketWheel;
///
/// let mut wheel = BucketWheel::new();
/// for key in 0..10_000_u64 {
///     wheel.insert(key, key);
/// }
/// let mut retired = std::mem::take(&mut wheel).retire();
/// while !retired.release_some(2) {
///     // Let go of the lock, serve somebody else.
/// }
/// ```
#[derive(Debug)]
pub struct RetiredWheel<K> {
    pool: Pool<K>,
}

impl<K> RetiredWheel<K> {
    pub(super) const fn new(pool: Pool<K>) -> Self {
        Self { pool }
    }

    /// Frees up to `pages` pages of 4,032 keys each; returns whether nothing is left. O(`pages`).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// for key in 0..10_000_u64 {
    ///     wheel.insert(key, 5);
    /// }
    /// let mut retired = wheel.retire();
    /// assert!(!retired.release_some(1));
    /// assert!(retired.release_some(2), "10,000 keys are on three pages");
    /// ```
    pub fn release_some(&mut self, pages: usize) -> bool {
        self.pool.drop_pages(pages)
    }
}
