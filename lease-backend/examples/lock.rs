//! A lock with fencing tokens: whoever holds the lease holds the lock, and a holder that has lost
//! it without noticing cannot do harm.
//!
//! Run it with `cargo run -p lease-backend --example lock`.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::sync::Arc;
use std::time::Duration;

use lease_backend::MemoryBackend;
use lease_core::{
    BackendLessor, BoxError, Driver, ExpiryMode, Incarnation, LeaseError, LeaseId, Lessor,
    ManualClock,
};

/// A lock is a lease that everybody asks for under the same id.
struct Lock<'a> {
    lessor: &'a dyn Lessor,
    id: LeaseId,
}

impl Lock<'_> {
    /// The token, which grows with each holder, or `None` while somebody else holds the lock.
    fn try_acquire(&self, ttl: i64) -> Result<Option<Incarnation>, BoxError> {
        match self.lessor.grant(self.id, ttl) {
            Ok(lease) => {
                let token = lease.fencing_token();
                Ok(Some(token.ok_or("the primary has stored no epoch")?))
            }
            Err(LeaseError::LeaseExists) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The resource that the lock protects: it takes no write with an older token than it has seen.
#[derive(Default)]
struct Register {
    newest: Option<Incarnation>,
    value: &'static str,
}

impl Register {
    fn write(&mut self, token: Incarnation, value: &'static str) -> bool {
        let is_current = self.newest.is_none_or(|newest| token >= newest);
        if is_current {
            self.newest = Some(token);
            self.value = value;
        }
        is_current
    }
}

fn main() -> Result<(), BoxError> {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default()))
        .clock(clock.clone())
        .driver(Driver::Manual)
        .expiry(ExpiryMode::AutoRevoke)
        .build()?;
    lessor.promote(Duration::ZERO)?;
    let lock = Lock {
        lessor: &lessor,
        id: LeaseId::try_from(42)?,
    };
    let mut register = Register::default();

    let first = lock.try_acquire(10)?.ok_or("the lock is free")?;
    println!("A holds the lock with token {}", first);
    println!("B asks: {:?}", lock.try_acquire(10)?);
    assert!(register.write(first, "from A"));

    println!("A stops for 11 seconds, without noticing");
    clock.advance(Duration::from_secs(11));
    lessor.tick();
    let second = lock.try_acquire(10)?.ok_or("A's lease has expired")?;
    println!("B holds the lock with token {}", second);
    assert!(register.write(second, "from B"));

    let late = register.write(first, "from A, too late");
    println!(
        "A goes on and writes: accepted = {late}; the register says {:?}",
        register.value
    );
    assert!(!late);
    Ok(())
}
