use std::collections::BTreeSet;

use lease_core::{Lease, LeaseError, LeaseId, LeaseItem, Lessor, TicketOutcome, probe};

use super::deleter::{has_held_on, held_on};
use super::watch::Told;
use super::{Held, Holder, Host};
use crate::world::clock::Round;

/// What clients ask.
impl Host {
    /// A client asks for a lease, sometimes with an id that the lessor draws. Returns its id, if there is
    /// one now.
    pub(super) fn grant(&mut self, lease: i64, ttl: i64) -> Option<i64> {
        let is_drawn = self.steps.is_multiple_of(4);
        if is_drawn && self.steps.is_multiple_of(8) {
            self.take_next_id(ttl);
        }
        if self.alone.max_writes > 0 && self.steps.is_multiple_of(3) {
            self.burst(ttl);
        }
        let granted = self.grant_as(Some(lease).filter(|_| !is_drawn), ttl);
        if self.rows.deleter.refuses() && granted.is_some() && self.steps.is_multiple_of(3) {
            // Another one ends with it, whose rows are not deleted at once.
            if let Some(other) = self.grant_as(None, ttl) {
                self.attach_or_detach(other, &[held_on()], false);
            }
        }
        granted
    }

    /// Grants a lease with this id, or one that the lessor draws.
    pub(super) fn grant_as(&mut self, id: Option<i64>, ttl: i64) -> Option<i64> {
        let is_full = self.alone.max_leases > 0 && self.held.len() >= self.alone.max_leases;
        let is_there = id.is_some_and(|id| self.held.contains_key(&id));
        let want = if ttl > lease_core::MAX_LEASE_TTL {
            Some(LeaseError::LeaseTtlTooLarge)
        } else if is_there {
            Some(LeaseError::LeaseExists)
        } else {
            is_full.then_some(LeaseError::TooManyLeases)
        };
        let granted = match id {
            _ if self.steps.is_multiple_of(5) => self.lessor.grant_lease(id.map(id_of), ttl.into()),
            Some(id) => self.lessor.grant(id_of(id), ttl),
            None => self.lessor.grant_new(ttl),
        };
        if id.is_none() {
            self.look_at_drawn(&granted.as_ref().map(Lease::id).map_err(LeaseError::clone));
        }
        if !self.expect("a grant", &granted, want) {
            return None;
        }
        let granted = granted.ok()?;
        let lease = granted.id().get();
        if id.is_some_and(|id| id != lease) {
            self.object(format!("in the place of {id:?} is granted {granted:?}"));
        }
        let ttl_ms = ttl.max(self.parameters.min_ttl[0]).unsigned_abs() * 1000;
        let left_ms = granted.remaining().map(|left| left.as_millis() as u64);
        let is_counted = self.office.is_primary().then_some(ttl_ms);
        if left_ms != is_counted || !granted.keys().is_empty() {
            self.object(format!("a grant of {ttl} s was answered {granted:?}"));
        }
        self.grants += 1;
        self.counts.granted += 1;
        self.polled.forget(lease);
        self.note_grant();
        self.owed.push(Told::granted(lease, ttl_ms));
        let held = Held {
            grant: self.grants,
            ttl_ms,
            until: self.until(ttl_ms),
            since_ms: self.own_ms(),
            items: BTreeSet::new(),
        };
        if self.held.insert(lease, held).is_some() {
            self.object(format!("lease {lease} is drawn and is there"));
        }
        if id.is_none() {
            probe::mark("alone: the lessor draws an id");
        }
        Some(lease)
    }

    /// A client that keeps its lease alive, and then goes away without a word.
    pub(super) fn hold(&mut self, lease: i64, ttl: i64, every_ms: u64, times: u32) {
        if let Some(lease) = self.grant(lease, ttl) {
            let next_ms = self.now_ms() + every_ms;
            self.holders.push(Holder {
                lease,
                every_ms,
                next_ms,
                left: times,
            });
        }
    }

