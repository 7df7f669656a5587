use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use lease_core::{Checkpoint, Epoch, Incarnation, LeaseId, LeaseRow, Revocation, Ttl};

use crate::event::{Event, Name};
use crate::wire::{Request, Stamp};

/// The replicated state as the specification has it: what every member must hold after the same
/// entries. The obvious program, with none of the lessor's code.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct State {
    pub(crate) epoch: u64,
    pub(crate) leases: BTreeMap<i64, Held>,
    /// The lease of each key that has one.
    pub(crate) keys: BTreeMap<u8, i64>,
}

/// The replicated part of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Held {
    pub(crate) incarnation: u64,
    pub(crate) ttl: i64,
    pub(crate) remaining: Option<i64>,
    generation: u32,
}

/// Which proposals of lease-raft's have been applied: each is once, and none that is too old. The obvious
/// program again; it forgets nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposals {
    applied: BTreeSet<(u64, u64)>,
    settled: BTreeMap<u64, u64>,
}

impl Proposals {
    /// Whether the entry with this index is to be applied, which is remembered.
    pub(crate) fn admit(&mut self, index: u64, stamp: Stamp, remembered: u64) -> bool {
        let settled = self.settled.entry(stamp.session).or_default();
        let is_void = index.saturating_sub(stamp.applied) > remembered
            || stamp.number <= *settled
            || self.applied.contains(&(stamp.session, stamp.number));
        if is_void {
            return false;
        }
        *settled = stamp.settled.max(*settled);
        self.applied.insert((stamp.session, stamp.number));
        true
    }
}

impl State {
    /// Applies the entry with this index, and says what it did. `proposed_ms` is when it was asked
    /// for.
    pub(crate) fn apply(&mut self, index: u64, request: &Request, proposed_ms: u64) -> Vec<Event> {
        let mut effects = Vec::new();
        match request {
            Request::Grant { id, ttl } => effects.extend(self.grant(index, *id, *ttl)),
            Request::Revoke(revocations) => {
                let revoked = revocations.iter().filter_map(|one| self.revoke(one));
                effects.extend(revoked);
            }
            Request::Checkpoint(checkpoints) => {
                let applied = checkpoints
                    .iter()
                    .filter_map(|one| self.checkpoint(one, proposed_ms));
                effects.extend(applied);
            }
            Request::BeginEpoch { .. } => {
                self.epoch = self.epoch.max(index);
                effects.push(Event::Began { epoch: self.epoch });
            }
            Request::Put {
                key,
                lease: Some(lease),
            } => {
                if self.leases.contains_key(&lease.get()) {
                    self.keys.insert(*key, lease.get());
                }
            }
            Request::Put { key, lease: None } => drop(self.keys.remove(key)),
            Request::Attach { id, keys } => {
                if self.leases.contains_key(&id.get()) {
                    self.keys.extend(keys.iter().map(|key| (*key, id.get())));
                }
            }
            Request::Detach { id, keys } => {
                let is_its = |key: &u8, owner: i64| keys.contains(key) && owner == id.get();
                self.keys.retain(|key, owner| !is_its(key, *owner));
            }
        }
        effects
    }

    fn grant(&mut self, index: u64, id: LeaseId, ttl: Ttl) -> Option<Event> {
        if self.leases.contains_key(&id.get()) {
            return None;
        }
        let held = Held {
            incarnation: index,
            ttl: ttl.get(),
            remaining: None,
            generation: 0,
        };
        self.leases.insert(id.get(), held);
        Some(Event::Granted {
            name: held.name(id),
            ttl_ms: ttl.as_secs() * 1000,
        })
    }

