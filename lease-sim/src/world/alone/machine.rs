use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use lease_core::{
    Answer, Busy, Checkpoint, CheckpointFence, Command, Decision, Epoch, ExpiryFence, Grant,
    Incarnation, Lease, LeaseId, LeaseItem, LeaseRow, LeaseWrite, LessorConfig, LessorCore,
    Promotion, Revocation, Revoked, Timestamp, Ttl, WriteBatch, probe,
};

use super::Host;
use super::clients::id_of;
use super::drawn::Drawn;
use super::tickets::Tickets;

/// A state machine by itself, of which several commands are decided before any of them is applied.
pub(super) struct Machine {
    core: LessorCore,
    // What was written of the commands that were applied.
    rows: BTreeMap<LeaseId, LeaseRow>,
    // All that were ever granted.
    granted: BTreeSet<Incarnation>,
    is_limited: bool,
    counted: Counted,
    drawn: Drawn,
    tickets: Tickets,
    // Leases that have had an item, and may be gone: until that is freed it counts as theirs.
    former: BTreeMap<LeaseItem, BTreeSet<LeaseId>>,
    // The last epoch that it was promoted to, or demoted from.
    settled: Epoch,
    // What decides over those who wait, and over the role.
    drawn_aside: Drawn,
}

/// What has been applied: grants, revokes, revokes that were too late, and the same of checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counted {
    granted: u64,
    revoked: u64,
    stale_revokes: u64,
    checkpoints: u64,
    stale_checkpoints: u64,
}

/// A command that is decided, and what it keeps others from.
struct Decided {
    command: Command,
    decision: Decision,
    // Whether the state that it was decided upon is no more.
    is_void: bool,
    rows: WriteBatch,
    leases: Vec<LeaseId>,
    // Items that no lease has, and that it attaches.
    items: Vec<LeaseItem>,
    begins_epoch: bool,
    // Whether it has an effect only because the epoch is what it is.
    is_fenced: bool,
}

/// The leases that a command touches, and the items of no lease that it attaches.
type Claims = (Vec<LeaseId>, Vec<LeaseItem>);

/// How many leases and items there are, and how many leases at a time, if there is a limit.
const LEASES: u64 = 5;
const MOST: usize = 3;
const ITEMS: u64 = 120;

/// How often it is looked at.
const LOOKED_AT_EVERY: u64 = 8;

impl Host {
    /// Some commands go through the state machine beside the lessor.
    pub(super) fn look_at_machine(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        probe::mark("alone: commands are decided before others are applied");
        let at = self.clock.latest();
        if let Some(wrong) = self.beside.machine.go(at) {
            self.object(wrong);
        }
    }
}

impl Machine {
    pub(super) fn new(hash_seed: u64) -> Self {
        let config = LessorConfig {
            hash_seed: Some(hash_seed),
            max_leases: Some(MOST).filter(|_| hash_seed.is_multiple_of(2)),
            ..LessorConfig::default()
        };
        Self {
            core: LessorCore::new(config),
            rows: BTreeMap::new(),
            granted: BTreeSet::new(),
            is_limited: hash_seed.is_multiple_of(2),
            counted: Counted::default(),
            drawn: Drawn(hash_seed),
            tickets: Tickets::default(),
            former: BTreeMap::new(),
            settled: Epoch::ZERO,
            drawn_aside: Drawn(!hash_seed),
        }
    }

    /// Decides some commands, and applies or abandons them in their order, the first ones before the last are
    /// decided. Returns what was wrong.
    fn go(&mut self, now: Timestamp) -> Option<String> {
        let mut open = VecDeque::new();
        let mut left = 2 + self.drawn.below(5);
        while left > 0 || !open.is_empty() {
            let wrong = if left > 0 && open.is_empty() && self.drawn_aside.below(4) == 0 {
                left -= 1;
                self.execute(now)
            } else if left > 0 && self.drawn.below(3) > 0 {
                left -= 1;
                self.decide(&mut open)
            } else if let Some(first) = open.pop_front() {
                if self.drawn.below(12) == 0 {
                    self.recover(now);
                    open.iter_mut().for_each(|one| one.is_void = true);
                    self.end(
                        now,
                        Decided {
                            is_void: true,
                            ..first
                        },
                    )
                } else {
                    self.end(now, first)
                }
            } else {
                None
            };
            let wrong = wrong.or_else(|| self.wait());
            if wrong.is_some() {
                return wrong;
            }
        }
        let wrong = self
            .change_role(now)
            .or_else(|| self.pass_the_last_epoch(now));
        self.core.check_invariants();
        let wrong = wrong.or_else(|| self.tickets.wrong_told(&mut self.core));
        let wrong = wrong.or_else(|| self.wrong_count());
        wrong.or_else(|| self.wrong_shown(now))
    }

