//! A program and its tests: a lessor that does nothing, and a real one with a clock that the test moves.
//!
//! Run it with `cargo run -p lease --features testing --example testing`, and its tests with
//! `cargo test -p lease --features testing --example testing`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;

/// A session of a user, which ends 30 seconds after the user was last seen.
struct Sessions {
    lessor: Arc<dyn Lessor>,
}

impl Sessions {
    fn login(&self, user: &str) -> Result<LeaseId, LeaseError> {
        let id = self.lessor.grant_new(Duration::from_secs(30))?.id();
        self.lessor.attach(id, &[user.into()])?;
        Ok(id)
    }

    /// Whether the session is still there.
    fn seen(&self, id: LeaseId) -> bool {
        self.lessor.renew(id).is_ok()
    }

    fn is_logged_in(&self, user: &str) -> bool {
        self.lessor.get_lease(user.as_bytes()).is_some()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let lessor = BackendLessor::standalone(Arc::new(MemoryBackend::new()))?;
    let sessions = Sessions {
        lessor: Arc::new(lessor),
    };
    let id = sessions.login("ada")?;
    println!("ada was seen: {}", sessions.seen(id));
    println!("ada is logged in: {}", sessions.is_logged_in("ada"));
    println!("bob is logged in: {}", sessions.is_logged_in("bob"));
    Ok(())
}
// ANCHOR_END: program

// ANCHOR: tests
#[cfg(test)]
mod tests {
    use lease::testing::FakeLessor;
    use lease::{Driver, ManualClock};

    use super::*;

    /// Where only the calls matter, a fake is enough.
    #[test]
    fn a_login_grants_a_lease() {
        let lessor = Arc::new(FakeLessor::default());
        let sessions = Sessions {
            lessor: lessor.clone(),
        };
        let id = sessions.login("ada").expect("a fake refuses nothing");
        assert!(lessor.lease_set().contains(&id));
    }

    /// Where time matters: the real lessor, and a clock that the test moves.
    #[test]
    fn a_session_ends_30_seconds_after_the_user_was_last_seen() {
        let clock = Arc::new(ManualClock::default());
        let lessor = BackendLessor::builder(Arc::new(MemoryBackend::new()))
            .clock(clock.clone())
            .driver(Driver::Manual)
            .expiry(ExpiryMode::AutoRevoke)
            .build()
            .expect("a store in memory opens");
        lessor.promote(Duration::ZERO).expect("and writes");
        let lessor = Arc::new(lessor);
        let sessions = Sessions {
            lessor: lessor.clone(),
        };
        let pass = |secs| {
            clock.advance(Duration::from_secs(secs));
            lessor.tick();
        };

        let id = sessions.login("ada").expect("there is room");
        pass(29);
        assert!(sessions.seen(id));
        pass(29);
        assert!(sessions.is_logged_in("ada"));
        pass(1);
        assert!(!sessions.is_logged_in("ada"));
        assert!(!sessions.seen(id));
    }

    /// What a full disk does to the program.
    #[test]
    fn nobody_is_logged_in_whose_lease_is_not_stored() {
        let store = MemoryBackend::new();
        let lessor = BackendLessor::standalone(Arc::new(store.clone())).expect("it writes");
        let sessions = Sessions {
            lessor: Arc::new(lessor),
        };
        sessions.login("ada").expect("there is room");
        store.fail_after(1);
        assert!(matches!(sessions.login("bob"), Err(LeaseError::Backend(_))));
        assert!(sessions.is_logged_in("ada") && !sessions.is_logged_in("bob"));
    }
}
// ANCHOR_END: tests
