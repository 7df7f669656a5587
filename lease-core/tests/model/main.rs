//! Random histories of commands, time and roles: the lessor answers as the reference does, step by
//! step, and every invariant holds after each.

mod ops;
#[path = "../reference/mod.rs"]
mod reference;

use std::collections::BTreeSet;
use std::time::Duration;

use lease_core::{
    Answer, AttemptOutcome, Busy, Checkpoint, CheckpointBatch, Command, Decision, Epoch,
    ExpiredBatch, ExpiryFence, Grant, Incarnation, LeaseId, LeaseItem, LessorConfig, LessorCore,
    Promotion, ProposalOutcome, Revocation, Revoked, Ticket, TicketOutcome, Timestamp, Ttl,
    WriteBatch,
};
use ops::{IDS, Op, TTLS, config, op};
use proptest::prelude::*;
use reference::Reference;

struct Run {
    lessor: LessorCore,
    reference: Reference,
    rows: WriteBatch,
    granted: u64,
    // What is decided and not applied yet, and the leases that it has a claim on.
    decisions: Vec<(Decision, Command, BTreeSet<LeaseId>)>,
    delivered: Vec<Revocation>,
    expired: Vec<ExpiredBatch>,
    batches: u64,
    checkpoints: Vec<CheckpointBatch>,
    checkpoint_batches: u64,
    resets: Vec<Checkpoint>,
    waiting: Vec<Ticket>,
}

impl Run {
    fn new(config: LessorConfig) -> Self {
        Self {
            reference: Reference::new(config.clone()),
            lessor: LessorCore::new(config),
            rows: WriteBatch::default(),
            granted: 0,
            decisions: Vec::new(),
            delivered: Vec::new(),
            expired: Vec::new(),
            batches: 0,
            checkpoints: Vec::new(),
            checkpoint_batches: 0,
            resets: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.reference.now_ms)
    }

    fn step(&mut self, op: Op) {
        let now = self.now();
        match op {
            Op::Grant { id, ttl, supplied } => self.grant(id, ttl, supplied),
            Op::Revoke { id } => {
                self.execute(Revocation::by_user(lease_id(id)).into());
            }
            Op::Decide {
                id,
                kind,
                items,
                epoch,
            } => self.decide(lease_id(id), kind, &items, epoch),
            Op::EndDecision { which, fails } => self.end_decision(which, fails),
            Op::RevokeExpired { which } => {
                if let Some(revocation) = pick(&self.delivered, which) {
                    self.execute(revocation.into());
                }
            }
            Op::Renew { id } => self.renew(id),
            Op::Attach { id, items } => {
                let (id, items) = (lease_id(id), lease_items(&items));
                self.execute(Command::Attach { id, items });
            }
            Op::Detach { id, items } => {
                let (id, items) = (lease_id(id), lease_items(&items));
                self.execute(Command::Detach { id, items });
            }
            Op::Advance { ms } => self.reference.now_ms += ms,
            Op::ClockBack => self.lessor.handle_timeout(Timestamp::ZERO),
            Op::Promote { epoch, extend_ms } => self.promote(epoch, extend_ms),
            Op::Demote { epoch } => {
                let changed =
                    matches!(self.lessor.demote(Epoch::new(epoch)), Promotion::Changed(_));
                assert_eq!(changed, self.reference.demote(Epoch::new(epoch)));
            }
            Op::BeginEpoch { epoch } => {
                self.execute(Command::BeginEpoch(Epoch::new(epoch)));
            }
            Op::Poll => self.poll(),
            Op::Take { which } => {
                if let Some(batch) = pick(&self.expired, which) {
                    self.lessor.handle_taken(now, &batch);
                    self.reference.taken(&batch);
                }
            }
            Op::AttemptFailed { which } => {
                if let Some(Revocation {
                    id,
                    fence: Some(fence),
                }) = pick(&self.delivered, which)
                {
                    self.attempt_failed(id, fence);
                }
            }
            Op::PollCheckpoints => self.poll_checkpoints(),
            Op::ApplyCheckpoint { which } => {
                if let Some(batch) = pick(&self.checkpoints, which) {
                    self.execute(Command::Checkpoint(batch.records));
                }
            }
            Op::ApplyReset { which } => {
                if let Some(reset) = pick(&self.resets, which) {
                    self.execute(reset.into());
                }
            }
            Op::CheckpointOutcome { which, failed } => self.checkpoint_outcome(which, failed),
            Op::Suspend => {
                self.lessor.suspend_expiry();
                self.reference.suspended = true;
            }
            Op::Resume => {
                self.lessor.resume_expiry();
                self.reference.suspended = false;
            }
            Op::Wait { id } => self.wait(lease_id(id)),
            Op::GiveUp { which } => {
                if let Some(ticket) = pick(&self.waiting, which) {
                    self.waiting.retain(|waiting| *waiting != ticket);
                    self.lessor.cancel_ticket(ticket);
                }
            }
            Op::Recover => self.recover(),
        }
        self.compare();
    }

