use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lease_core::probe;
use madsim::time::sleep;

use super::member::Letter;
use super::{World, lock};
use crate::event::Event;
use crate::history::History;
use crate::plan::End;
use crate::plan::Engine;
use crate::spec::State;
use crate::wire::{Entry, Message, Request};

/// A hostile but legal model of consensus: one sequence of entries, in which proposals are delayed,
/// lost or duplicated, come in after their proposer has lost its leadership, and end with an
/// outcome that the proposer may never learn.
pub(super) struct Log {
    entries: Vec<Vec<u8>>,
    term: u64,
    leader: usize,
    elected_ms: u64,
    proposals: u64,
    // What became of each proposal: its index, or `None` if it was refused.
    decided: BTreeMap<u64, Option<u64>>,
    // When each proposal was made, by the session of its member and the number in it.
    proposed_ms: BTreeMap<(u64, u64), u64>,
    pub(super) history: History,
    // The digest of what is specified after each entry.
    digests: Vec<u64>,
    // What each entry does.
    effects: Vec<Vec<Event>>,
}

/// A leader that the log does not reach for so long is replaced.
const ELECTION_TIMEOUT_MS: u64 = 1_500;

/// A leader that has not become the primary by then is replaced.
const PROMOTION_TIMEOUT_MS: u64 = 8_000;

/// How many in a thousand confirmations are old when they come, and how old.
const LATE_PER_MILLE: u32 = 50;

const MOST_LATE_MS: u64 = 900;

/// At most so many entries go into one message.
const ENTRIES_PER_MESSAGE: usize = 64;

impl Log {
    pub(super) fn new(remembered: u64) -> Self {
        Self {
            entries: Vec::new(),
            term: 0,
            leader: 0,
            elected_ms: 0,
            proposals: 0,
            decided: BTreeMap::new(),
            proposed_ms: BTreeMap::new(),
            history: History::new(remembered),
            digests: Vec::new(),
            effects: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn proposed_ms(&self, entry: &Entry) -> u64 {
        let proposed_ms = self.proposed_ms.get(&key(entry));
        proposed_ms.copied().unwrap_or(0)
    }

    /// The effects of an entry that is there.
    pub(super) fn effects(&self, index: u64) -> Vec<Event> {
        let place = usize::try_from(index - 1).unwrap_or(usize::MAX);
        self.effects.get(place).cloned().unwrap_or_default()
    }

    fn message(&self, from: u64) -> Message {
        let skip = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let entries = self.entries.iter().skip(skip).take(ENTRIES_PER_MESSAGE);
        Message::Entries {
            first: from,
            entries: entries.cloned().collect(),
            length: self.len(),
            term: self.term,
            leader: self.leader,
        }
    }
}

impl World {
    /// A number for an attempt to have an entry taken in; the first one of a proposal is its
    /// beginning.
    pub(super) fn number_attempt(&self, entry: &Entry) -> u64 {
        let now_ms = self.now_ms();
        let mut log = lock(&self.log);
        log.proposals += 1;
        log.proposed_ms.entry(key(entry)).or_insert(now_ms);
        log.proposals
    }

    /// Makes a member the leader of a new term, in which its first entry says so.
    pub(super) fn elect(self: &Arc<Self>, node: usize) {
        if self.parameters.engine == Engine::Raft {
            self.post_all(|| Letter::HandOver(node));
            return;
        }
        // What is broken of the others stays so in a healed world: also that their expiry is suspended.
        let is_whole = !self.is_healed() || node < self.parameters.core;
        if !is_whole || !self.is_reachable(node) {
            return;
        }
        let now_ms = self.now_ms();
        let term = {
            let mut log = lock(&self.log);
            log.term += 1;
            log.leader = node;
            log.elected_ms = now_ms;
            log.term
        };
        // Its epoch begins with an entry of its own.
        self.hear(Event::Elected { node, epoch: 0 });
        self.members[node].post(Letter::Lead(term));
    }

    /// Has the leader step down before another one is elected.
    pub(super) fn transfer(self: &Arc<Self>, node: usize) {
        if self.parameters.engine == Engine::Raft {
            self.elect(node);
        } else if self.is_reachable(node) {
            let leader = lock(&self.log).leader;
            if leader != node {
                self.members[leader].post(Letter::StepDown);
            }
            self.elect(node);
        }
    }

    /// Whether a member is up and the log reaches it, both ways.
    fn is_reachable(&self, node: usize) -> bool {
        let network = lock(&self.network);
        let (there, here) = (End::Node(node), End::Log);
        self.members[node].is_running()
            && !network.is_cut(there, here)
            && !network.is_cut(here, there)
    }

    /// Elects another leader when the log does not reach the present one.
    pub(super) fn supervise_leader(self: &Arc<Self>) {
        if self.parameters.engine == Engine::Raft {
            return self.supervise_members();
        }
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            let mut unreachable_since_ms = None;
            loop {
                sleep(Duration::from_millis(250)).await;
                let now_ms = world.now_ms();
                let (leader, elected_ms) = {
                    let log = lock(&world.log);
                    (log.leader, log.elected_ms)
                };
                if world.is_reachable(leader) {
                    unreachable_since_ms = None;
                } else {
                    unreachable_since_ms.get_or_insert(now_ms);
                }
                let is_lost =
                    unreachable_since_ms.is_some_and(|since| since + ELECTION_TIMEOUT_MS <= now_ms);
                let is_primary = world.members[leader].primary_epoch().is_some();
                let is_idle = elected_ms + PROMOTION_TIMEOUT_MS <= now_ms && !is_primary;
                if is_lost || is_idle {
                    probe::mark("world: a lost leader is replaced");
                    unreachable_since_ms = None;
                    world.elect_any_but(leader);
                }
            }
        });
    }

