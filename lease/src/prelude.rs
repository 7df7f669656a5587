//! The names that a program with a lessor of its own needs: `use lease::prelude::*;`
//!
//! Each is at the root of the crate, too. A name is added here only if it is hardly ever another's.

#[cfg(feature = "async")]
pub use crate::AsyncLessor;
#[cfg(feature = "fjall")]
pub use crate::FjallBackend;
#[cfg(feature = "redb")]
pub use crate::RedbBackend;
pub use crate::{
    BackendLessor, Durability, ExpiredLeases, ExpiryMode, ItemMode, LeaseError, LeaseId, LeaseItem,
    Lessor, LessorConfig, MemoryBackend, Ttl,
};
