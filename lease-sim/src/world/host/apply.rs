use std::time::Duration;

use lease_core::{
    Answer, Command, Incarnation, LeaseError, LeaseId, LeaseItem, Lessor, ProposalOutcome, Revoked,
    WriteBatch, probe,
};
use madsim::time::sleep;

use super::{
    APPLIED, FETCH_EVERY_MS, Host, Pending, RETRY_AFTER_MS, hear, keys, lock, meta, read_keys,
};
use crate::event::{Event, Name};
use crate::plan::End;
use crate::wire::{Ask, Entry, Message, Reply, Request};

/// What the member's own table of entries said about an entry.
enum Outcome {
    Answer(Answer),
    Put { accepted: bool },
}

impl Host {
    /// Reads the index of the last applied entry, and attaches the keys again.
    pub(super) fn recover(&mut self, from_disk: bool) -> Result<(), lease_core::BackendError> {
        use lease_core::Backend;
        let applied = self.backend.get(&meta(), APPLIED)?;
        let applied = applied.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        self.applied = applied.unwrap_or(0);
        for (key, lease) in read_keys(&*self.backend)? {
            if let Some(id) = LeaseId::new(lease)
                && self.lessor.attach(id, &[LeaseItem::new([key])]).is_err()
            {
                hear(
                    self,
                    Event::Broken {
                        node: self.node,
                        message: format!("key {key} is stored with lease {lease}, which is not"),
                    },
                );
            }
        }
        if from_disk && self.applied < self.member().applied() {
            probe::mark("host: a loss of power takes what was not written");
        }
        self.member().set_applied(self.applied);
        self.world.tell_up_to(self.applied);
        hear(
            self,
            Event::Recovered {
                node: self.node,
                index: self.applied,
                digest: self.digest(),
                from_disk,
            },
        );
        Ok(())
    }

    /// Asks the log for the next entries.
    pub(super) fn fetch(&mut self) {
        self.fetch_at_ms = self.world.now_ms() + FETCH_EVERY_MS;
        let from = self.applied + 1;
        self.send(End::Log, &Message::Fetch { from });
    }

    /// Entries of the log have come, maybe again, maybe too early.
    pub(super) fn receive(
        &mut self,
        first: u64,
        entries: Vec<Vec<u8>>,
        length: u64,
        leader: (u64, usize),
    ) {
        let now_ms = self.world.now_ms();
        if lock(&self.member().status).wants_snapshot_until_ms > now_ms {
            return;
        }
        self.leader = self.leader.max(Some(leader));
        let last = first + entries.len() as u64;
        for (entry, index) in entries.into_iter().zip(first..) {
            if index > self.applied {
                self.inbox.insert(index, entry);
            }
        }
        let has_gap = first > self.applied + 1 && !self.inbox.contains_key(&(self.applied + 1));
        if has_gap || last <= length {
            probe::mark("host: a member has missed entries");
            self.fetch_at_ms = self.fetch_at_ms.min(now_ms + 100);
        }
    }

    /// Applies the entries whose turn has come.
    pub(super) async fn apply_ready(&mut self) {
        while self.world.now_ms() >= self.retry_at_ms {
            let Some(bytes) = self.inbox.get(&(self.applied + 1)) else {
                return;
            };
            let entry = Entry::decode(bytes);
            let slow_by = lock(&self.member().status).slow_by;
            if slow_by > Duration::ZERO {
                sleep(slow_by).await;
            }
            match self.apply(&entry) {
                Ok(()) => self.failures = 0,
                Err(_) => {
                    probe::mark("host: an entry cannot be applied yet");
                    self.failures += 1;
                    self.retry_at_ms = self.world.now_ms() + RETRY_AFTER_MS;
                }
            }
        }
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), LeaseError> {
        let index = self.applied + 1;
        let mut writes = WriteBatch::default();
        writes.put(meta(), APPLIED, index.to_be_bytes());
        if probe::is_planted("host-applied-index-apart") {
            self.lessor.write(std::mem::take(&mut writes))?;
        }
        // Whose incarnation an entry ends is only known before it is applied.
        let before = self.incarnations(entry);
        let outcome = match entry.command(index) {
            Some(mut command) => {
                self.spoil(&mut command);
                Outcome::Answer(self.lessor.apply(&command, writes)?)
            }
            None => self.put(&entry.request, writes)?,
        };
        self.applied = index;
        self.inbox.remove(&index);
        self.member().set_applied(index);
        hear(
            self,
            Event::Applied {
                node: self.node,
                index,
                digest: self.digest(),
            },
        );
        self.tell_granted(&outcome, &entry.request);
        if self.world.is_first_to_apply(index) {
            self.tell(entry, &outcome, &before);
        }
        self.answer(entry, &outcome);
        if let Some(Command::BeginEpoch(epoch)) = entry.command(index)
            && let Request::BeginEpoch { node, .. } = entry.request
        {
            self.epoch_begins(epoch.get(), node);
        }
        Ok(())
    }

