use super::Host;
use super::buckets::Buckets;
use super::expiries::Expiries;
use super::machine::Machine;
use super::plain::Plain;
use super::queues::Queues;
use super::stores::Stores;
use crate::world::clock::SimClock;

/// What is beside the lessor, and is given something to do as well.
pub(super) struct Beside {
    pub(super) queues: Queues,
    pub(super) machine: Machine,
    pub(super) expiries: Expiries,
    pub(super) buckets: Buckets,
    pub(super) plain: Plain,
    pub(super) stores: Option<Stores>,
}

impl Beside {
    pub(super) fn new(seed: u64, clock: &SimClock) -> Self {
        Self {
            queues: Queues::default(),
            machine: Machine::new(seed),
            expiries: Expiries::new(seed),
            buckets: Buckets::new(seed),
            plain: Plain::new(seed, clock),
            stores: None,
        }
    }
}

impl Host {
    pub(super) fn look_beside(&mut self) {
        self.look_at_machine();
        self.look_at_expiries();
        self.look_at_buckets();
        self.look_at_plain();
        self.look_at_stores();
    }
}
