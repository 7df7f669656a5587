use std::collections::{BTreeMap, BTreeSet};

use lease_core::{
    Answer, Checkpoint, CheckpointBatch, Command, Epoch, Incarnation, LeaseError, Lessor,
    ProposalOutcome, Renewal, WriteBatch, probe,
};

use super::clients::id_of;
use super::{Held, Host, LATE_MS, LOOK_MS};
use crate::event::OwnTime;
use crate::world::clock::Round;

/// What a host that asks for checkpoints has taken, and what becomes of it.
#[derive(Default)]
pub(super) struct Polled {
    taken: u64,
    proposals: Vec<Proposal>,
    /// What is known of leases since the promotion.
    leases: BTreeMap<i64, Known>,
    /// How often a lease was reset, each grant of it.
    resets: BTreeMap<(i64, Incarnation), u64>,
}

struct Proposal {
    batch: CheckpointBatch,
    epoch: Epoch,
    // How often each of its leases had been reset.
    resets: Vec<u64>,
    // When it comes into the state, if it does and has not yet, in the world's time.
    applied_ms: Option<u64>,
    // When its outcome is known.
    reported_ms: u64,
    outcome: ProposalOutcome,
    is_reported: bool,
}

/// What a lease has been checkpointed in a promotion.
#[derive(Debug)]
struct Known {
    // When that was asked for last.
    taken: OwnTime,
    // The batches of which it may be that they are still applied.
    open: BTreeSet<u64>,
    // The last of all, and whether there ever were two such batches, which only a reset ends.
    last: u64,
    is_tangled: bool,
    // When one has come in last, by the lessor's clock at most.
    applied_ms: u64,
    // Since when the last one is known to have failed.
    failed: Option<OwnTime>,
}

/// How late a report is that comes when its promotion is over.
const VERY_LATE_MS: u64 = 15_000;

impl Polled {
    /// The promotion is over. What comes in later has no effect, what is reported either.
    pub(super) fn end_promotion(&mut self) {
        self.leases.clear();
    }

    /// The state is read from the store, and nobody knows any more what was under way.
    pub(super) fn drop_all(&mut self) {
        self.end_promotion();
        self.proposals.clear();
        self.resets.clear();
    }

    /// It is another lease from now on.
    pub(super) fn forget(&mut self, lease: i64) {
        self.leases.remove(&lease);
    }

    fn resets_of(&self, lease: i64, incarnation: Incarnation) -> u64 {
        let resets = self.resets.get(&(lease, incarnation));
        resets.copied().unwrap_or(0)
    }

    /// Whether a checkpoint of the lease may still come in, as far as the lessor knows: `None` if it need not
    /// know whether.
    fn is_open(&self, lease: i64) -> Option<bool> {
        let Some(known) = self.leases.get(&lease) else {
            return Some(false);
        };
        match (known.open.is_empty(), known.is_tangled) {
            (true, true) => None,
            (is_empty, _) => Some(!is_empty),
        }
    }
}

impl Host {
    /// When the host next has something to do with checkpoints.
    pub(super) fn next_poll_ms(&self) -> u64 {
        let now_ms = self.now_ms();
        let of = |it: &Proposal| it.applied_ms.unwrap_or(it.reported_ms).min(it.reported_ms);
        let next_ms = self.polled.proposals.iter().map(of);
        let due = self.lessor.next_checkpoint();
        let polled_ms = due.filter(|_| self.alone.polls_checkpoints).map(|due| {
            let span = self.clock.time_until(due);
            now_ms + (span.as_nanos().div_ceil(1_000_000) as u64).max(1)
        });
        next_ms.chain(polled_ms).min().unwrap_or(u64::MAX)
    }

    /// The host takes what is to be checkpointed. It comes in, or does not, and the lessor is told, or is not,
    /// at once or much later.
    pub(super) fn poll_checkpoints(&mut self) {
        if !self.alone.polls_checkpoints {
            return;
        }
        self.bring_in();
        self.report_outcomes();
        self.look_at_due_checkpoints();
        let due = self.lessor.next_checkpoint();
        let is_due = due.is_some_and(|due| due <= self.clock.latest());
        let mut is_first = true;
        while let Some(batch) = self.lessor.poll_checkpoints() {
            probe::mark("alone: a host polls checkpoints");
            if is_first && !is_due {
                self.object(format!(
                    "{batch:?} is to be checkpointed, and was due at {due:?}"
                ));
            }
            is_first = false;
            self.taken_to_checkpoint(batch);
        }
        self.bring_in();
        self.report_outcomes();
        self.look_at_open_checkpoints();
    }

