//! Fakes for tests of code that uses a lessor.

mod fake_lessor;
mod fake_txn_delete;

pub use fake_lessor::FakeLessor;
pub use fake_txn_delete::FakeTxnDelete;