    fn elect_any_but(self: &Arc<Self>, leader: usize) {
        let nodes = match self.is_healed() {
            true => self.parameters.core,
            false => self.members.len(),
        };
        let next = (1..=nodes)
            .map(|turn| (leader + turn) % nodes)
            .find(|node| self.is_reachable(*node));
        if let Some(node) = next {
            self.elect(node);
        }
    }

    /// What the log does with a member's message.
    pub(super) fn log_hears(self: &Arc<Self>, node: usize, message: Message) {
        match message {
            Message::Propose { proposal, entry } => self.take_in(node, proposal, entry),
            Message::Confirm { call, epoch } => {
                let (leads, length) = {
                    let log = lock(&self.log);
                    (log.term == epoch, log.len())
                };
                let confirmed = Message::Confirmed {
                    call,
                    leads,
                    length,
                };
                let late = match self.happens(LATE_PER_MILLE) {
                    true => self.span(0, MOST_LATE_MS),
                    false => Duration::ZERO,
                };
                self.later(late, move |world| world.log_answers(node, &confirmed));
            }
            Message::Fetch { from } => {
                let message = lock(&self.log).message(from);
                self.log_answers(node, &message);
            }
            message => unreachable!("members do not send {message:?} to the log"),
        }
    }

    fn log_answers(self: &Arc<Self>, node: usize, message: &Message) {
        self.send(End::Log, End::Node(node), message);
    }

    /// A proposal of a member that does not lead is refused, or comes in all the same: it was under
    /// way before.
    fn take_in(self: &Arc<Self>, node: usize, proposal: u64, entry: Vec<u8>) {
        let (leads, decided) = {
            let log = lock(&self.log);
            (log.leader == node, log.decided.get(&proposal).copied())
        };
        // The network may bring it twice.
        match decided {
            Some(Some(index)) => {
                self.log_answers(node, &Message::Proposed { proposal, index });
                return;
            }
            Some(None) => {
                self.log_answers(node, &Message::Rejected { proposal });
                return;
            }
            None => {}
        }
        if !leads {
            // Nothing begins a term that is over: its leader is the last one that could have taken it in.
            if !begins_epoch(&entry) && self.happens(500) {
                probe::mark("world: a proposal comes in from a former leader");
            } else {
                lock(&self.log).decided.insert(proposal, None);
                self.log_answers(node, &Message::Rejected { proposal });
                return;
            }
        }
        let refused_per_mille = self.parameters.refused_per_mille;
        if leads && refused_per_mille > 0 && self.happens(refused_per_mille) {
            probe::mark("world: the leader's proposal is refused");
            lock(&self.log).decided.insert(proposal, None);
            // Its leader may learn of that when it has long tried again.
            let late = self.span(0, self.parameters.retry_interval_ms);
            self.later(late, move |world| {
                world.log_answers(node, &Message::Rejected { proposal });
            });
            return;
        }
        if self.happens(self.parameters.duplicated_per_mille) {
            probe::mark("world: a proposal comes in twice");
            let copy = entry.clone();
            self.later(self.span(10, 10_000), |world| {
                world.append(copy);
            });
        }
        let index = self.append(entry);
        lock(&self.log).decided.insert(proposal, Some(index));
        self.log_answers(node, &Message::Proposed { proposal, index });
    }

