use std::future::Future;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

/// Those who wait before they try something again. When it is dropped, none of them does any longer.
#[derive(Default)]
pub(super) struct Pauses(Option<(oneshot::Sender<()>, Shared<oneshot::Receiver<()>>)>);

impl Pauses {
    /// Ends when the pauses that there are now do. O(1).
    pub(super) fn over(&mut self) -> impl Future + Unpin + Send + use<> {
        let begin = || {
            let (tell, told) = oneshot::channel();
            (tell, told.shared())
        };
        self.0.get_or_insert_with(begin).1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pauses_end_together_and_later_ones_do_not() {
        let mut pauses = Pauses::default();
        let (mut first, mut second) = (pauses.over(), pauses.over());
        assert!((&mut first).now_or_never().is_none());
        drop(std::mem::take(&mut pauses));
        let mut later = pauses.over();
        assert!((&mut first).now_or_never().is_some());
        assert!((&mut second).now_or_never().is_some());
        assert!((&mut later).now_or_never().is_none());
    }
}
