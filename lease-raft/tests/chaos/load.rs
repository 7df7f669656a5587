//! What clients do all the time, and what they are told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use lease_backend::testing::Prng;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, MEMBERS};
use crate::judge::Dump;
use crate::model::{Entry, Key, Model};
use crate::settings::{KEEP_INTERVAL, MAX_TTL};

/// What clients share.
pub(crate) struct Load {
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) model: RefCell<Model>,
    /// Whether nothing new is begun, but for renewals and reads.
    pub(crate) is_quiet: Cell<bool>,
    pub(crate) in_flight: Cell<u64>,
    /// Who leads, as far as is known.
    pub(crate) leader: Cell<usize>,
    last_id: Cell<i64>,
}

/// Ends what it runs when it is dropped.
pub(crate) struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Load {
    pub(crate) fn start(cluster: Rc<Cluster>, prng: &mut Prng) -> (Rc<Self>, Tasks) {
        let load = Rc::new(Self {
            cluster,
            model: RefCell::new(Model::new()),
            is_quiet: Cell::new(false),
            in_flight: Cell::new(0),
            leader: Cell::new(1),
            last_id: Cell::new(0),
        });
        let mut tasks = vec![spawn_local(Rc::clone(&load).watch_time())];
        for member in 1..=MEMBERS {
            tasks.push(spawn_local(Rc::clone(&load).keep_alive(member)));
            tasks.push(spawn_local(Rc::clone(&load).read(member)));
            tasks.push(spawn_local(Rc::clone(&load).watch(member)));
        }
        for _ in 0..WORKERS {
            let worker = Worker {
                load: Rc::clone(&load),
                prng: Prng::new(prng.next_u64()),
                own: Vec::new(),
            };
            tasks.push(spawn_local(worker.work()));
        }
        (load, Tasks(tasks))
    }

    async fn ask(&self, member: usize, command: &str) -> Option<String> {
        let process = self.cluster.member(member)?;
        process.ask(command).await
    }

    /// Renews through one member what is kept alive.
    async fn keep_alive(self: Rc<Self>, member: usize) {
        loop {
            sleep(KEEP_INTERVAL).await;
            let ids: Vec<i64> = {
                let model = self.model.borrow();
                let kept = model
                    .leases
                    .iter()
                    .filter(|(_, entry)| entry.is_kept && entry.known.is_some());
                kept.map(|(id, _)| *id).collect()
            };
            if ids.is_empty() || self.cluster.member(member).is_none() {
                continue;
            }
            self.renew(member, ids).await;
        }
    }

    async fn renew(&self, member: usize, ids: Vec<i64>) {
        let words: Vec<_> = ids.iter().map(i64::to_string).collect();
        for id in &ids {
            self.model.borrow_mut().renewal_begins(*id);
        }
        let asked = Instant::now();
        let command = format!("renew {}", words.join(" "));
        let answer = self.ask(member, &command).await;
        let letters = answer.as_deref();
        let letters = letters.and_then(|answer| answer.strip_prefix("ok "));
        let mut letters = letters.unwrap_or("").chars();
        let mut model = self.model.borrow_mut();
        for id in ids {
            model.renewal_ended(id, asked, letters.next().unwrap_or('?'));
        }
    }

    /// Reads all leases through one member.
    async fn read(self: Rc<Self>, member: usize) {
        loop {
            sleep(READ_INTERVAL).await;
            let begun = Instant::now();
            let answer = self.ask(member, "dump").await;
            let dump = answer.as_deref().and_then(Dump::parse);
            if let Some(dump) = dump {
                let (ended, quorum) = (Instant::now(), self.cluster.quorum());
                let mut model = self.model.borrow_mut();
                model.note_answer(quorum);
                model.see_read(&dump, begun, ended, quorum);
            }
        }
    }

    /// Watches who leads.
    async fn watch(self: Rc<Self>, member: usize) {
        let mut before = Instant::now();
        loop {
            sleep(STATUS_INTERVAL).await;
            let asked = Instant::now();
            let Some(answer) = self.ask(member, "status").await else {
                continue;
            };
            let numbers: Vec<u64> = answer
                .split(' ')
                .filter_map(|word| word.parse().ok())
                .collect();
            let [_, epoch, leader, _] = numbers[..] else {
                continue;
            };
            let mut model = self.model.borrow_mut();
            if epoch > 0 {
                model.see_status(epoch, before);
                self.leader.set(member);
                let newest = model.promotions.last().map(|promotion| promotion.epoch);
                if newest == Some(epoch) {
                    model.judge_suspects(asked, self.cluster.quorum());
                }
            } else if leader == member as u64 {
                self.leader.set(member);
            }
            before = asked;
        }
    }

    /// Notices when the driver itself is held up.
    async fn watch_time(self: Rc<Self>) {
        loop {
            let begun = Instant::now();
            sleep(STALL_INTERVAL).await;
            let stall = begun.elapsed().saturating_sub(STALL_INTERVAL);
            let mut model = self.model.borrow_mut();
            model.totals.longest_stall = model.totals.longest_stall.max(stall);
            let (at, before) = model.stall;
            if stall >= before || at.elapsed() > REMEMBERED {
                model.stall = (Instant::now(), stall);
            }
        }
    }
}

/// A client with leases of its own.
struct Worker {
    load: Rc<Load>,
    prng: Prng,
    own: Vec<i64>,
}

impl Worker {
    async fn work(mut self) {
        loop {
            sleep(Duration::from_millis(5 + self.prng.below(40))).await;
            let member = 1 + self.prng.below(MEMBERS as u64) as usize;
            if self.load.is_quiet.get() || self.load.cluster.member(member).is_none() {
                continue;
            }
            self.load.in_flight.update(|count| count + 1);
            self.act(member).await;
            self.load.in_flight.update(|count| count - 1);
        }
    }

