use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

use super::Inner;
use super::proposals::Attempt;
use crate::entry::Entry;

/// What tells a proposal of another member's from all others: one that comes again has the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    session: u64,
    number: u64,
    /// One that was made anew has another one, and the older copy is void.
    applied: u64,
}

impl Name {
    pub(super) const fn of(entry: &Entry) -> Self {
        Self {
            session: entry.session,
            number: entry.number,
            applied: entry.applied,
        }
    }
}

/// The proposals of other members that this one has made for them, and that are under way. Whoever brings one again
/// waits for the first one: under load each copy would add to what the log has to carry.
#[derive(Default)]
pub(super) struct Forwarded {
    /// What is under way in an older term may never come to an end.
    term: u64,
    under_way: BTreeMap<Name, Shared<oneshot::Receiver<Attempt>>>,
}

impl Forwarded {
    /// Another term has begun: what is brought now is proposed.
    pub(super) fn begin_term(&mut self, term: u64) {
        if self.term != term {
            self.term = term;
            self.under_way.clear();
        }
    }

    /// What is told of a proposal, and by whom, if it is not under way yet.
    fn join(&mut self, name: Name) -> (Shared<oneshot::Receiver<Attempt>>, Option<Begun>) {
        if let Some(told) = self.under_way.get(&name) {
            return (told.clone(), None);
        }
        let (tell, told) = oneshot::channel();
        let told = told.shared();
        self.under_way.insert(name, told.clone());
        let term = self.term;
        (told, Some(Begun { name, term, tell }))
    }

    fn end(&mut self, name: Name, term: u64) {
        if self.term == term {
            self.under_way.remove(&name);
        }
    }
}

/// A proposal that is to be made.
struct Begun {
    name: Name,
    term: u64,
    tell: oneshot::Sender<Attempt>,
}

impl Inner {
    /// Proposes for another member, unless that is under way. It goes on if nobody waits for it any more.
    pub(super) async fn propose_forwarded(self: &Arc<Self>, name: Name, entry: Vec<u8>) -> Attempt {
        let (told, begun) = self.state().forwarded.join(name);
        if let Some(Begun { name, term, tell }) = begun {
            let inner = Arc::clone(self);
            let proposes = async move {
                let attempt = inner.propose_here(entry).await;
                inner.state().forwarded.end(name, term);
                // Whoever has gone comes again.
                let _ = tell.send(attempt);
            };
            self.runtime.spawn(Box::pin(proposes));
        }
        told.await.unwrap_or(Attempt::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> Name {
        Name {
            session: 7,
            number,
            applied: 3,
        }
    }

    #[test]
    fn what_is_under_way_in_this_term_is_joined() {
        let mut forwarded = Forwarded::default();
        forwarded.begin_term(1);
        let begins = |forwarded: &mut Forwarded, number| forwarded.join(name(number)).1;
        let first = begins(&mut forwarded, 1).expect("it is new");
        assert!(begins(&mut forwarded, 1).is_none());
        assert!(begins(&mut forwarded, 2).is_some(), "another one");
        forwarded.begin_term(1);
        assert!(begins(&mut forwarded, 1).is_none());
        forwarded.begin_term(2);
        let second = begins(&mut forwarded, 1).expect("of an older term");
        forwarded.end(first.name, first.term);
        assert!(begins(&mut forwarded, 1).is_none(), "it is another one");
        forwarded.end(second.name, second.term);
        assert!(begins(&mut forwarded, 1).is_some());
    }
}