    /// Some begin to wait for the end of a lease, and some give up.
    fn wait(&mut self) -> Option<String> {
        match self.drawn_aside.below(16) {
            0..4 => {
                let id = id_of(1 + self.drawn_aside.below(LEASES).cast_signed());
                self.tickets.wait(&mut self.core, id)
            }
            4 => {
                let which = self.drawn_aside.below(16);
                self.tickets.give_up(&mut self.core, which);
                None
            }
            // The answers are taken some at a time.
            5..9 => None,
            _ => self.tickets.wrong_told(&mut self.core),
        }
    }

    /// It is demoted now and then, also from what is over, and promoted to each epoch once.
    fn change_role(&mut self, now: Timestamp) -> Option<String> {
        let epoch = self.core.epoch();
        if epoch == Epoch::ZERO {
            return None;
        }
        let mut wrong = None;
        if self.drawn_aside.below(6) == 0 {
            let back = self.drawn_aside.below(2);
            let from = Epoch::new(epoch.get().saturating_sub(back));
            let ends = self
                .core
                .primary_epoch()
                .is_some_and(|primary| primary <= from);
            let demotion = self.core.demote(from);
            self.tickets.changed(&demotion);
            self.settled = self.settled.max(from);
            if matches!(demotion, Promotion::Changed(_)) != ends {
                wrong = Some(format!("the demotion from {from:?} is {demotion:?}"));
            }
        }
        let promotion = self.core.promote(now, epoch, Duration::ZERO);
        self.tickets.changed(&promotion);
        if matches!(promotion, Promotion::Changed(_)) != (epoch > self.settled) {
            wrong = Some(format!("the promotion to {epoch:?} is {promotion:?}"));
        }
        self.settled = self.settled.max(epoch);
        self.core.handle_timeout(now);
        wrong
    }

    /// Nobody is promoted beyond the last epoch; a demotion beyond it is one from whatever runs.
    fn pass_the_last_epoch(&mut self, now: Timestamp) -> Option<String> {
        if self.drawn_aside.below(16) > 0 {
            return None;
        }
        let beyond = Epoch::MAX.next();
        let promotion = self.core.promote(now, beyond, Duration::ZERO);
        let running = self.core.primary_epoch();
        let demotion = self.core.demote(beyond);
        self.tickets.changed(&demotion);
        self.settled = self.settled.max(running.unwrap_or_default());
        let mut other = LessorCore::new(LessorConfig::default());
        let last = other.promote(now, Epoch::MAX, Duration::ZERO);
        let is_changed = [promotion, demotion, last].map(|it| matches!(it, Promotion::Changed(_)));
        let must = [false, running.is_some(), true];
        (is_changed != must)
            .then(|| format!("at the last epoch roles change {is_changed:?}, and not {must:?}"))
    }

    fn decide(&mut self, open: &mut VecDeque<Decided>) -> Option<String> {
        let command = self.draw_command();
        let must_wait = self.is_in_the_way(open, &command);
        let claims = self.claims_of(&command);
        let mut rows = WriteBatch::default();
        match self.core.decide(command.clone(), &mut rows) {
            Ok(decision) if !must_wait => {
                let decided = Decided::of(&command, claims, decision);
                open.push_back(Decided { rows, ..decided });
                None
            }
            Err(Busy(back)) if must_wait && back == command && rows.is_empty() => None,
            Err(_) if self.may_be_in_the_way(open, &command) => None,
            Ok(decision) => {
                drop(self.core.abandon(decision));
                Some(format!(
                    "{command:?} is decided beside what it has to wait for"
                ))
            }
            Err(busy) => Some(format!("{busy:?} waits for nothing")),
        }
    }

