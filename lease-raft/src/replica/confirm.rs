use std::sync::Arc;

use futures::channel::oneshot;

use super::Inner;
use crate::Unconfirmed;
use crate::probe::planted;

/// Who waits for the confirmation that this member leads. One serves all that were there when it began;
/// whoever comes while it is under way waits for the next one.
#[derive(Default)]
pub(super) struct Confirmations {
    pub(super) waiting: Vec<oneshot::Sender<Result<u64, Unconfirmed>>>,
    is_under_way: bool,
    /// How many questions to a quorum there have been.
    pub(super) asked: u64,
}

impl Inner {
    /// Asks a quorum whether this member leads, and waits until all that was committed by then is
    /// applied here.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`] if it does not lead, as far as is known, or was stopped.
    pub(super) async fn confirm(self: &Arc<Self>) -> Result<(), Unconfirmed> {
        let (tell, told) = oneshot::channel();
        let begins = {
            let mut state = self.state();
            if state.is_stopped {
                return Err(Unconfirmed);
            }
            if planted!("raft-confirmation-reused") && state.confirmations.asked > 0 {
                return Ok(());
            }
            state.confirmations.waiting.push(tell);
            !std::mem::replace(&mut state.confirmations.is_under_way, true)
        };
        if begins {
            // A task of its own, since whoever began may give up.
            let inner = Arc::clone(self);
            let confirms = async move { inner.confirm_all().await };
            self.runtime.spawn(Box::pin(confirms));
        }
        let index = told.await.unwrap_or(Err(Unconfirmed))?;
        if planted!("raft-answers-before-caught-up") {
            return Ok(());
        }
        if self.wait_applied(index).await {
            Ok(())
        } else {
            Err(Unconfirmed)
        }
    }

    async fn confirm_all(self: Arc<Self>) {
        loop {
            let mut waiting = {
                let mut state = self.state();
                let waiting = std::mem::take(&mut state.confirmations.waiting);
                if waiting.is_empty() {
                    state.confirmations.is_under_way = false;
                    return;
                }
                state.confirmations.asked += 1;
                waiting
            };
            let confirmed = match self.engine() {
                Some(engine) => engine.confirm().await,
                None => Err(Unconfirmed),
            };
            if planted!("raft-confirmation-began-before") {
                waiting.append(&mut self.state().confirmations.waiting);
            }
            for one in waiting {
                let _ = one.send(confirmed);
            }
        }
    }
}