    /// The clients renew whose time has come.
    pub(super) fn renew_held(&mut self) {
        let now_ms = self.now_ms();
        let mut due = Vec::new();
        for holder in &mut self.holders {
            if holder.next_ms <= now_ms {
                holder.next_ms = now_ms + holder.every_ms;
                holder.left -= 1;
                due.push(holder.lease);
            }
        }
        self.holders.retain(|holder| holder.left > 0);
        for lease in due {
            probe::mark("alone: a client keeps its lease alive");
            self.renew(lease);
        }
    }

    /// One by one or many at once.
    pub(super) fn renew(&mut self, lease: i64) {
        let now = self.clock.own_time(Round::Down);
        let id = id_of(lease);
        if !self.office.is_primary() {
            return self.renew_without_primary(id);
        }
        if self.deliveries.has(lease) {
            return self.renew_expiring(lease);
        }
        let is_alive = |held: &Held| held.until.from_ms > now.to_ms;
        match self.held.get(&lease) {
            Some(held) if !is_alive(held) => return,
            None => {
                let renewed = self.lessor.try_renew(id);
                self.expect(
                    "a renewal of no lease",
                    &renewed,
                    Some(LeaseError::LeaseNotFound),
                );
                return;
            }
            Some(_) => {}
        }
        if self.alone.polls_checkpoints {
            return match self.steps.is_multiple_of(4) {
                true => self.renew_waiting(lease),
                false => self.renew_with_resets(lease),
            };
        }
        if self.steps.is_multiple_of(2) {
            probe::mark("alone: many leases are renewed at once");
            let alive = self.held.iter().filter(|(_, held)| is_alive(held));
            let ids: Vec<_> = alive
                .filter_map(|(lease, _)| LeaseId::new(*lease))
                .collect();
            for (id, answer) in ids.iter().zip(self.lessor.renew_many(&ids)) {
                if let Ok(lease_core::Renewal::Renewed(_)) = answer {
                    self.renewed(id.get());
                } else if !matches!(answer, Ok(lease_core::Renewal::Reset(_))) {
                    self.object(format!("a renewal of lease {id} was answered {answer:?}"));
                }
            }
        } else if self.steps % 3 == 1 {
            self.renew_in_tasks(lease);
        } else {
            probe::mark("alone: a renewal waits for its reset, if it needs one");
            let renewed = self.lessor.renew(id);
            if self.expect("a renewal", &renewed, None) {
                self.renewed(lease);
            }
        }
    }

    /// Nobody renews, whether the lease is there or not.
    fn renew_without_primary(&mut self, id: LeaseId) {
        probe::mark("alone: a lessor that is not promoted is to renew");
        let want = || Some(LeaseError::NotPrimary);
        let renewed = self.lessor.try_renew(id);
        self.expect("a renewal without a primary", &renewed, want());
        let renewed = self.lessor.renew(id);
        self.expect("a renewal without a primary", &renewed, want());
        for renewed in self.lessor.renew_many(&[id, id]) {
            self.expect("renewals without a primary", &renewed, want());
        }
        if self.lessor.wait(id).is_some() {
            self.object(format!("without a primary lease {id} is waited for"));
        }
    }

    pub(super) fn renewed(&mut self, lease: i64) {
        let now = self.clock.own_time(Round::Up);
        let lag_ms = self.parameters.clock_lag_ms;
        self.counts.renewed += 1;
        if let Some(held) = self.held.get_mut(&lease) {
            held.since_ms = now.to_ms;
            held.until = held.until.max(now.plus(held.ttl_ms + lag_ms));
            self.owed.push(Told::renewed(lease, held.ttl_ms));
        }
    }

    /// Alone, as one of many, or with a write of the host's.
    pub(super) fn revoke(&mut self, lease: i64) {
        let (id, want) = (id_of(lease), self.refusal(lease));
        let held = self.held.get(&lease);
        let items = held.map(|held| held.items.clone()).unwrap_or_default();
        let revoked = match self.steps % 3 {
            0 => return self.revoke_many(lease),
            1 => {
                let writes = self.number();
                let revoked = self.lessor.revoke_with(id, writes);
                // With what is refused nothing is written.
                if want.is_none() {
                    self.wrote(&revoked);
                }
                revoked
            }
            _ => self.lessor.revoke(id),
        };
        if self.expect("a revoke", &revoked, want) {
            self.revoked(lease);
            if self.steps.is_multiple_of(2) {
                self.take_again(lease, &items);
            }
        }
    }

