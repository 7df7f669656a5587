//! What tests of stores are made of: a seeded random source, random batches, a model to compare a
//! store with, and a disk that fails.

#[cfg(feature = "redb")]
mod image;
mod model;
mod prng;
#[cfg(feature = "redb")]
mod sim_disk;
mod workload;

pub use model::Model;
pub use prng::Prng;
#[cfg(feature = "redb")]
pub use sim_disk::SimDisk;
pub use workload::Workload;
