//! Whether what a call says can be so, and the answer for the client.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use lease_core::{Lease, LeaseError, LeaseId, Ttl, probe};
use lease_http::messages::LeaseTimes;
use lease_raft::{ReplicaError, ReplicatedLessor};

use super::calls::{Changed, Grant};
use super::{Host, lock};
use crate::event::{Event, Name};
use crate::history::{History, Question};
use crate::plan::Look;
use crate::spec::{Held, State};
use crate::wire::Reply;

/// A call under way.
pub(super) struct Call {
    question: Question,
    session: u64,
    lessor: ReplicatedLessor,
    /// The number of its proposal; 0 if it has made none.
    number: AtomicU64,
}

impl Call {
    pub(super) fn new(question: Question, session: u64, lessor: ReplicatedLessor) -> Self {
        Self {
            question,
            session,
            lessor,
            number: AtomicU64::new(0),
        }
    }

    /// Makes a call that proposes something at once, and notes the number of the proposal.
    pub(super) async fn first<F: Future>(&self, call: F) -> F::Output {
        let mut call = Box::pin(call);
        let before = self.lessor.stats().proposals;
        let first = futures::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
        let first = first.await;
        let after = self.lessor.stats().proposals;
        if after > before {
            self.number.store(before + 1, Ordering::Relaxed);
        }
        match first {
            Poll::Ready(output) => output,
            Poll::Pending => call.await,
        }
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }
}

impl Host {
    /// Objects to what a judge finds wrong with a call.
    fn hear_verdict<T>(&self, what: &str, verdict: Result<T, String>) -> Option<T> {
        verdict
            .map_err(|why| {
                let node = self.around.node;
                let message = format!("a call at node {node} says {what}: {why}");
                self.world().hear(Event::NotLinear { message });
            })
            .ok()
    }

    fn with_history<T>(&self, asks: impl FnOnce(&mut History) -> T) -> T {
        asks(&mut lock(&self.world().log).history)
    }

    /// What a proposal has come to that was acknowledged or refused by the lessor: the entry, and the
    /// states around it, which this member has applied.
    fn done(&self, what: &str, call: &Call) -> Option<(u64, State, State)> {
        let done = self.with_history(|history| {
            let done = history.done(call.question, call.session, call.number())?;
            let applied = self.replica.applied();
            if applied < done.0 {
                return Err(format!(
                    "entry {} has done it, and the member has applied {applied}",
                    done.0
                ));
            }
            Ok(done)
        });
        self.hear_verdict(what, done)
    }

    /// A call that changes something has failed.
    fn failed(&self, call: &Call, error: &ReplicaError) -> Option<Reply> {
        if *error == ReplicaError::Unknown {
            probe::mark("raft: the outcome of a call is not known");
            return None;
        }
        if call.number() > 0 {
            probe::mark("raft: a call has not happened, and will not");
            let denied = self.with_history(|history| history.denied(call.session, call.number()));
            self.hear_verdict("that it has not happened", denied);
        }
        Some(Reply::NotPrimary)
    }

    pub(super) fn judge_grant(&self, call: Call, granted: &Grant) -> Option<Reply> {
        match granted {
            Ok(granted) => {
                let what = format!("that lease {} is granted", granted.id);
                let (index, _, after) = self.done(&what, &call)?;
                let held = after.leases.get(&granted.id.get());
                let is_so = granted.incarnation.get() == index
                    && held.is_some_and(|held| is_granted(held, granted.ttl, index));
                self.check_so(&what, is_so)?;
                Some(Reply::Alive {
                    incarnation: granted.incarnation,
                    ttl: granted.ttl,
                })
            }
            Err(ReplicaError::Lease(LeaseError::LeaseExists)) => {
                let what = "that there is such a lease";
                let (_, before, after) = self.done(what, &call)?;
                self.check_so(what, before.leases == after.leases)?;
                Some(Reply::Refused)
            }
            // It was refused before anything was proposed.
            Err(ReplicaError::Lease(_)) => Some(Reply::Refused),
            Err(error) => self.failed(&call, error),
        }
    }

    pub(super) fn judge_grant_new(&self, call: Call, granted: &Grant) -> Option<Reply> {
        match granted {
            Ok(granted) => {
                probe::mark("raft: a lease is granted under a new id");
                let what = format!("that lease {} is granted", granted.id);
                let (question, index) = (call.question, granted.incarnation.get());
                let told = self.with_history(|history| {
                    history.told(question, |state| {
                        let held = state.leases.get(&granted.id.get());
                        held.is_some_and(|held| is_granted(held, granted.ttl, index))
                    })
                });
                self.hear_verdict(&what, told)?;
                Some(Reply::Done)
            }
            Err(ReplicaError::Lease(_)) => Some(Reply::Refused),
            // Of several attempts, with several ids, only the last one is told of.
            Err(_) => None,
        }
    }