    /// A client attaches an item, moves it or detaches it.
    pub(super) fn put(&mut self, key: u8, lease: Option<i64>) {
        let item = LeaseItem::new([key]);
        let owner = self.owner_of(&item);
        // One that is named twice is one.
        let times = 1 + usize::from(self.steps.is_multiple_of(4));
        let items = vec![item; times];
        if let Some(lease) = lease.or(owner) {
            self.attach_or_detach(lease, &items, owner == Some(lease));
        }
    }

    /// A client attaches very many items of different lengths in one command, or detaches them.
    pub(super) fn put_many(&mut self, lease: i64, count: u16) {
        probe::mark("alone: very many items are attached at once");
        let items: Vec<_> = (0..count).map(one_of_many).collect();
        let owner = items.first().and_then(|item| self.owner_of(item));
        self.attach_or_detach(lease, &items, owner == Some(lease));
        self.look_at_items();
    }

    fn owner_of(&self, item: &LeaseItem) -> Option<i64> {
        let mut held = self.held.iter();
        let owner = held.find(|(_, held)| held.items.contains(item));
        owner.map(|(lease, _)| *lease)
    }

    pub(super) fn attach_or_detach(&mut self, lease: i64, items: &[LeaseItem], is_detach: bool) {
        let (id, mut want) = (id_of(lease), self.refusal(lease));
        if !is_detach && want.is_none() && self.has_too_many(lease, items) {
            probe::mark("alone: a lease is to have too many items");
            want = Some(LeaseError::TooManyItems);
        }
        let is_cut = probe::is_planted("alone-many-items-cut");
        let given = &items[..items
            .len()
            .min(if is_cut { MOST_ITEMS } else { usize::MAX })];
        let has_writes = self.steps.is_multiple_of(2);
        let is_written = has_writes && want.is_none();
        let mut writes = self.number();
        if !is_detach && is_written {
            writes = self.with_rows_of(writes, items);
        }
        let done = match (is_detach, has_writes) {
            (true, true) => self.lessor.detach_with(id, given, writes),
            (true, false) => self.lessor.detach(id, given),
            (false, true) => self.lessor.attach_with(id, given, writes),
            (false, false) => self.lessor.attach(id, given),
        };
        if is_written {
            self.wrote(&done);
        }
        if is_written && !is_detach {
            self.wrote_rows_of(items, &done);
        }
        if self.expect("an attach or a detach", &done, want) {
            self.attached_or_detached(lease, items, is_detach);
        }
    }

    fn has_too_many(&self, lease: i64, items: &[LeaseItem]) -> bool {
        let held = self.held.get(&lease).map(|held| held.items.iter());
        let all: BTreeSet<_> = held.into_iter().flatten().chain(items).collect();
        self.alone.max_items > 0 && all.len() > self.alone.max_items
    }

    fn attached_or_detached(&mut self, lease: i64, items: &[LeaseItem], is_detach: bool) {
        let items: BTreeSet<_> = items.iter().cloned().collect();
        let mut told = Vec::new();
        for (of, held) in &mut self.held {
            if (*of == lease) == is_detach {
                let gone: BTreeSet<_> = held.items.intersection(&items).cloned().collect();
                held.items.retain(|item| !gone.contains(item));
                told.push(Told::detached(*of, gone));
            }
        }
        if !is_detach && let Some(held) = self.held.get_mut(&lease) {
            let new = items.difference(&held.items).cloned().collect();
            told.push(Told::attached(lease, new));
            if has_held_on(&items) {
                self.rows.held_on.insert(held.grant);
            }
            held.items.extend(items);
        }
        let is_something = |told: &Told| !told.is_of_nothing();
        self.owed.extend(told.into_iter().filter(is_something));
    }