    fn revoke(&mut self, revocation: &Revocation) -> Option<Event> {
        let fence = revocation.fence;
        let names = fence.map(|fence| (fence.incarnation, fence.epoch));
        let held = self.admitted(revocation.id, names)?;
        let lease = revocation.id.get();
        self.leases.remove(&lease);
        self.keys.retain(|_, owner| *owner != lease);
        Some(Event::Revoked {
            name: held.name(revocation.id),
            by: fence.map(|fence| fence.epoch.get()),
        })
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, proposed_ms: u64) -> Option<Event> {
        let fence = checkpoint.fence;
        let names = fence.map(|fence| (fence.incarnation, fence.epoch));
        let mut held = self.admitted(checkpoint.id, names)?;
        if fence.is_some_and(|fence| fence.generation != held.generation) {
            return None;
        }
        held.remaining = checkpoint.remaining.map(|left| left.get().min(held.ttl));
        held.generation += u32::from(checkpoint.remaining.is_none());
        self.leases.insert(checkpoint.id.get(), held);
        Some(Event::Checkpointed {
            name: held.name(checkpoint.id),
            epoch: fence.map_or(0, |fence| fence.epoch.get()),
            remaining_ms: checkpoint.remaining.map(|left| left.as_secs() * 1000),
            proposed_ms,
        })
    }

    /// The lease, if a command with this fence may touch it.
    fn admitted(&self, id: LeaseId, fence: Option<(Incarnation, Epoch)>) -> Option<Held> {
        let held = *self.leases.get(&id.get())?;
        let is_admitted = fence.is_none_or(|(incarnation, epoch)| {
            epoch.get() >= self.epoch && incarnation.get() == held.incarnation
        });
        is_admitted.then_some(held)
    }

    /// The state that a member has shown.
    pub(crate) fn of(
        epoch: u64,
        rows: &[LeaseRow],
        keys: impl IntoIterator<Item = (u8, i64)>,
    ) -> Self {
        let held = |row: &LeaseRow| Held {
            incarnation: row.incarnation.map_or(0, Incarnation::get),
            ttl: row.ttl.get(),
            remaining: row.remaining.map(Ttl::get),
            generation: row.checkpoint_generation,
        };
        let leases = rows.iter().map(|row| (row.id.get(), held(row)));
        Self {
            epoch,
            leases: leases.collect(),
            keys: keys.into_iter().collect(),
        }
    }

    /// The first row in which this state is not the one that is specified, in words.
    pub(crate) fn difference(&self, specified: &Self) -> Option<String> {
        if self.epoch != specified.epoch {
            let (is, must) = (self.epoch, specified.epoch);
            return Some(format!("the epoch is {is} and must be {must}"));
        }
        let lease = first_difference(&self.leases, &specified.leases).map(|(id, is, must)| {
            let text = |held: Option<&Held>| held.map_or("gone".to_owned(), Held::to_string);
            format!("lease {id} is {} and must be {}", text(is), text(must))
        });
        let key = || {
            let (key, is, must) = first_difference(&self.keys, &specified.keys)?;
            let text = |lease: Option<&i64>| {
                lease.map_or("no lease".to_owned(), |lease| format!("lease {lease}"))
            };
            Some(format!(
                "key {key} hangs on {} and must hang on {}",
                text(is),
                text(must)
            ))
        };
        lease.or_else(key)
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// The first key that one map has otherwise than the other, and what each has.
fn first_difference<'a, K: Copy + Ord, V: PartialEq>(
    one: &'a BTreeMap<K, V>,
    other: &'a BTreeMap<K, V>,
) -> Option<(K, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<_> = one.keys().chain(other.keys()).copied().collect();
    let mut both = keys
        .into_iter()
        .map(|key| (key, one.get(&key), other.get(&key)));
    both.find(|(_, one, other)| one != other)
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            incarnation,
            ttl,
            remaining,
            generation,
        } = self;
        write!(f, "of entry {incarnation} with a TTL of {ttl} s, ")?;
        match remaining {
            Some(left) => write!(f, "{left} s left at its last checkpoint")?,
            None => f.write_str("no checkpoint")?,
        }
        write!(f, " and {generation} resets")
    }
}

impl Held {
    const fn name(self, id: LeaseId) -> Name {
        Name {
            lease: id.get(),
            incarnation: self.incarnation,
        }
    }
}

#[cfg(test)]
mod tests {
    use lease_core::{CheckpointFence, ExpiryFence};

    use super::*;

    fn id() -> LeaseId {
        LeaseId::new(1).expect("not zero")
    }

    fn state(requests: impl IntoIterator<Item = Request>) -> State {
        let mut state = State::default();
        for (request, index) in requests.into_iter().zip(1..) {
            state.apply(index, &request, 0);
        }
        state
    }

    fn grant() -> Request {
        let ttl = Ttl::new(10).expect("legal");
        Request::Grant { id: id(), ttl }
    }