    pub(super) fn judge_revoke(&self, call: Call, id: LeaseId, revoked: &Changed) -> Option<Reply> {
        let is_there = |state: &State| state.leases.contains_key(&id.get());
        match revoked {
            Ok(()) => {
                let what = format!("that lease {id} is revoked");
                let (_, before, after) = self.done(&what, &call)?;
                self.check_so(&what, is_there(&before) && !is_there(&after))?;
                Some(Reply::Done)
            }
            Err(ReplicaError::Lease(_)) => {
                let what = format!("that there is no lease {id} to be revoked");
                let (_, before, _) = self.done(&what, &call)?;
                self.check_so(&what, !is_there(&before))?;
                Some(Reply::Refused)
            }
            Err(error) => self.failed(&call, error),
        }
    }

    /// An attach, or a detach.
    pub(super) fn judge_change(&self, call: Call, id: LeaseId, changed: &Changed) -> Option<Reply> {
        let is_accepted = match changed {
            Ok(()) => true,
            Err(ReplicaError::Lease(_)) => false,
            Err(error) => return self.failed(&call, error),
        };
        let what = format!("that items of lease {id} have changed: {is_accepted}");
        let (_, before, _) = self.done(&what, &call)?;
        let is_there = before.leases.contains_key(&id.get());
        self.check_so(&what, is_there == is_accepted)?;
        Some(Reply::Done)
    }

