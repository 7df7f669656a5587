mod cluster;
mod crash;
mod hostile;
mod log;
mod membership;
mod network;
mod stand_in;
mod suite;