    /// Each item is with its lease, and with no other one.
    pub(super) fn look_at_items(&mut self) {
        let mut wrong = None;
        for (lease, held) in &self.held {
            let id = id_of(*lease);
            let found = self.lessor.lookup(id);
            let found: BTreeSet<_> = found
                .iter()
                .flat_map(|it| it.keys().iter().cloned())
                .collect();
            let stray = |item: &&LeaseItem| self.lessor.get_lease(item.as_bytes()) != Some(id);
            if found != held.items {
                let (has, must) = (found.len(), held.items.len());
                wrong = Some(format!(
                    "lease {lease} has {has} items, and must have {must}"
                ));
            } else if let Some(item) = found.iter().find(stray) {
                wrong = Some(format!("item {item} is not found to be of lease {lease}"));
            }
        }
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    /// A client asks for the time to live of a lease, and waits for its end.
    pub(super) fn ask(&mut self, lease: i64) {
        let held = self.held.get(&lease);
        let told = self.lessor.time_to_live(id_of(lease));
        let is_right = match (held, told) {
            (Some(held), Some(told)) => {
                let left_ms = told.remaining().map(|left| left.as_millis() as u64);
                told.ttl().as_secs() * 1000 == held.ttl_ms && self.may_have(held, left_ms)
            }
            (None, None) => true,
            _ => false,
        };
        let wait = self.lessor.wait(id_of(lease));
        if wait.is_some() != (held.is_some() && self.office.is_primary()) {
            self.object(format!("there is {wait:?} for lease {lease}"));
        } else if let (Some(held), Some(wait)) = (held, wait) {
            self.waits.push((held.grant, lease, wait));
        }
        if !is_right {
            self.object(format!("the time to live of lease {lease} is {told:?}"));
        }
        self.ask_seldom(lease);
        self.list();
        self.look_at_items();
    }

    /// A wait ends with its lease, and not before.
    pub(super) fn look_at_waits(&mut self) {
        let mut wrong = None;
        let held = &self.held;
        self.waits.retain(|(grant, lease, wait)| {
            let is_there = held.get(lease).is_some_and(|held| held.grant == *grant);
            let outcome = wait.try_outcome();
            let expected = (!is_there).then_some(TicketOutcome::Revoked);
            if outcome != expected {
                wrong = Some(format!("a wait for lease {lease} has {outcome:?}"));
            }
            if !is_there {
                probe::mark("alone: a wait ends with its lease");
            }
            is_there
        });
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    /// Walks all leases page by page: each once.
    fn list(&mut self) {
        probe::mark("alone: leases are listed page by page");
        let mut limit = 1 + self.steps as usize % 3;
        let mut seen = BTreeSet::new();
        let mut after = None;
        loop {
            // The pages grow, up to one that has all that is left.
            limit = limit.saturating_mul(1 + self.steps as usize % 2);
            let page = self.lessor.page(after, limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            for lease in &page {
                let is_new = seen.insert(lease.id().get());
                let held = self.held.get(&lease.id().get());
                let has_its = held.is_some_and(|held| held.items.iter().eq(lease.keys()));
                if !is_new || !has_its || page.len() > limit {
                    return self.object(format!("a page of {limit} has {page:?}"));
                }
            }
        }
        let is_there = |lease: &i64| self.held.contains_key(lease);
        if seen.len() != self.held.len() || !seen.iter().all(is_there) {
            self.object(format!("the pages have the leases {seen:?}"));
        }
    }
}

pub(super) fn id_of(lease: i64) -> LeaseId {
    LeaseId::new(lease).expect("the plan is sound")
}

/// How many items are attached at once where a bug leaves the others out.
const MOST_ITEMS: usize = 255;

/// Items of all lengths up to a few hundred bytes.
fn one_of_many(number: u16) -> LeaseItem {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(2 + usize::from(number % 7) * usize::from(number % 41), b'x');
    LeaseItem::new(bytes)
}