    fn grant(&mut self, id: usize, ttl: usize, supplied: bool) {
        let (id, ttl) = (lease_id(id), lease_ttl(ttl));
        self.granted += 1;
        let incarnation = supplied
            .then(|| Incarnation::supplied(self.granted))
            .flatten();
        let grant = Grant {
            id,
            ttl,
            incarnation,
        };
        self.execute(grant.into());
    }

    /// Decides a command and applies it at once, unless a decided one stands in the way.
    fn execute(&mut self, command: Command) {
        let Some(decision) = self.try_decide(&command) else {
            return;
        };
        let answer = self.lessor.apply(self.now(), decision);
        assert_eq!(answer, self.reference.execute(&command, &answer));
    }

    fn try_decide(&mut self, command: &Command) -> Option<Decision> {
        let is_busy = self.is_busy(command);
        let rows = self.rows.len();
        match self.lessor.decide(command.clone(), &mut self.rows) {
            Err(Busy(back)) => {
                assert!(is_busy, "{command:?} is decided");
                assert_eq!((&back, self.rows.len()), (command, rows));
                None
            }
            Ok(decision) => {
                assert!(!is_busy, "{command:?} has to wait");
                Some(decision)
            }
        }
    }

    /// Whether a command touches a lease, or attaches an item, of one that is decided and not applied.
    fn is_busy(&self, command: &Command) -> bool {
        let touched = self.touched(command);
        let begins_epoch = matches!(command, Command::BeginEpoch(_));
        let mut grants = 0;
        let mut has_epoch = false;
        let mut is_claimed = false;
        for (decision, other, claims) in &self.decisions {
            let has_effect = !decision.answer().is_refusal();
            is_claimed |= has_effect && self.attach_the_same(other, command);
            grants += usize::from(has_effect && matches!(other, Command::Grant(_)));
            has_epoch |=
                matches!(other, Command::BeginEpoch(epoch) if *epoch > self.reference.epoch);
            is_claimed |= !claims.is_disjoint(&touched);
            is_claimed |= has_effect && shares_items(other, command);
            let effective = Self::effective(other, decision.answer());
            is_claimed |= begins_epoch && effective.as_ref().is_some_and(has_fence);
        }
        let len = self.reference.leases.len();
        let max = self.lessor.config().max_leases;
        let is_full = matches!(command, Command::Grant(_))
            && max.is_some_and(|max| len < max && len + grants >= max);
        is_claimed || has_epoch || is_full
    }

    /// Whether both attach an item that belongs to nobody.
    fn attach_the_same(&self, one: &Command, other: &Command) -> bool {
        match (one, other) {
            (Command::Attach { items: one, .. }, Command::Attach { items: other, .. }) => {
                let is_free = |item: &&LeaseItem| self.reference.get_lease(item).is_none();
                one.iter().filter(is_free).any(|item| other.contains(item))
            }
            _ => false,
        }
    }

