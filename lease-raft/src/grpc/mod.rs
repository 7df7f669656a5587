//! Members reach each other over gRPC: one call, which carries what [`Peers`](crate::Peers) asks.
//!
//! [`GrpcPeers`] asks, [`serve`] answers. Each request says of which cluster it is, from whom and for
//! whom; one that is for somebody else is refused and said in the log.
//!
//! With [`Tls`] both sides show certificates of one authority; without it whoever reaches the port may
//! say anything, so that it must be a network of the members' own.

mod client;
mod complaints;
mod connections;
mod server;
mod tls;

pub use client::GrpcPeers;
pub use server::{Answers, serve};
pub use tls::Tls;

/// The path of the call.
const PATH: &str = "/leaseraftpb.Peers/Ask";

/// How many bytes may be on their way on a connection. Half of that is also how much HTTP/2 counts of short messages
/// that nobody has read yet, 256 bytes for each, before it takes them for an attack and ends the connection: far more of
/// them than there may be at a time.
const WINDOW: u32 = 32 << 20;

/// The longest message: a part of a snapshot, or of the log.
pub(crate) const MAX_LEN: usize = 2 * crate::peers::MAX_BODY_LEN;