    async fn act(&mut self, member: usize) {
        let is_there = |id: &i64| {
            let model = self.load.model.borrow();
            model.leases.get(id).is_some_and(|entry| !entry.is_ending)
        };
        self.own.retain(is_there);
        if self.own.is_empty() || (self.own.len() < MOST_OWN && self.prng.one_in(2)) {
            return self.grant(member).await;
        }
        let id = *self.prng.pick(&self.own);
        match self.prng.below(10) {
            0 => self.revoke(member, id).await,
            1 => {
                // It is not kept alive any more.
                let mut model = self.load.model.borrow_mut();
                if let Some(entry) = model.leases.get_mut(&id) {
                    entry.is_kept = false;
                }
            }
            2..=4 => self.load.renew(member, vec![id]).await,
            _ => self.attach_or_detach(member, id).await,
        }
    }

    async fn grant(&mut self, member: usize) {
        let id = self.load.last_id.get() + 1;
        self.load.last_id.set(id);
        let kept = {
            let model = self.load.model.borrow();
            let own = self.own.iter().filter_map(|id| model.leases.get(id));
            own.filter(|entry| entry.is_kept).count()
        };
        let is_kept = kept < MOST_KEPT && self.prng.one_in(2);
        let ttl = if is_kept {
            MAX_TTL.as_secs() - self.prng.below(2)
        } else {
            1 + self.prng.below(2)
        };
        let asked = Instant::now();
        self.load
            .model
            .borrow_mut()
            .leases
            .insert(id, Entry::new(ttl, is_kept));
        let answer = self.ask(member, &format!("grant {id} {ttl}")).await;
        if answer == "ok" {
            self.load.model.borrow_mut().granted(id, asked);
            self.own.push(id);
            return self.tell_another(member, id).await;
        }
        let mut model = self.load.model.borrow_mut();
        match &*answer {
            "unknown" => {
                if let Some(entry) = model.leases.get_mut(&id) {
                    entry.is_kept = false;
                }
            }
            why => model.refused(id, why),
        }
    }

    async fn revoke(&mut self, member: usize, id: i64) {
        if let Some(entry) = self.load.model.borrow_mut().leases.get_mut(&id) {
            entry.is_ending = true;
            entry.is_kept = false;
        }
        let asked = Instant::now();
        let answer = self.ask(member, &format!("revoke {id}")).await;
        if answer == "ok" {
            self.load.model.borrow_mut().revoked(id);
            return self.tell_another(member, id).await;
        }
        let mut model = self.load.model.borrow_mut();
        match &*answer {
            "unknown" => {}
            answer => {
                // It has not happened. Nobody keeps the lease alive any more.
                if let Some(entry) = model.leases.get_mut(&id) {
                    entry.is_ending = false;
                }
                if answer == "gone" {
                    model.answered_gone(id, asked, "was not there for a revoke");
                }
            }
        }
    }

    /// What one member has acknowledged, another one has to know: it is asked to renew the lease.
    async fn tell_another(&mut self, member: usize, id: i64) {
        let other = 1 + (member + self.prng.below(2) as usize) % MEMBERS;
        if self.prng.one_in(2) && self.load.cluster.member(other).is_some() {
            self.load.renew(other, vec![id]).await;
        }
    }

    async fn attach_or_detach(&mut self, member: usize, id: i64) {
        let key = id * 10 + self.prng.below(6) as i64;
        let (command, before) = {
            let mut model = self.load.model.borrow_mut();
            let Some(entry) = model.leases.get_mut(&id) else {
                return;
            };
            let before = entry.keys.get(&key).copied();
            let command = match before {
                None | Some(Key::Away(_)) => "attach",
                Some(Key::There(_)) => "detach",
                Some(Key::Unknown) => return,
            };
            entry.keys.insert(key, Key::Unknown);
            (command, before)
        };
        let asked = Instant::now();
        let answer = self.ask(member, &format!("{command} {id} {key}")).await;
        let mut model = self.load.model.borrow_mut();
        let now = Instant::now();
        let state = match &*answer {
            "ok" if command == "attach" => Key::There(now),
            "ok" => Key::Away(now),
            "unknown" => Key::Unknown,
            // It has not happened.
            _ => before.unwrap_or(Key::Away(now)),
        };
        if answer == "ok" {
            model.totals.attaches += 1;
        }
        if let Some(entry) = model.leases.get_mut(&id) {
            entry.keys.insert(key, state);
        }
        if answer == "gone" {
            model.answered_gone(id, asked, "was not there for an attach");
        }
    }

    /// Asks a member. What one that is killed was doing is not known.
    async fn ask(&self, member: usize, command: &str) -> String {
        self.load
            .model
            .borrow_mut()
            .note(&format!("{member}? {command}"));
        let answer = self.load.ask(member, command).await;
        let answer = answer.unwrap_or_else(|| "unknown".to_owned());
        let mut model = self.load.model.borrow_mut();
        model.note(&format!("{member}! {command}: {answer}"));
        if answer == "ok" {
            model.note_answer(self.load.cluster.quorum());
        }
        if answer == "unknown" {
            model.totals.unknown += 1;
        }
        answer
    }
}

const WORKERS: usize = 16;
const MOST_OWN: usize = 12;
const MOST_KEPT: usize = 3;
const READ_INTERVAL: Duration = Duration::from_millis(150);
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
const STALL_INTERVAL: Duration = Duration::from_millis(20);
/// For how long a stall counts.
const REMEMBERED: Duration = Duration::from_secs(10);
