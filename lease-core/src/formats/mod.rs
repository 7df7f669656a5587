//! How values look in the formats of serde, where that is not what a derive makes of them.

pub(crate) mod bytes;
mod error;
mod ids;
mod lease;
pub(crate) mod maybe_bytes;
#[cfg(feature = "async")]
pub(crate) mod shared_items;
mod table;