    fn taken_to_checkpoint(&mut self, batch: CheckpointBatch) {
        let (now, now_ms) = (self.between(), self.now_ms());
        let Some(epoch) = self.lessor.primary_epoch() else {
            return self.object(format!("without a primary {batch:?} is to be checkpointed"));
        };
        let mut resets = Vec::new();
        for record in &batch.records {
            if let Some(wrong) = self.wrong_checkpoint(record, epoch, now) {
                return self.object(wrong);
            }
            let lease = record.id.get();
            let incarnation = record.fence.map(|fence| fence.incarnation);
            resets.push(incarnation.map_or(0, |it| self.polled.resets_of(lease, it)));
            let fresh = || Known {
                taken: now,
                open: BTreeSet::new(),
                last: batch.number,
                is_tangled: false,
                applied_ms: 0,
                failed: None,
            };
            let known = self.polled.leases.entry(lease).or_insert_with(fresh);
            known.is_tangled |= !known.open.is_empty();
            known.open.insert(batch.number);
            (known.taken, known.last, known.failed) = (now, batch.number, None);
        }
        self.polled.taken += 1;
        let fate = match (self.alone.loses_checkpoints, batch.number) {
            (false, _) => 0,
            // Perhaps there is one of the same number and lease in the next promotion.
            (true, 0) if epoch.get().is_multiple_of(2) => 4,
            (true, _) => self.polled.taken % 6,
        };
        let (applied, reported, outcome) = match fate {
            0 | 5 => (Some(0), 0, ProposalOutcome::Applied),
            1 => (Some(700), 1_200, ProposalOutcome::Applied),
            2 => (None, 100, ProposalOutcome::Failed),
            3 => (Some(3_000), 100, ProposalOutcome::Unknown),
            _ => (None, VERY_LATE_MS, ProposalOutcome::Failed),
        };
        self.polled.proposals.push(Proposal {
            batch,
            epoch,
            resets,
            applied_ms: applied.map(|after_ms| now_ms + after_ms),
            reported_ms: now_ms + reported,
            outcome,
            is_reported: false,
        });
    }

    /// What is wrong with a checkpoint that the lessor wants.
    fn wrong_checkpoint(&self, record: &Checkpoint, epoch: Epoch, now: OwnTime) -> Option<String> {
        let lease = record.id.get();
        let interval_ms = self.parameters.checkpoint_interval_ms;
        let is_wanted = |held: &Held| {
            let found = self.lessor.lookup(record.id)?;
            let fence = record.fence?;
            let left_ms = record.remaining?.as_secs() * 1_000;
            let least_ms = held.until.from_ms.saturating_sub(now.to_ms);
            let most_ms = held.until.to_ms.saturating_sub(now.from_ms);
            let renewed_ms = held
                .until
                .from_ms
                .saturating_sub(held.ttl_ms + self.parameters.clock_lag_ms);
            let known = self.polled.leases.get(&lease);
            let not_before_ms = known.map_or(0, |known| match known.failed {
                Some(failed) => failed.from_ms + interval_ms / 2,
                None => known.taken.from_ms + interval_ms,
            });
            let is_of_it = fence.epoch == epoch && fence.incarnation == found.incarnation();
            let is_its_time = now.to_ms >= not_before_ms.max(renewed_ms + interval_ms);
            let is_what_remains = least_ms <= left_ms && left_ms < most_ms + 1_000;
            let is_long = held.ttl_ms > interval_ms && left_ms < held.ttl_ms;
            Some(is_of_it && is_its_time && is_what_remains && is_long)
        };
        let held = self.held.get(&lease);
        let is_wanted = held.and_then(is_wanted) == Some(true);
        let known = self.polled.leases.get(&lease);
        (!is_wanted).then(|| format!("at {now:?} {record:?} is wanted of {held:?}, {known:?}"))
    }