    fn touched(&self, command: &Command) -> BTreeSet<LeaseId> {
        match command {
            Command::Grant(grant) => BTreeSet::from([grant.id]),
            Command::Revoke(revocations) => revocations.iter().map(|one| one.id).collect(),
            Command::Attach { id, items } => {
                let owners = items
                    .iter()
                    .filter_map(|item| self.reference.get_lease(item));
                owners.chain([*id]).collect()
            }
            Command::Detach { id, .. } => BTreeSet::from([*id]),
            Command::Checkpoint(checkpoints) => checkpoints.iter().map(|one| one.id).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The part of a decided command that changes something, and that it has a claim on.
    fn effective(command: &Command, answer: &Answer) -> Option<Command> {
        match (command, answer) {
            (_, answer) if answer.is_refusal() => None,
            (Command::Revoke(revocations), Answer::Revoked(answers)) => {
                let both = revocations.iter().zip(answers);
                let done = both.filter(|(_, answer)| **answer == Ok(Revoked::Done));
                Some(Command::Revoke(done.map(|(one, _)| *one).collect()))
            }
            (Command::Checkpoint(checkpoints), Answer::Checkpointed(meant)) => {
                let both = checkpoints.iter().zip(meant);
                let meant = both.filter(|(_, meant)| **meant);
                Some(Command::Checkpoint(meant.map(|(one, _)| *one).collect()))
            }
            _ => Some(command.clone()),
        }
    }

    fn decide(&mut self, id: LeaseId, kind: usize, items: &[u8], epoch: u64) {
        let items = lease_items(items);
        let command = match kind {
            0 => Grant::new(id, lease_ttl(items.len())).into(),
            1 => {
                let others = self.delivered.iter().take(2).copied();
                Command::Revoke(others.chain([Revocation::by_user(id)]).collect())
            }
            2 => Command::Attach { id, items },
            3 => Command::Detach { id, items },
            4 => Checkpoint::new(id, Ttl::new(epoch as i64).ok()).into(),
            _ => Command::BeginEpoch(Epoch::new(epoch)),
        };
        let Some(decision) = self.try_decide(&command) else {
            return;
        };
        let answer = decision.answer().clone();
        let expected = self.reference.clone().execute(&command, &answer);
        assert_eq!(answer, expected, "{command:?}");
        let effective = Self::effective(&command, &answer);
        let claims = effective.map(|effective| self.touched(&effective));
        self.decisions
            .push((decision, command, claims.unwrap_or_default()));
    }

    fn end_decision(&mut self, which: usize, fails: bool) {
        let Some(at) = which.checked_rem(self.decisions.len()) else {
            return;
        };
        let (decision, command, _) = self.decisions.remove(at);
        if fails {
            assert_eq!(self.lessor.abandon(decision), command);
        } else {
            let answer = self.lessor.apply(self.now(), decision);
            if let Some(effective) = Self::effective(&command, &answer) {
                // What had no effect may be answered otherwise by now.
                self.reference.execute(&effective, &answer);
            }
        }
    }

    fn renew(&mut self, id: usize) {
        let id = lease_id(id);
        let renewal = self.lessor.renew(self.now(), id);
        assert_eq!(renewal, self.reference.renew(id));
        if let Ok(lease_core::Renewal::Reset(reset)) = renewal {
            self.resets.push(reset);
        }
    }

    fn promote(&mut self, epoch: u64, extend_ms: u64) {
        let epoch = Epoch::new(epoch);
        let extend = Duration::from_millis(extend_ms);
        let promotion = self.lessor.promote(self.now(), epoch, extend);
        let changed = self.reference.promote(epoch, extend_ms);
        assert_eq!(matches!(promotion, Promotion::Changed(_)), changed);
        if changed {
            self.batches = 0;
            self.checkpoint_batches = 0;
        }
    }

    fn poll(&mut self) {
        let mut batches = Vec::new();
        self.drive(|run, now| match run.lessor.poll_expired(now) {
            None => run.lessor.next_expiry(),
            Some(batch) => {
                batches.push(batch);
                Some(Timestamp::ZERO)
            }
        });
        for batch in &batches {
            assert_eq!(Some(batch.epoch), self.reference.primary);
            assert_eq!(batch.number, self.batches);
            self.batches += 1;
            self.delivered.extend(batch.revocations());
            self.expired.push(batch.clone());
        }
        let flat = |batch: &ExpiredBatch| -> Vec<_> {
            let leases = batch.leases.iter();
            leases
                .map(|lease| {
                    let lag_ms = lease.lag.as_millis() as u64;
                    (lease.id, lease.incarnation, lease.attempt, lag_ms)
                })
                .collect()
        };
        let batches: Vec<_> = batches.iter().map(flat).collect();
        assert_eq!(batches, self.reference.poll_expired());
    }

    fn attempt_failed(&mut self, id: LeaseId, fence: ExpiryFence) {
        let failed = AttemptOutcome::Failed;
        self.lessor.handle_attempt(self.now(), id, fence, failed);
        self.reference.attempt_failed(id, fence);
    }

    fn poll_checkpoints(&mut self) {
        let mut batches = Vec::new();
        self.drive(|run, now| match run.lessor.poll_checkpoints(now) {
            None => run.lessor.next_checkpoint(),
            Some(batch) => {
                batches.push(batch);
                Some(Timestamp::ZERO)
            }
        });
        let records: Vec<_> = batches.iter().map(|batch| batch.records.clone()).collect();
        let expected = self.reference.poll_checkpoints(self.checkpoint_batches);
        assert_eq!(records, expected);
        for batch in batches {
            assert_eq!(batch.number, self.checkpoint_batches);
            self.checkpoint_batches += 1;
            self.checkpoints.push(batch);
        }
    }

    /// Does what a driver does until nothing is due any more, in bounded time.
    fn drive(&mut self, mut poll: impl FnMut(&mut Self, Timestamp) -> Option<Timestamp>) {
        let now = self.now();
        for _ in 0..1_000 {
            self.lessor.handle_timeout(now);
            if poll(self, now).is_none_or(|next| next > now) {
                return;
            }
        }
        panic!("something is due for ever");
    }

    fn checkpoint_outcome(&mut self, which: usize, failed: bool) {
        if let Some(batch) = pick(&self.checkpoints, which) {
            let outcome = if failed {
                ProposalOutcome::Failed
            } else {
                ProposalOutcome::Applied
            };
            self.lessor.handle_checkpoints(self.now(), &batch, outcome);
            self.reference
                .checkpoints_over(batch.number, &batch.records, failed);
        }
    }

    fn wait(&mut self, id: LeaseId) {
        let ticket = self.lessor.wait_for(id);
        let is_there = self.reference.leases.contains_key(&id);
        assert_eq!(
            ticket.is_some(),
            is_there && self.reference.primary.is_some()
        );
        self.waiting.extend(ticket);
    }

    fn recover(&mut self) {
        let mut recovery = self.lessor.begin_recovery();
        for row in self.lessor.rows() {
            recovery.insert(&row).expect("each id once");
        }
        let epoch = self.lessor.epoch();
        self.lessor.finish_recovery(recovery, epoch);
        self.reference.recover();
        // What was decided is void, whatever becomes of it.
        for (at, (decision, ..)) in self.decisions.drain(..).enumerate() {
            if at % 2 == 0 {
                self.lessor
                    .apply(Timestamp::from_millis(self.reference.now_ms), decision);
            } else {
                let _ = self.lessor.abandon(decision);
            }
        }
        for (id, lease) in &mut self.reference.leases {
            let now = Timestamp::from_millis(self.reference.now_ms);
            let recovered = self.lessor.lookup(now, *id).expect("recovered");
            if lease.incarnation.as_supplied().is_some() {
                assert_eq!(recovered.incarnation(), lease.incarnation);
            }
            lease.incarnation = recovered.incarnation();
        }
    }

    fn compare(&mut self) {
        let now = self.now();
        self.lessor.check_invariants();
        assert_eq!(self.lessor.rows(), self.reference.rows());
        assert_eq!(self.lessor.primary_epoch(), self.reference.primary);
        assert_eq!(self.lessor.epoch(), self.reference.epoch);
        for id in (0..IDS.len()).map(lease_id) {
            self.compare_lease(now, id);
        }
        for item in lease_items(&[0, 1, 2, 3]) {
            let lease = self.lessor.get_lease(item.as_bytes());
            assert_eq!(lease, self.reference.get_lease(&item));
        }
        assert_eq!(self.lessor.stats().backlog, self.reference.backlog());
        let listed = self.lessor.leases(now);
        assert_eq!(listed.len(), self.reference.leases.len());
        self.settle_tickets();
    }

    fn compare_lease(&self, now: Timestamp, id: LeaseId) {
        let lease = self.lessor.lookup(now, id);
        let expected = self.reference.leases.get(&id);
        assert_eq!(lease.is_some(), expected.is_some(), "{id}");
        let Some((lease, expected)) = lease.zip(expected) else {
            return;
        };
        assert_eq!(lease.ttl(), expected.ttl);
        assert_eq!(lease.incarnation(), expected.incarnation);
        assert_eq!(lease.checkpointed_remaining(), expected.remaining);
        assert!(lease.keys().iter().eq(&expected.items));
        let remaining = self.reference.remaining_ms(id);
        assert_eq!(lease.demoted(), remaining.is_none());
        let remaining = remaining.map(Duration::from_millis);
        assert_eq!(lease.remaining(), remaining, "{id}");
    }

    /// Every wait ends when it must, with the right answer, and none before.
    fn settle_tickets(&mut self) {
        while let Some((ticket, outcome)) = self.lessor.poll_ticket() {
            let place = self.waiting.iter().position(|waiting| *waiting == ticket);
            self.waiting.remove(place.expect("answered once"));
            match outcome {
                TicketOutcome::Revoked => {
                    assert!(!self.reference.leases.contains_key(&ticket.lease()));
                }
                TicketOutcome::NotPrimary => {}
                other => panic!("{other:?}"),
            }
        }
        for ticket in &self.waiting {
            assert!(
                self.reference.leases.contains_key(&ticket.lease()),
                "somebody waits for a lease that is gone"
            );
        }
        assert_eq!(self.lessor.stats().waiting, self.waiting.len());
    }
}

fn lease_id(index: usize) -> LeaseId {
    LeaseId::new(IDS[index]).expect("not zero")
}

fn lease_ttl(index: usize) -> Ttl {
    Ttl::new(TTLS[index]).expect("in range")
}

fn lease_items(names: &[u8]) -> Vec<LeaseItem> {
    names.iter().map(|name| LeaseItem::new([*name])).collect()
}

/// Whether a decision of it holds in the present epoch alone.
fn has_fence(command: &Command) -> bool {
    match command {
        Command::Revoke(revocations) => revocations.iter().any(|one| one.fence.is_some()),
        _ => false,
    }
}

fn shares_items(one: &Command, other: &Command) -> bool {
    match (one, other) {
        (Command::Attach { items, .. }, Command::Attach { items: others, .. }) => {
            items.iter().any(|item| others.contains(item))
        }
        _ => false,
    }
}

fn pick<T: Clone>(from: &[T], which: usize) -> Option<T> {
    which
        .checked_rem(from.len())
        .map(|index| from[index].clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_500 } else { 20_000 }))]

    #[test]
    fn the_lessor_is_the_reference(
        config in config(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut run = Run::new(config);
        for op in ops {
            run.step(op);
        }
    }
}