    /// A command is decided and applied at once.
    fn execute(&mut self, now: Timestamp) -> Option<String> {
        let command = self.draw_command();
        let claims = self.claims_of(&command);
        if matches!(command, Command::Revoke(_)) {
            self.note_former(&command, &claims.0);
        }
        let mut rows = WriteBatch::default();
        let answer = self.core.execute(now, &command, &mut rows);
        let wrong = wrong_answer(&command, &answer);
        let (leases, _) = with_effect(claims, &answer);
        wrong.or_else(|| self.applied(&answer, &rows, &leases))
    }

    fn end(&mut self, now: Timestamp, first: Decided) -> Option<String> {
        let is_applied = self.drawn.below(3) > 0;
        if is_applied && !first.is_void {
            return self.apply(now, first);
        }
        let before = (self.core.rows(), self.core.stats());
        match is_applied {
            true => drop(self.core.apply(now, first.decision)),
            false => drop(self.core.abandon(first.decision)),
        }
        let is_same = (self.core.rows(), self.core.stats()) == before;
        (!is_same).then(|| format!("{before:?} was changed by what is abandoned or void"))
    }

    /// What was written is read again, and all is void that was decided before.
    fn recover(&mut self, now: Timestamp) {
        probe::mark("alone: a machine recovers while commands are decided");
        let mut recovery = self.core.begin_recovery();
        for row in self.rows.values() {
            recovery.insert(row).expect("it was written");
        }
        let epoch = self.core.epoch();
        drop(self.core.finish_recovery(recovery, epoch));
        self.tickets.end_all();
        // Those that count by themselves would count the same again.
        let next = Command::BeginEpoch(self.core.next_epoch());
        let mut rows = WriteBatch::default();
        self.core.execute(now, &next, &mut rows);
    }

    fn apply(&mut self, now: Timestamp, one: Decided) -> Option<String> {
        let answer = one.decision.answer().clone();
        self.note_former(&one.command, &one.leases);
        let applied = self.core.apply(now, one.decision);
        if applied != answer {
            return Some(format!(
                "what was decided as {answer:?} is applied as {applied:?}"
            ));
        }
        let wrong = wrong_answer(&one.command, &applied);
        wrong.or_else(|| self.applied(&applied, &one.rows, &one.leases))
    }

    /// A command has become part of the state, with an effect on these leases.
    fn applied(
        &mut self,
        answer: &Answer,
        rows: &WriteBatch,
        leases: &[LeaseId],
    ) -> Option<String> {
        for write in rows.leases() {
            match write {
                LeaseWrite::Put(row) => drop(self.rows.insert(row.id, *row)),
                LeaseWrite::Delete(id) => drop(self.rows.remove(id)),
            }
        }
        self.counted.add(answer);
        if matches!(answer, Answer::Revoked(_)) {
            leases.iter().for_each(|id| self.tickets.revoked(*id));
        }
        match answer {
            Answer::Granted(Ok(incarnation)) if !self.granted.insert(*incarnation) => {
                Some(format!("a second grant is {incarnation:?}"))
            }
            Answer::Granted(Ok(_)) if self.is_limited && self.rows.len() > MOST => Some(format!(
                "there are more than {MOST} leases: {:?}",
                self.rows
            )),
            _ => None,
        }
    }

    /// What the machine counts is what has been applied, and what is there.
    fn wrong_count(&self) -> Option<String> {
        let stats = self.core.stats();
        let counted = Counted {
            granted: stats.granted,
            revoked: stats.revoked,
            stale_revokes: stats.stale_revokes,
            checkpoints: stats.checkpoints_applied,
            stale_checkpoints: stats.stale_checkpoints,
        };
        let items = self.rows.keys().map(|id| self.core.items(*id).len());
        let is_there = (stats.leases, stats.items) == (self.rows.len(), items.sum())
            && (self.core.len(), self.core.is_empty()) == (self.rows.len(), self.rows.is_empty());
        let is_right = counted == self.counted && is_there && stats.backlog == 0;
        (!is_right).then(|| format!("{:?} is counted as {stats:?}", self.counted))
    }

