use std::sync::Arc;

use lease_core::Epoch;

use super::Inner;
use super::proposals::Outcome;
use crate::entry::Request;
use crate::probe::planted;
use crate::{Leadership, ProposeError};

impl Inner {
    /// Who leads has changed, or how far it is known.
    pub(super) fn hear_leadership(self: &Arc<Self>, leadership: Leadership) {
        let before = {
            let mut state = self.state();
            state.forwarded.begin_term(leadership.term);
            std::mem::replace(&mut state.leadership, leadership)
        };
        let is_led = leadership.is_led_by(self.member);
        let was_led = before.is_led_by(self.member) && before.term == leadership.term;
        if !is_led {
            self.step_down();
        } else if !was_led {
            tracing::debug!(
                member = self.member,
                term = leadership.term,
                "begins to lead"
            );
            if planted!("raft-promotes-on-election") {
                let epoch = self.lessor.epoch();
                self.lessor.promote_to(epoch, self.options.extend);
            }
            self.begin_to_lead(leadership.term);
        }
        if leadership != before {
            self.end_pauses();
        }
    }

    /// Ceases to be the primary: it does not lead any more, or knows of no quorum.
    fn step_down(&self) {
        if let Some(epoch) = self.lessor.primary_epoch()
            && !planted!("raft-demotion-forgotten")
            && self.lessor.demote_from(epoch)
        {
            tracing::info!(
                member = self.member,
                epoch = epoch.get(),
                "is no primary any more"
            );
        }
    }

    fn begin_to_lead(self: &Arc<Self>, term: u64) {
        let inner = Arc::clone(self);
        let leads = async move { inner.lead(term).await };
        self.runtime.spawn(Box::pin(leads));
    }

    /// Begins an epoch by an entry of the log: when that is applied here, the member is the primary.
    async fn lead(self: Arc<Self>, term: u64) {
        while self.is_leading(term) {
            let member = self.member;
            let request = Request::Lead { member, term };
            match self.propose_once(request).await {
                // It was behind too many entries that were not applied yet. Now they are.
                Ok(Outcome::TooOld) => {}
                Ok(_) => return,
                // The next attempt begins another epoch, if both get into the log.
                Err(ProposeError::Unknown | ProposeError::NotLeader) => self.pause().await,
            }
        }
    }

    fn is_leading(&self, term: u64) -> bool {
        let state = self.state();
        let leadership = state.leadership;
        !state.is_stopped && leadership.is_led_by(self.member) && leadership.term == term
    }

    /// An epoch has begun, by an entry that this life of this member has proposed or not.
    pub(super) fn epoch_begins(self: &Arc<Self>, epoch: Epoch, term: u64, is_own: bool) {
        // Whoever was the primary of an older one is not any more.
        let old = self.lessor.primary_epoch().filter(|old| *old < epoch);
        let was_primary = old.is_some_and(|old| self.lessor.demote_from(old));
        let is_own = is_own || planted!("raft-promotes-by-an-older-life");
        if !is_own || !self.is_leading(term) {
            if was_primary {
                self.lead_anew();
            }
            return;
        }
        if !self.lessor.promote_to(epoch, self.options.extend) {
            return;
        }
        // Who has heard in between that it does not lead may have found no primary to demote.
        if self.is_leading(term) {
            tracing::info!(member = self.member, epoch = epoch.get(), "is the primary");
            self.end_pauses();
        } else {
            self.lessor.demote_from(epoch);
        }
    }

    /// The epoch of a member that leads was ended by a proposal of its own, of an earlier term or attempt, that
    /// has come into the log late: it begins another one.
    fn lead_anew(self: &Arc<Self>) {
        let leadership = self.state().leadership;
        if leadership.is_led_by(self.member) {
            self.begin_to_lead(leadership.term);
        }
    }
}
