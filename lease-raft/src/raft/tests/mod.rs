#[cfg(not(madsim))]
mod cluster;
#[cfg(not(madsim))]
mod crash;
#[cfg(not(madsim))]
mod hostile;
#[cfg(not(madsim))]
mod log;
#[cfg(not(madsim))]
mod membership;
#[cfg(not(madsim))]
mod network;
mod stand_in;
mod suite;