    fn append(self: &Arc<Self>, entry: Vec<u8>) -> u64 {
        let index = self.specify(Some(&entry));
        let message = lock(&self.log).message(index);
        for node in 0..self.members.len() {
            let lag = self.span(0, self.parameters.apply_lag_ms);
            let message = message.clone();
            self.later(lag, move |world| world.log_answers(node, &message));
        }
        index
    }

    /// A member applies an entry of another engine's log next.
    ///
    /// # Errors
    ///
    /// Another member has applied another one.
    pub(super) fn learn(self: &Arc<Self>, index: u64, entry: Option<&[u8]>) -> Result<(), String> {
        let length = lock(&self.log).len();
        if index == length + 1 {
            self.specify(entry);
            return Ok(());
        }
        let log = lock(&self.log);
        let at = usize::try_from(index - 1).unwrap_or(usize::MAX);
        match log.entries.get(at) {
            Some(known) if known[..] == *entry.unwrap_or_default() => Ok(()),
            Some(_) => Err(format!("entry {index} is another one at another member")),
            None => Err(format!(
                "entry {index} comes after {length}, which is the last one"
            )),
        }
    }

    /// What the next entry comes to; one of the engine's own comes to nothing.
    fn specify(self: &Arc<Self>, entry: Option<&[u8]>) -> u64 {
        let (index, digest, effects, begins) = {
            let mut log = lock(&self.log);
            let index = log.len() + 1;
            let decoded = entry.map(Entry::decode);
            let effects = match &decoded {
                Some(decoded) => {
                    let proposed_ms = log.proposed_ms(decoded);
                    log.history.push(decoded, proposed_ms)
                }
                None => Ok(log.history.push_nothing()),
            };
            log.entries.push(entry.unwrap_or_default().to_vec());
            let digest = log.history.state(index).digest();
            log.digests.push(digest);
            let request = decoded.as_ref().map(|decoded| &decoded.request);
            let begins = match (&effects, request) {
                (Ok(effects), Some(Request::BeginEpoch { node, .. })) if !effects.is_empty() => {
                    Some(*node)
                }
                _ => None,
            };
            (index, digest, effects, begins)
        };
        self.hear(Event::Specified { index, digest });
        match effects {
            Ok(effects) => lock(&self.log).effects.push(effects),
            Err(message) => {
                lock(&self.log).effects.push(Vec::new());
                self.hear(Event::NotLinear { message });
            }
        }
        if let Some(node) = begins {
            let epoch = index;
            self.hear(Event::Elected { node, epoch });
        }
        index
    }

    /// Where a state after the entry with this index is not as specified, in words. A member that has
    /// applied nothing owes nothing.
    pub(super) fn difference(&self, index: u64, state: &State) -> Option<String> {
        let log = lock(&self.log);
        let place = usize::try_from(index).ok()?.checked_sub(1)?;
        let is_specified = log.digests.get(place) == Some(&state.digest());
        (!is_specified).then(|| state.difference(log.history.state(index)))?
    }

    /// Whether no member has applied this index before.
    pub(super) fn is_first_to_apply(&self, index: u64) -> bool {
        self.first_applied.fetch_max(index, Ordering::Relaxed) < index
    }

    /// A member has come back with entries that no member is known to have applied: it lost power
    /// before it could tell. The checkers hear what they have done.
    pub(super) fn tell_up_to(&self, index: u64) {
        let known = self.first_applied.fetch_max(index, Ordering::Relaxed);
        if known < index {
            probe::mark("world: an entry was applied and nobody knew");
        }
        for index in known..index {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let effects = lock(&self.log).effects.get(at).cloned();
            for event in effects.into_iter().flatten() {
                self.hear(event);
            }
        }
    }
}

const fn key(entry: &Entry) -> (u64, u64) {
    (entry.stamp.session, entry.stamp.number)
}

fn begins_epoch(entry: &[u8]) -> bool {
    matches!(Entry::decode(entry).request, Request::BeginEpoch { .. })
}
