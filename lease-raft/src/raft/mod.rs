//! The engine of openraft, and what it stands on.

mod blocking;
mod calls;
pub(crate) mod codec;
pub(crate) mod config;
mod engine;
mod log;
mod machine;
mod network;
mod removed;
mod runtime;
mod snapshot;
#[cfg(test)]
mod tests;
#[cfg(madsim)]
mod witness;

#[cfg(madsim)]
pub use witness::Witness;

#[cfg(feature = "grpc")]
pub(crate) use blocking::blocking;
#[cfg(feature = "grpc")]
pub(crate) use engine::check_id;
#[cfg(feature = "grpc")]
pub(crate) use network::GONE;
pub(crate) use snapshot::remove_left_over;

pub use engine::{
    EngineError, EngineStatus, Members, MembershipError, OpenraftEngine, OpenraftOptions, Role,
};
