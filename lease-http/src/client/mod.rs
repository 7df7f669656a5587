pub mod blocking;
pub(crate) mod calls;
#[cfg(feature = "coalesce")]
pub(crate) mod coalesce;
#[cfg(feature = "hyper")]
pub(crate) mod hyper;
pub(crate) mod transport;
#[cfg(feature = "ureq")]
mod ureq;
#[cfg(any(feature = "hyper", feature = "ureq"))]
mod url;
