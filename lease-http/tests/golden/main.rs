//! Every exchange of `tests/leasehttp-golden.json`, which etcd's own `leasehttp` had, in both
//! directions: our handler is asked what etcd's was asked, and our clients get the answers that etcd's
//! got.

mod client;
mod record;
mod script;
mod server;
#[path = "../support/mod.rs"]
mod support;
