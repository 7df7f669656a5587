use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{World, lock};
use crate::event::Event;
use crate::plan::End;
use crate::wire::Message;

/// The links between members, log and clients: each with delays and losses of its own, from a
/// stream of random numbers of its own, so that what happens on one does not change the others.
pub(super) struct Network {
    noise: u64,
    links: BTreeMap<(End, End), Link>,
    // What is held up on its way to a member, and how many faults hold it up.
    clogs: BTreeMap<usize, (u32, Vec<Letter>)>,
}

#[derive(Default)]
struct Link {
    draws: u64,
    cuts: u32,
}

/// A message under way.
pub(super) struct Letter {
    pub(super) from: End,
    pub(super) to: End,
    sent_ms: u64,
    bytes: Vec<u8>,
}

impl Network {
    pub(super) fn new(noise: u64) -> Self {
        Self {
            noise,
            links: BTreeMap::new(),
            clogs: BTreeMap::new(),
        }
    }

    pub(super) fn cut(&mut self, from: End, to: End) {
        self.links.entry((from, to)).or_default().cuts += 1;
    }

    pub(super) fn mend(&mut self, from: End, to: End) {
        let link = self.links.entry((from, to)).or_default();
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Mends all links of a member.
    pub(super) fn mend_all(&mut self, node: usize) {
        let node = End::Node(node);
        for ((from, to), link) in &mut self.links {
            if *from == node || *to == node {
                link.cuts = 0;
            }
        }
    }

    pub(super) fn is_cut(&self, from: End, to: End) -> bool {
        let link = self.links.get(&(from, to));
        link.is_some_and(|link| link.cuts > 0)
    }

    pub(super) fn clog(&mut self, node: usize) {
        self.clogs.entry(node).or_default().0 += 1;
    }

    /// Ends a clog, or all of them; returns what was held up.
    pub(super) fn unclog(&mut self, node: usize, all: bool) -> Vec<Letter> {
        let Some((clogs, held)) = self.clogs.get_mut(&node) else {
            return Vec::new();
        };
        *clogs = if all { 0 } else { clogs.saturating_sub(1) };
        if *clogs == 0 {
            std::mem::take(held)
        } else {
            Vec::new()
        }
    }

    /// The next number from 0 to `below` of a link's own stream.
    fn draw(&mut self, from: End, to: End, below: u64) -> u64 {
        let link = self.links.entry((from, to)).or_default();
        link.draws += 1;
        let place = |end| match end {
            End::Log => 1,
            End::Clients => 2,
            End::Node(node) => 3 + node as u64,
        };
        let stream = place(from) << 32 | place(to) << 16;
        mix(self.noise ^ mix(stream) ^ link.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % below
    }
}

/// The finisher of splitmix64.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl World {
    /// Sends a message; it may be lost, come late, or come twice.
    pub(super) fn send(self: &Arc<Self>, from: End, to: End, message: &Message) {
        let parameters = &self.parameters;
        let (fastest, slowest) = parameters.latency_ms;
        let is_noisy = !self.is_healed();
        let letter = || Letter {
            from,
            to,
            sent_ms: self.now_ms(),
            bytes: message.encode(),
        };
        let mut network = lock(&self.network);
        if network.is_cut(from, to) {
            drop(network);
            self.lose(&letter());
            return;
        }
        let mut chance =
            |per_mille: u32| is_noisy && network.draw(from, to, 1000) < u64::from(per_mille);
        let is_lost = chance(parameters.lost_per_mille);
        // What goes over a connection does not come twice.
        let is_repeated = chance(parameters.repeated_per_mille) && !message.is_of_http();
        let copies = 1 + u32::from(is_repeated);
        let delays: Vec<_> = (0..copies)
            .map(|_| fastest + network.draw(from, to, slowest - fastest + 1))
            .collect();
        drop(network);
        if is_lost {
            lease_core::probe::mark("world: a message is lost");
            self.lose(&letter());
            return;
        }
        if copies > 1 {
            lease_core::probe::mark("world: a message comes twice");
        }
        for delay_ms in delays {
            let letter = letter();
            let delay = Duration::from_millis(delay_ms);
            self.later(delay, |world| world.arrive(letter));
        }
    }

    /// Delivers a message, unless its link has been cut meanwhile or its member is clogged.
    pub(super) fn arrive(self: &Arc<Self>, letter: Letter) {
        let mut network = lock(&self.network);
        if network.is_cut(letter.from, letter.to) {
            drop(network);
            self.lose(&letter);
            return;
        }
        if let End::Node(node) = letter.to
            && let Some((1.., held)) = network.clogs.get_mut(&node)
        {
            held.push(letter);
            return;
        }
        drop(network);
        let message = Message::decode(&letter.bytes);
        self.note(&letter, true);
        match (letter.from, letter.to) {
            (from, End::Node(node)) => self.members[node].deliver(from, message),
            (End::Node(node), End::Log) => self.log_hears(node, message),
            (End::Node(_), End::Clients) => self.client_hears(message),
            _ => unreachable!("nothing is sent from {:?} there", letter.from),
        }
    }

    fn lose(&self, letter: &Letter) {
        self.note(letter, false);
    }

    fn note(&self, letter: &Letter, arrived: bool) {
        let mut recorder = lock(&self.recorder);
        if recorder.is_traced() {
            let event = Event::Message {
                from: letter.from,
                to: letter.to,
                sent_ms: letter.sent_ms,
                what: Message::decode(&letter.bytes).to_string(),
                arrived,
            };
            recorder.note(self.now_ms(), event);
        }
    }
}
