//! Bytes, or nothing.

use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::LeaseItem;

pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    bytes.as_deref().map(LeaseItem::from).serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let bytes = Option::<LeaseItem>::deserialize(from)?;
    Ok(bytes.map(|bytes| bytes.into_bytes().into_vec()))
}
