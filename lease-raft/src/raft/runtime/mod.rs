//! What openraft runs on: tokio, or madsim in the simulation.

#[cfg(madsim)]
mod simulated;
#[cfg(madsim)]
mod watch;

#[cfg(madsim)]
pub(crate) use self::simulated::Madsim as OpenraftRuntime;
#[cfg(not(madsim))]
pub(crate) use openraft_rt_tokio::TokioRuntime as OpenraftRuntime;