    /// Proposals come into the state. One is in vain if its lease was reset or granted anew since it was taken, or
    /// another epoch has begun.
    fn bring_in(&mut self) {
        let now_ms = self.now_ms();
        let mut proposals = std::mem::take(&mut self.polled.proposals);
        for proposal in &mut proposals {
            if proposal.applied_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                proposal.applied_ms = None;
                let resets = std::mem::take(&mut proposal.resets);
                self.bring_in_one(proposal, &resets);
            }
        }
        self.polled.proposals.extend(proposals);
    }

    fn bring_in_one(&mut self, proposal: &mut Proposal, resets: &[u64]) {
        let (is_of_now, own_ms) = (self.lessor.epoch() == proposal.epoch, self.own_ms());
        let mut must = Vec::new();
        for (record, resets) in proposal.batch.records.iter().zip(resets) {
            let incarnation = record.fence.map(|fence| fence.incarnation);
            let found = self.lessor.lookup(record.id);
            let is_same = found.is_some_and(|lease| Some(lease.incarnation()) == incarnation);
            let lease = record.id.get();
            let reset = incarnation.is_some_and(|it| self.polled.resets_of(lease, it) == *resets);
            let has_effect = is_of_now && is_same && reset;
            must.push(has_effect);
        }
        if must.contains(&false) {
            probe::mark("alone: a checkpoint comes in too late");
        }
        let records = proposal.batch.records.clone();
        let is_there = self.apply_checkpoints(records, &must);
        if !is_there {
            // It may be in the store, and nobody knows.
            proposal.outcome = ProposalOutcome::Unknown;
        }
        // The next one is an interval after what comes in, and whether another one has failed says nothing any
        // more. What comes in too late, or not, changes neither.
        let effects = proposal.batch.records.iter().zip(must);
        for (record, _) in effects.filter(|(_, has_effect)| *has_effect) {
            if let Some(known) = self.polled.leases.get_mut(&record.id.get()) {
                known.applied_ms = own_ms;
                known.failed = known.failed.filter(|_| !is_there);
            }
        }
    }

    /// Checkpoints come into the state; the answer says of each whether it has an effect. Returns whether they
    /// are there.
    fn apply_checkpoints(&mut self, records: Vec<Checkpoint>, must: &[bool]) -> bool {
        let command = Command::Checkpoint(records.clone());
        let applied = self.lessor.apply(&command, WriteBatch::default());
        let applied = match probe::is_planted("alone-checkpoints-answered-wrongly") {
            true => applied.map(|_| Answer::Checkpointed(vec![false; must.len()])),
            false => applied,
        };
        if !self.expect("a checkpoint that comes in", &applied, None) {
            return false;
        }
        let stands = |record: &Checkpoint| {
            let found = self.lessor.lookup(record.id);
            found.is_some_and(|lease| {
                lease.checkpointed_remaining() == record.remaining.map(|left| left.min(lease.ttl()))
            })
        };
        let both = records.iter().zip(must);
        let is_done = both.clone().all(|(record, must)| !must || stands(record));
        if applied != Ok(Answer::Checkpointed(must.to_vec())) || !is_done {
            self.object(format!(
                "{records:?} are answered {applied:?}, and not {must:?}"
            ));
        }
        true
    }

    /// The host tells what has become of its proposals. Of an earlier promotion that says nothing any more.
    fn report_outcomes(&mut self) {
        let (now, now_ms) = (self.between(), self.now_ms());
        let primary = self.lessor.primary_epoch();
        let leases = &self.polled.leases;
        // As late as it can be mixed up with one of a later promotion.
        let is_mixed_up = |it: &Proposal| {
            let number = it.batch.number;
            let has_same = |record: &Checkpoint| {
                let known = leases.get(&record.id.get());
                known.is_some_and(|known| known.last == number && known.open.contains(&number))
            };
            primary.is_some_and(|epoch| epoch > it.epoch) && it.batch.records.iter().any(has_same)
        };
        let mut reported = Vec::new();
        for proposal in &mut self.polled.proposals {
            let is_due = proposal.reported_ms <= now_ms && proposal.applied_ms.is_none()
                || proposal.outcome == ProposalOutcome::Unknown;
            if !proposal.is_reported && (is_due || is_mixed_up(proposal)) {
                proposal.is_reported = true;
                reported.push((proposal.batch.clone(), proposal.epoch, proposal.outcome));
            }
        }
        for (batch, epoch, outcome) in reported {
            if primary.is_some_and(|primary| primary > epoch) {
                probe::mark("alone: what became of a checkpoint is told after its promotion");
            }
            let told = match probe::is_planted("alone-failed-is-unknown") {
                true if outcome == ProposalOutcome::Failed => ProposalOutcome::Unknown,
                _ => outcome,
            };
            self.lessor.handle_checkpoints(&batch, told);
            if primary == Some(epoch) && outcome != ProposalOutcome::Unknown {
                self.note_outcome(&batch, outcome, now);
            }
        }
        let is_over = |it: &Proposal| it.is_reported && it.applied_ms.is_none();
        self.polled.proposals.retain(|it| !is_over(it));
    }

    fn note_outcome(&mut self, batch: &CheckpointBatch, outcome: ProposalOutcome, now: OwnTime) {
        for record in &batch.records {
            if let Some(known) = self.polled.leases.get_mut(&record.id.get()) {
                let was_open = known.open.remove(&batch.number);
                if was_open && known.last == batch.number && outcome == ProposalOutcome::Failed {
                    probe::mark("alone: a checkpoint is known to have failed");
                    known.failed = Some(now);
                }
            }
        }
    }

    /// A lease that nobody renews is to be checkpointed each interval, half an interval after it is known that
    /// this has failed.
    fn look_at_due_checkpoints(&mut self) {
        self.polled
            .leases
            .retain(|lease, _| self.held.contains_key(lease));
        let now = self.clock.own_time(Round::Down);
        let interval_ms = self.parameters.checkpoint_interval_ms;
        let mut wrong = None;
        for (lease, held) in self.held.iter().filter(|_| self.is_calm()) {
            let known = self.polled.leases.get(lease);
            let taken_ms = known.map_or(0, |known| known.taken.to_ms);
            let applied_ms = known.map_or(0, |known| known.applied_ms);
            let failed = known.and_then(|known| known.failed);
            let failed = failed.filter(|failed| applied_ms < failed.from_ms);
            let failed_ms = failed.map(|failed| failed.to_ms);
            // Nothing has come between that makes it less worthwhile.
            let is_alone = known.is_some_and(|known| !known.is_tangled);
            let is_still = |_: &u64| is_alone && taken_ms > held.since_ms;
            let due_ms = match failed_ms.filter(is_still) {
                Some(failed_ms) => failed_ms + interval_ms / 2 + LATE_MS,
                None => taken_ms.max(applied_ms).max(held.since_ms) + 2 * interval_ms + LOOK_MS,
            };
            let is_long = held.until.from_ms.saturating_sub(now.from_ms) > interval_ms;
            if is_long && now.from_ms > due_ms {
                wrong = Some(format!(
                    "lease {lease} is not to be checkpointed at {} ms, which was due at {due_ms}: {held:?}, {known:?}",
                    now.from_ms
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    /// Which checkpoints may still come in is counted.
    fn look_at_open_checkpoints(&mut self) {
        let open = self.lessor.stats().open_checkpoints;
        let known: Vec<_> = self
            .held
            .keys()
            .map(|lease| self.polled.is_open(*lease))
            .collect();
        let least = known
            .iter()
            .filter(|is_open| **is_open == Some(true))
            .count();
        let most = known
            .iter()
            .filter(|is_open| **is_open != Some(false))
            .count();
        if !(least..=most).contains(&open) {
            self.object(format!(
                "{open} checkpoints may still come in, and not {least} to {most}"
            ));
        }
    }

    /// A client renews. It needs a reset if a checkpoint stands or may still come in, and else none; after it,
    /// none any more.
    pub(super) fn renew_with_resets(&mut self, lease: i64) {
        let id = id_of(lease);
        let stands = |host: &Self| {
            let found = host.lessor.lookup(id);
            found.is_some_and(|lease| lease.checkpointed_remaining().is_some())
        };
        let mut needs = self
            .polled
            .is_open(lease)
            .map(|is_open| is_open || stands(self));
        if stands(self) {
            needs = Some(true);
        }
        let renewed = self.lessor.try_renew(id);
        let must = match renewed {
            Ok(Renewal::Renewed(_)) => needs != Some(true),
            Ok(Renewal::Reset(_)) => needs != Some(false),
            _ => false,
        };
        if !must {
            return self.object(format!(
                "a renewal of lease {lease} was answered {renewed:?}; a reset is needed: {needs:?}"
            ));
        }
        if let Ok(Renewal::Reset(reset)) = renewed {
            probe::mark("alone: a host resets a checkpoint");
            if !self.apply_checkpoints(vec![reset], &[true]) {
                return;
            }
            self.note_reset(lease);
            let again = self.lessor.try_renew(id);
            if !matches!(again, Ok(Renewal::Renewed(_))) {
                return self.object(format!(
                    "a renewal of lease {lease} after its reset was answered {again:?}"
                ));
            }
        }
        self.renewed(lease);
    }

    /// A lease has lost its checkpoint, and those that are under way come in too late.
    pub(super) fn note_reset(&mut self, lease: i64) {
        let incarnation = self.lessor.lookup(id_of(lease)).map(|it| it.incarnation());
        if let Some(incarnation) = incarnation {
            *self.polled.resets.entry((lease, incarnation)).or_default() += 1;
        }
        if let Some(known) = self.polled.leases.get_mut(&lease) {
            known.open.clear();
            known.is_tangled = false;
        }
    }

    /// Who waits for a reset, where the host has to bring it, is told so.
    pub(super) fn renew_waiting(&mut self, lease: i64) {
        let found = self.lessor.lookup(id_of(lease));
        let is_set = found.is_some_and(|it| it.checkpointed_remaining().is_some());
        if is_set {
            let renewed = self.lessor.renew(id_of(lease));
            if !matches!(renewed, Err(LeaseError::Checkpointer(_))) {
                self.object(format!(
                    "a renewal that waits for a reset was answered {renewed:?}"
                ));
            }
        }
    }
}
