use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A look-up table whose hashes are the same in every run.
///
/// It is never iterated where its order could be observed.
pub(crate) type Index<K, V> = HashMap<K, V, FixedState>;