    const BEGIN: Request = Request::BeginEpoch { node: 0 };

    fn expire(incarnation: u64, epoch: u64) -> Request {
        let fence = ExpiryFence {
            incarnation: Incarnation::supplied(incarnation).expect("small"),
            epoch: Epoch::new(epoch),
        };
        Request::Revoke(vec![Revocation {
            id: id(),
            fence: Some(fence),
        }])
    }

    fn checkpoint(remaining: Option<i64>, generation: u32) -> Request {
        Request::Checkpoint(vec![Checkpoint {
            id: id(),
            remaining: remaining.map(|left| Ttl::new(left).expect("legal")),
            fence: Some(CheckpointFence {
                incarnation: Incarnation::supplied(1).expect("small"),
                epoch: Epoch::new(0),
                generation,
            }),
        }])
    }

    #[test]
    fn an_expiry_counts_only_for_its_grant_and_its_epoch() {
        assert_eq!(state([grant(), expire(1, 0)]).leases.len(), 0);
        assert_eq!(state([grant(), expire(2, 0)]).leases.len(), 1);
        assert_eq!(state([grant(), BEGIN, expire(1, 1)]).leases.len(), 1);
        assert_eq!(state([grant(), BEGIN, expire(1, 2)]).leases.len(), 0);
    }

    #[test]
    fn a_checkpoint_from_before_a_reset_means_nothing() {
        let reset = checkpoint(None, 0);
        let state = state([
            grant(),
            checkpoint(Some(7), 0),
            reset,
            checkpoint(Some(3), 0),
        ]);
        assert_eq!(state.leases[&1].remaining, None);
        assert_eq!(state.leases[&1].generation, 1);
    }

    #[test]
    fn keys_move_and_go_with_their_lease() {
        let put = |lease: Option<i64>| Request::Put {
            key: 7,
            lease: lease.and_then(LeaseId::new),
        };
        assert_eq!(state([grant(), put(Some(1))]).keys.len(), 1);
        assert_eq!(
            state([grant(), put(Some(2))]).keys.len(),
            0,
            "no such lease"
        );
        assert_eq!(state([grant(), put(Some(1)), put(None)]).keys.len(), 0);
        let revoke = Request::Revoke(vec![Revocation::by_user(id())]);
        assert_eq!(state([grant(), put(Some(1)), revoke]), State::default());
    }

    #[test]
    fn what_a_member_shows_is_compared_as_a_whole() {
        let ttl = Ttl::new(10).expect("legal");
        let row = LeaseRow {
            incarnation: Incarnation::supplied(1),
            ..LeaseRow::new(id(), ttl)
        };
        let specified = state([grant()]);
        assert_eq!(State::of(0, &[row], []).digest(), specified.digest());
        let others = [
            State::of(1, &[row], []),
            State::of(0, &[], []),
            State::of(0, &[row], [(7, 1)]),
            State::of(
                0,
                &[LeaseRow {
                    remaining: Some(ttl),
                    ..row
                }],
                [],
            ),
        ];
        for other in others {
            assert_ne!(other.digest(), specified.digest(), "{other:?}");
        }
    }

    #[test]
    fn what_differs_is_said_in_words() {
        let specified = state([grant(), BEGIN]);
        assert_eq!(specified.difference(&specified), None);
        let differs = |other: &State| other.difference(&specified).expect("it differs");
        assert_eq!(differs(&state([])), "the epoch is 0 and must be 2");
        assert_eq!(
            differs(&State::of(2, &[], [])),
            "lease 1 is gone and must be of entry 1 with a TTL of 10 s, no checkpoint and 0 resets"
        );
        let checkpointed = state([grant(), checkpoint(Some(4), 0)]);
        assert_eq!(
            checkpointed.difference(&state([grant()])).as_deref(),
            Some(
                "lease 1 is of entry 1 with a TTL of 10 s, 4 s left at its last checkpoint and 0 resets \
                 and must be of entry 1 with a TTL of 10 s, no checkpoint and 0 resets"
            )
        );
        let mut keys = specified.clone();
        keys.keys.insert(7, 1);
        assert_eq!(
            differs(&keys),
            "key 7 hangs on lease 1 and must hang on no lease"
        );
    }
}