    pub(super) fn judge_put(
        &self,
        call: Call,
        lease: Option<LeaseId>,
        answer: &Result<Vec<u8>, ReplicaError>,
    ) -> Option<Reply> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failed(&call, error),
        };
        let what = "what a command of the host's has come to";
        let (index, before, _) = self.done(what, &call)?;
        let is_accepted = lease.is_none_or(|id| before.leases.contains_key(&id.get()));
        let expected = [&[u8::from(is_accepted)], &index.to_be_bytes()[..]].concat();
        self.check_so(what, *answer == expected)?;
        Some(Reply::Done)
    }

    pub(super) fn judge_renewal(
        &self,
        call: &Call,
        id: LeaseId,
        renewed: &Result<Ttl, ReplicaError>,
    ) -> Option<Reply> {
        match renewed {
            Ok(ttl) => {
                let what = format!("that lease {id} is renewed for {ttl}");
                let name = self.granted_with(&what, call, id, *ttl)?;
                let incarnation =
                    name.and_then(|name| lease_core::Incarnation::supplied(name.incarnation));
                // If another one was granted meanwhile nobody knows which one is meant.
                Some(incarnation.map_or(Reply::Done, |incarnation| Reply::Alive {
                    incarnation,
                    ttl: *ttl,
                }))
            }
            Err(ReplicaError::Lease(_)) => {
                self.not_found(call, id)?;
                Some(Reply::Refused)
            }
            Err(_) => Some(Reply::NotPrimary),
        }
    }

    pub(super) fn judge_time_to_live(
        &self,
        call: &Call,
        id: LeaseId,
        how: Look,
        times: &Result<LeaseTimes, ReplicaError>,
    ) -> Option<Reply> {
        match times {
            Ok(times) => {
                let what = format!("{times:?}");
                let name = match how {
                    Look::Keys => {
                        let items = times.keys.iter();
                        let items: Vec<_> = items.map(|item| item.as_bytes()[0]).collect();
                        let told = self.with_history(|history| {
                            history.told(call.question, |state| {
                                has_ttl(state, id, times.granted) && keys_of(state, id) == items
                            })
                        });
                        self.hear_verdict(&what, told)?;
                        None
                    }
                    _ => self.granted_with(&what, call, id, times.granted)?,
                };
                if let Some(name) = name {
                    self.world().hear(Event::ToldTimeToLive {
                        name,
                        left_ms: times.remaining_secs.unsigned_abs() * 1000,
                        ttl_ms: times.granted.as_secs() * 1000,
                    });
                }
                Some(Reply::Done)
            }
            Err(ReplicaError::Lease(_)) => {
                self.not_found(call, id)?;
                Some(Reply::Done)
            }
            Err(_) => Some(Reply::NotPrimary),
        }
    }

    pub(super) fn judge_lookup(
        &self,
        call: &Call,
        id: LeaseId,
        is_local: bool,
        lease: &Result<Option<Lease>, ReplicaError>,
    ) -> Option<Reply> {
        let Ok(lease) = lease else {
            return Some(Reply::NotPrimary);
        };
        let what = format!("{lease:?} of lease {id}");
        self.seen(&what, call, is_local, |state| {
            let held = state.leases.get(&id.get());
            match (lease, held) {
                (None, None) => true,
                (Some(lease), Some(held)) => {
                    let keys = lease.keys().iter().map(|key| key.as_bytes()[0]);
                    is_shown(lease, held) && keys.eq(keys_of(state, id))
                }
                _ => false,
            }
        })
    }

    pub(super) fn judge_page(
        &self,
        call: &Call,
        limit: usize,
        is_local: bool,
        page: &Result<Vec<Lease>, ReplicaError>,
    ) -> Option<Reply> {
        let Ok(page) = page else {
            return Some(Reply::NotPrimary);
        };
        let what = format!("that there are {page:?}, {limit} at most");
        self.seen(&what, call, is_local, |state| {
            let is_there = |lease: &Lease| {
                let held = state.leases.get(&lease.id().get());
                held.is_some_and(|held| is_shown(lease, held))
            };
            let ids = page.iter().map(|lease| lease.id().get());
            ids.eq(state.leases.keys().copied().take(limit)) && page.iter().all(is_there)
        })
    }

    pub(super) fn judge_owner(
        &self,
        call: &Call,
        key: u8,
        is_local: bool,
        owner: &Result<Option<LeaseId>, ReplicaError>,
    ) -> Option<Reply> {
        let Ok(owner) = owner else {
            return Some(Reply::NotPrimary);
        };
        let what = format!("{owner:?} has key {key}");
        self.seen(&what, call, is_local, |state| {
            state.keys.get(&key).copied() == owner.map(LeaseId::get)
        })
    }

    pub(super) fn judge_catch_up(
        &self,
        call: &Call,
        caught_up: &Result<(), ReplicaError>,
    ) -> Option<Reply> {
        if caught_up.is_err() {
            return Some(Reply::NotPrimary);
        }
        let applied = self.replica.applied();
        let verdict = self.with_history(|history| history.caught_up(call.question, applied));
        self.hear_verdict("that it has caught up", verdict)?;
        Some(Reply::Done)
    }

    /// Somebody reads what fits some states.
    fn seen(
        &self,
        what: &str,
        call: &Call,
        is_local: bool,
        fits: impl Fn(&State) -> bool,
    ) -> Option<Reply> {
        let applied = self.replica.applied();
        let verdict = self.with_history(|history| match is_local {
            true => history.told_locally(applied, &fits),
            false => history.told(call.question, &fits).map(drop),
        });
        self.hear_verdict(what, verdict)?;
        Some(Reply::Done)
    }

    fn not_found(&self, call: &Call, id: LeaseId) -> Option<u64> {
        let told = self.with_history(|history| {
            history.told(call.question, |state| !state.leases.contains_key(&id.get()))
        });
        self.hear_verdict(&format!("that there is no lease {id}"), told)
    }

    /// Somebody is told of a lease with this TTL. Its name is known if it was the same one all the time.
    fn granted_with(&self, what: &str, call: &Call, id: LeaseId, ttl: Ttl) -> Option<Option<Name>> {
        let told = self.with_history(|history| {
            let index = history.told(call.question, |state| has_ttl(state, id, ttl))?;
            Ok(history.only_name(call.question, id, index))
        });
        self.hear_verdict(what, told)
    }

    fn check_so(&self, what: &str, is_so: bool) -> Option<()> {
        let verdict = is_so.then_some(()).ok_or_else(|| "it is not so".to_owned());
        self.hear_verdict(what, verdict)
    }
}

fn has_ttl(state: &State, id: LeaseId, ttl: Ttl) -> bool {
    let held = state.leases.get(&id.get());
    held.is_some_and(|held| held.ttl == ttl.get())
}

fn is_granted(held: &Held, ttl: Ttl, index: u64) -> bool {
    held.ttl == ttl.get() && held.incarnation == index
}

/// Whether a lease that is shown is the one that is specified.
fn is_shown(lease: &Lease, held: &Held) -> bool {
    let left = lease.checkpointed_remaining().map(Ttl::get);
    is_granted(held, lease.ttl(), lease.incarnation().get()) && left == held.remaining
}

fn keys_of(state: &State, id: LeaseId) -> Vec<u8> {
    let keys = state.keys.iter().filter(|(_, owner)| **owner == id.get());
    keys.map(|(key, _)| *key).collect()
}
