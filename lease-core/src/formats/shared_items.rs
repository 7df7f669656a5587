//! Items that are shared: a list of them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::LeaseItem;

pub(crate) fn serialize<S: Serializer>(items: &Arc<[LeaseItem]>, to: S) -> Result<S::Ok, S::Error> {
    items.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Arc<[LeaseItem]>, D::Error> {
    Vec::deserialize(from).map(Arc::from)
}