    fn put(&self, request: &Request, mut writes: WriteBatch) -> Result<Outcome, LeaseError> {
        let Request::Put { key, lease } = request else {
            unreachable!("only puts are the host's own");
        };
        let items = vec![LeaseItem::new([*key])];
        let owner = self.lessor.get_lease(&[*key]);
        // What the host writes with a command is written also if that is refused.
        let is_accepted = lease.is_none_or(|id| self.lessor.lookup(id).is_some());
        if is_accepted || probe::is_planted("host-writes-what-is-refused") {
            let value = lease.map_or(0, LeaseId::get);
            writes.put(keys(), [*key], value.to_be_bytes());
        }
        let moves = owner.is_some() && lease.is_some() && owner != *lease;
        let command = match (*lease, owner) {
            (Some(_), _) if moves && probe::is_planted("attach-without-move") => None,
            (Some(id), _) => Some(Command::Attach { id, items }),
            (None, Some(id)) => Some(Command::Detach { id, items }),
            (None, None) => None,
        };
        let Some(command) = command else {
            self.lessor.write(writes)?;
            return Ok(Outcome::Put { accepted: true });
        };
        let accepted = match self.lessor.apply(&command, writes)? {
            Answer::Attached(answer) | Answer::Detached(answer) => answer.is_ok(),
            answer => unreachable!("{command:?} was answered {answer:?}"),
        };
        if accepted != is_accepted {
            let message = format!("{command:?} was answered {accepted}");
            let node = self.node;
            hear(self, Event::Broken { node, message });
        }
        if let (Some(id), Some(owner)) = (*lease, owner)
            && accepted
            && moves
        {
            self.detach_from_former(id, owner, *key)?;
        }
        Ok(Outcome::Put { accepted })
    }

    /// As etcd's host does, detaches an item from the lease that had it: that must not touch what now
    /// belongs to another one.
    fn detach_from_former(&self, id: LeaseId, owner: LeaseId, key: u8) -> Result<(), LeaseError> {
        let from = if probe::is_planted("detach-by-anyone") {
            id
        } else {
            owner
        };
        self.lessor.detach(from, &[LeaseItem::new([key])])
    }

    fn incarnations(&self, entry: &Entry) -> Vec<Option<Incarnation>> {
        let ids: Vec<_> = match &entry.request {
            Request::Revoke(revocations) => revocations.iter().map(|one| one.id).collect(),
            Request::Checkpoint(checkpoints) => checkpoints.iter().map(|one| one.id).collect(),
            _ => Vec::new(),
        };
        let incarnation = |id| self.lessor.lookup(id).map(|lease| lease.incarnation());
        ids.into_iter().map(incarnation).collect()
    }

    /// Tells the checkers how long a lease lasts that a primary has granted.
    fn tell_granted(&self, outcome: &Outcome, request: &Request) {
        if let Outcome::Answer(Answer::Granted(Ok(incarnation))) = outcome
            && let Request::Grant { id, ttl } = request
            && self.lessor.primary_epoch().is_some()
        {
            let name = Name::new(*id, *incarnation);
            let no_more = Duration::ZERO;
            self.world.hear_counted(self.node, name, *ttl, no_more);
        }
    }

    /// Tells the checkers what an entry did; the first member that applies it does.
    fn tell(&self, entry: &Entry, outcome: &Outcome, before: &[Option<Incarnation>]) {
        let Outcome::Answer(answer) = outcome else {
            return;
        };
        match (&entry.request, answer) {
            (Request::Grant { id, .. }, Answer::Granted(Ok(incarnation))) => {
                if let Some(lease) = self.lessor.lookup(*id) {
                    let name = Name::new(*id, *incarnation);
                    let ttl_ms = lease.ttl().as_secs() * 1000;
                    hear(self, Event::Granted { name, ttl_ms });
                }
            }
            (Request::Revoke(revocations), Answer::Revoked(answers)) => {
                for ((revocation, answer), incarnation) in
                    revocations.iter().zip(answers).zip(before)
                {
                    if let (Ok(Revoked::Done), Some(incarnation)) = (answer, incarnation) {
                        let name = Name::new(revocation.id, *incarnation);
                        let by = revocation.fence.map(|fence| fence.epoch.get());
                        hear(self, Event::Revoked { name, by });
                    }
                }
            }
            (Request::Checkpoint(checkpoints), Answer::Checkpointed(meant)) => {
                let proposed_ms = lock(&self.world.log).proposed_ms(entry);
                for ((checkpoint, meant), incarnation) in checkpoints.iter().zip(meant).zip(before)
                {
                    if let (true, Some(incarnation)) = (meant, incarnation) {
                        let event = Event::Checkpointed {
                            name: Name::new(checkpoint.id, *incarnation),
                            epoch: checkpoint.fence.map_or(0, |fence| fence.epoch.get()),
                            remaining_ms: checkpoint.remaining.map(|left| left.as_secs() * 1000),
                            proposed_ms,
                        };
                        hear(self, event);
                    }
                }
            }
            (_, Answer::Epoch(Ok(epoch))) => hear(self, Event::Began { epoch: epoch.get() }),
            _ => {}
        }
    }

    /// Answers whoever has made the proposal, if that was here.
    fn answer(&mut self, entry: &Entry, outcome: &Outcome) {
        match self.pending.remove(&entry.proposal) {
            Some(Pending::Client { call, ask }) => {
                let reply = reply(ask, entry, outcome);
                self.reply(call, reply);
            }
            Some(Pending::Reset { asker, id }) => self.renew(asker, id),
            Some(Pending::Checkpoints(batch)) => {
                self.lessor
                    .handle_checkpoints(&batch, ProposalOutcome::Applied);
            }
            Some(Pending::Expired(_)) | None => {}
        }
    }
}

fn reply(ask: Ask, entry: &Entry, outcome: &Outcome) -> Reply {
    match (ask, outcome) {
        (Ask::Grant { .. }, Outcome::Answer(Answer::Granted(Ok(incarnation)))) => {
            let Request::Grant { ttl, .. } = entry.request else {
                unreachable!("a grant was proposed");
            };
            Reply::Alive {
                incarnation: *incarnation,
                ttl,
            }
        }
        (_, Outcome::Answer(Answer::Granted(Err(_))) | Outcome::Put { accepted: false }) => {
            probe::mark("host: a command is refused");
            Reply::Refused
        }
        _ => Reply::Done,
    }
}