    /// What it shows is what was written, however it is asked.
    fn wrong_shown(&self, now: Timestamp) -> Option<String> {
        let shown = self.core.rows();
        let written: Vec<_> = self.rows.values().copied().collect();
        let mut listed = self.core.leases(now);
        listed.sort_by_key(Lease::id);
        let mut paged = Vec::new();
        loop {
            let page = self.core.page(now, paged.last().map(Lease::id), 2);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        paged.sort_by_key(Lease::id);
        let ids = written.iter().map(|row| row.id);
        let looked_up: Vec<_> = ids.filter_map(|id| self.core.lookup(now, id)).collect();
        let is_shown = looked_up.len() == written.len()
            && looked_up.iter().zip(&written).all(|(lease, row)| {
                lease.ttl() == row.ttl && lease.keys() == self.core.items(row.id)
            });
        let same = |it: &[Lease]| it.iter().map(Lease::id).eq(looked_up.iter().map(Lease::id));
        if shown != written || !is_shown || !same(&listed) || !same(&paged) {
            return Some(format!(
                "of {written:?} is shown {shown:?}, {looked_up:?}, {listed:?} and {paged:?}"
            ));
        }
        None
    }

    /// Whether what is decided keeps a command from being decided.
    fn is_in_the_way(&self, open: &VecDeque<Decided>, command: &Command) -> bool {
        let (leases, items) = self.claims_of(command);
        let is_epoch = matches!(command, Command::BeginEpoch(_));
        open.iter().filter(|one| !one.is_void).any(|one| {
            one.begins_epoch
                || is_epoch && one.is_fenced
                || leases.iter().any(|id| one.leases.contains(id))
                || items.iter().any(|item| one.items.contains(item))
        })
    }

    /// Whether a command attaches an item of a lease that is gone, whose id is decided over, or grants a lease while
    /// others may take the last place.
    fn may_be_in_the_way(&self, open: &VecDeque<Decided>, command: &Command) -> bool {
        let items = match command {
            Command::Attach { items, .. } => items,
            Command::Grant(_) => return self.is_limited && !open.is_empty(),
            _ => return false,
        };
        let of_items = items.iter().filter_map(|item| self.former.get(item));
        let mut former = of_items.flatten();
        former.any(|id| open.iter().any(|one| one.leases.contains(id)))
    }

    /// Leases may be on their way out, and their items with them.
    fn note_former(&mut self, command: &Command, leases: &[LeaseId]) {
        match command {
            Command::Revoke(_) => {
                for id in leases {
                    for item in self.core.items(*id) {
                        self.former.entry(item).or_default().insert(*id);
                    }
                }
            }
            // Whose they were is freed before.
            Command::Attach { items, .. } if !leases.is_empty() => {
                items.iter().for_each(|item| drop(self.former.remove(item)));
            }
            _ => {}
        }
    }

    fn claims_of(&self, command: &Command) -> Claims {
        match command {
            Command::Grant(grant) => (vec![grant.id], Vec::new()),
            Command::Revoke(all) => (all.iter().map(|one| one.id).collect(), Vec::new()),
            Command::Checkpoint(all) => (all.iter().map(|one| one.id).collect(), Vec::new()),
            Command::Attach { id, items } => {
                let owner = |item: &LeaseItem| self.core.get_lease(item.as_bytes());
                let owners = items.iter().filter_map(owner).chain([*id]).collect();
                let is_free = |item: &&LeaseItem| owner(item).is_none();
                (owners, items.iter().filter(is_free).cloned().collect())
            }
            Command::Detach { id, .. } => (vec![*id], Vec::new()),
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// Of an earlier epoch, or of another grant.
    fn stale_fence(&mut self, incarnation: Incarnation, epoch: Epoch) -> ExpiryFence {
        if epoch > Epoch::ZERO && self.drawn.below(2) == 0 {
            let epoch = Epoch::ZERO;
            return ExpiryFence { incarnation, epoch };
        }
        let incarnation = Incarnation::from_wire(incarnation.get() ^ 1);
        ExpiryFence { incarnation, epoch }
    }

    fn draw_command(&mut self) -> Command {
        let id = id_of(1 + self.drawn.below(LEASES).cast_signed());
        let other = id_of(1 + self.drawn.below(LEASES).cast_signed());
        let row = self.rows.get(&id).copied();
        let incarnation = self
            .core
            .lookup(Timestamp::ZERO, id)
            .map(|it| it.incarnation());
        let epoch = self.core.epoch();
        let most = [1, 2, ITEMS][self.drawn.below(3) as usize];
        let items = (0..1 + self.drawn.below(most)).map(|_| item(self.drawn.below(ITEMS)));
        let items: Vec<_> = items.collect();
        match (self.drawn.below(10), incarnation) {
            (0, Some(incarnation)) => {
                let fence = match self.drawn.below(3) {
                    0 => self.stale_fence(incarnation, epoch),
                    _ => ExpiryFence { incarnation, epoch },
                };
                let fence = Some(fence);
                Command::Revoke(vec![Revocation { id, fence }])
            }
            (1, _) => Command::Revoke([id, other].map(Revocation::by_user).into()),
            (2 | 3, Some(_)) => Command::Attach { id, items },
            (4, _) => Command::Detach { id, items },
            (5, _) => Command::Checkpoint(vec![Checkpoint::new(id, Some(Ttl::MIN))]),
            (6, Some(incarnation)) => {
                let generation = row.map_or(0, |row| row.checkpoint_generation);
                let fence = CheckpointFence {
                    incarnation,
                    epoch,
                    generation,
                };
                let lasts = [None, Some(Ttl::MIN)];
                let first = self.drawn.below(2) as usize;
                let checkpoint = |at: usize| Checkpoint {
                    id,
                    remaining: lasts[at % 2],
                    fence: Some(fence),
                };
                let count = 1 + self.drawn_aside.below(4) as usize / 3;
                Command::Checkpoint((first..first + count).map(checkpoint).collect())
            }
            (7, _) => Command::BeginEpoch(self.core.next_epoch()),
            _ => Grant::new(id, Ttl::new(1_000).expect("in range")).into(),
        }
    }
}

/// A reset makes void what comes behind it of the same lease, with the same fence.
fn wrong_answer(command: &Command, answer: &Answer) -> Option<String> {
    let (Command::Checkpoint(all), Answer::Checkpointed(effects)) = (command, answer) else {
        return None;
    };
    let ([first, second], [true, true]) = (&all[..], &effects[..]) else {
        return None;
    };
    let is_reset = first.remaining.is_none() && first.fence == second.fence;
    is_reset.then(|| format!("both have an effect of {command:?}"))
}

/// They are of different lengths.
fn item(number: u64) -> LeaseItem {
    let len = 1 + 9 * (number as usize % 2) + 80 * usize::from(number == 0);
    LeaseItem::new(vec![number as u8; len])
}

impl Counted {
    fn add(&mut self, applied: &Answer) {
        match applied {
            Answer::Granted(Ok(_)) => self.granted += 1,
            Answer::Revoked(all) => {
                let of = |what| all.iter().filter(|one| **one == Ok(what)).count() as u64;
                self.revoked += of(Revoked::Done);
                self.stale_revokes += of(Revoked::Stale);
            }
            Answer::Checkpointed(all) => {
                let effects = all.iter().filter(|has_effect| **has_effect).count() as u64;
                self.checkpoints += effects;
                self.stale_checkpoints += all.len() as u64 - effects;
            }
            _ => {}
        }
    }
}

/// What of a command's leases and items it has an effect on.
fn with_effect(claims: Claims, answer: &Answer) -> Claims {
    let (mut leases, mut items) = claims;
    let has_effect: Vec<_> = match answer {
        Answer::Revoked(all) => all.iter().map(|one| *one == Ok(Revoked::Done)).collect(),
        Answer::Checkpointed(all) => all.clone(),
        answer => vec![!answer.is_refusal(); leases.len()],
    };
    let mut effects = has_effect.iter();
    leases.retain(|_| effects.next() == Some(&true));
    if answer.is_refusal() {
        items.clear();
    }
    (leases, items)
}

impl Decided {
    fn of(command: &Command, claims: Claims, decision: Decision) -> Self {
        let answer = decision.answer();
        let (leases, items) = with_effect(claims, answer);
        let has_fence = match command {
            Command::Revoke(all) => all.iter().any(|one| one.fence.is_some()),
            Command::Checkpoint(all) => all.iter().any(|one| one.fence.is_some()),
            _ => false,
        };
        Self {
            begins_epoch: matches!(command, Command::BeginEpoch(_)) && !answer.is_refusal(),
            is_fenced: has_fence && !leases.is_empty(),
            leases,
            items,
            is_void: false,
            command: command.clone(),
            decision,
            rows: WriteBatch::default(),
        }
    }
}
