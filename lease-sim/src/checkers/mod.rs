//! The properties, a file each. A checker hears every event and looks at the members; it says what is
//! wrong, in words, as soon as it is.

mod as_specified;
mod attempts;
mod bounded_stop;
mod bounded_waits;
mod checkpoint_budget;
mod checkpoint_freshness;
mod checkpoint_liveness;
mod early_loss;
mod expiry_liveness;
mod fencing;
mod honest_ttl;
mod linearizable;
mod one_primary;
mod own_clock;
mod punctual;
mod quiet_ticks;
mod recovery;
mod renew_excludes_expiry;
mod renewal_liveness;
mod revoke_rate;
mod same_state;
mod settled;
mod sound;
#[cfg(test)]
mod testing;

pub use as_specified::AsSpecified;
pub use attempts::Attempts;
pub use bounded_stop::BoundedStop;
pub use bounded_waits::BoundedWaits;
pub use checkpoint_budget::CheckpointBudget;
pub use checkpoint_freshness::CheckpointFreshness;
pub use checkpoint_liveness::CheckpointLiveness;
pub use early_loss::EarlyLoss;
pub use expiry_liveness::ExpiryLiveness;
pub use fencing::Fencing;
pub use honest_ttl::HonestTtl;
pub use linearizable::Linearizable;
pub use one_primary::OnePrimary;
pub use own_clock::OwnClock;
pub use punctual::Punctual;
pub use quiet_ticks::QuietTicks;
pub use recovery::Recovery;
pub use renew_excludes_expiry::RenewExcludesExpiry;
pub use renewal_liveness::RenewalLiveness;
pub use revoke_rate::RevokeRate;
pub use same_state::SameState;
pub use sound::Sound;

use crate::event::{Event, Glance};
use crate::plan::Parameters;

/// A property and what it has seen of the run.
pub trait Checker: Send {
    /// Which property, as INVARIANTS calls it.
    fn name(&self) -> &'static str;

    /// Hears an event, and returns what is wrong with it.
    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String>;

    /// Looks at a member, and returns what is wrong with it.
    fn look(&mut self, _at_ms: u64, _glance: &Glance) -> Option<String> {
        None
    }
}

/// All checkers, for a run with these parameters.
#[must_use]
pub fn all(parameters: &Parameters) -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(EarlyLoss::new(parameters)),
        Box::new(OwnClock::default()),
        Box::new(RenewExcludesExpiry::default()),
        Box::new(Fencing::default()),
        Box::new(OnePrimary::default()),
        Box::new(BoundedWaits::default()),
        Box::new(SameState::default()),
        Box::new(Sound),
        Box::new(AsSpecified),
        Box::new(Linearizable),
        Box::new(Recovery::new(parameters)),
        Box::new(ExpiryLiveness::new(parameters)),
        Box::new(Punctual::new(parameters)),
        Box::new(Attempts::new(parameters)),
        Box::new(QuietTicks::default()),
        Box::new(CheckpointFreshness::default()),
        Box::new(CheckpointBudget::new(parameters)),
        Box::new(CheckpointLiveness::new(parameters)),
        Box::new(RenewalLiveness::default()),
        Box::new(RevokeRate::new(parameters)),
        Box::new(HonestTtl::new(parameters)),
        Box::new(BoundedStop::new(parameters)),
    ]
}
