use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use lease_core::{
    Answer, BackendLessor, Checkpoint, Command as Order, Driver, Epoch, Lease, LeaseError, LeaseId,
    LeaseItem, Lessor, ProposalOutcome, Renewal, WriteBatch,
};

use super::{World, text};
use crate::trace::{Checkpoints, Command, Row, hex};

impl World<'_> {
    /// Does one command. Returns its answer and what else happened.
    pub(super) fn run(&mut self, command: &Command) -> Result<String> {
        let answer = self.answer(command)?;
        self.settle()?;
        let events = self.host.take_events();
        Ok([vec![answer], events].concat().join(" | "))
    }

    pub(super) fn is_deferred(&self) -> bool {
        self.settings.checkpoints == Checkpoints::Deferred
    }

    fn answer(&mut self, command: &Command) -> Result<String> {
        let with_id = |id: i64, work: &mut dyn FnMut(LeaseId) -> String| match lease_id(id) {
            Ok(id) => work(id),
            Err(error) => text::error(&error),
        };
        let done = "ok".to_owned();
        Ok(match command {
            Command::Grant { id, ttl } => self.grant(*id, *ttl),
            Command::Many { id, count, ttl } => {
                let mut answers = BTreeMap::new();
                for number in 0..i64::from(*count) {
                    *answers.entry(self.grant(id + number, *ttl)).or_insert(0) += 1;
                }
                let mut lines: Vec<_> = answers.iter().map(|(a, n)| format!("{n}: {a}")).collect();
                lines.sort_unstable();
                lines.join("; ")
            }
            Command::Revoke { id } => {
                with_id(*id, &mut |id| text::answer(self.lessor().revoke(id)))
            }
            Command::Renew { id } => with_id(*id, &mut |id| self.renew(id)),
            Command::Attach { id, keys } => with_id(*id, &mut |id| {
                text::answer(self.lessor().attach(id, &items(keys)))
            }),
            Command::Detach { id, keys } => with_id(*id, &mut |id| {
                text::answer(self.lessor().detach(id, &items(keys)))
            }),
            Command::GetLease { key } => {
                let lease = self.lessor().get_lease(key);
                lease.map_or("none".to_owned(), |id| id.get().to_string())
            }
            Command::Lookup { id } => self.lookup(*id).unwrap_or("none".to_owned()),
            Command::List => {
                let leases: Vec<_> = self.lessor().leases().iter().map(text::lease).collect();
                leases.join("; ")
            }
            Command::Keep { id } => match self.lookup(*id) {
                None => "none".to_owned(),
                Some(lease) => {
                    self.kept.push(lease);
                    done
                }
            },
            Command::Kept => self.kept.join("; "),
            Command::Checkpoint { id, secs } => with_id(*id, &mut |id| {
                text::answer(self.lessor().checkpoint(id, *secs))
            }),
            Command::Apply { number } => self.apply_pending(*number),
            Command::Drop { number } => self.drop_pending(*number),
            Command::Fails(fails) => {
                self.host.set_fails(*fails);
                done
            }
            Command::Promote { extend_ms } => {
                text::answer(self.lessor().promote(Duration::from_millis(*extend_ms)))
            }
            Command::PromoteLate => {
                let late = self.epoch_before();
                changed(self.lessor().promote_to(late, Duration::ZERO))
            }
            Command::Demote => {
                self.lessor().demote();
                done
            }
            Command::DemoteLate => changed(self.lessor().demote_from(self.epoch_before())),
            Command::Advance { micros } => {
                self.advance(Duration::from_micros(*micros))?;
                done
            }
            Command::Hold(holds) => {
                self.is_held = *holds;
                done
            }
            Command::Take => {
                self.take();
                done
            }
            Command::RevokeTaken { number } => self.revoke_taken(*number),
            Command::FailTaken { number } => self.fail_taken(*number),
            Command::Restart { min_ttl, persist } | Command::Crash { min_ttl, persist } => {
                self.settings.min_ttl = *min_ttl;
                self.settings.persist = *persist;
                self.restart()?;
                done
            }
            Command::Recover { has_deleter } => {
                let deleter = has_deleter.then(|| self.host.next_deleter());
                let backend = self.store.again()?;
                text::answer(self.lessor().recover(backend, deleter))
            }
            Command::Stop => {
                self.lessor().stop();
                done
            }
            Command::Rows => {
                let rows = self.store.rows()?;
                let line =
                    |(key, value): &([u8; 8], Vec<u8>)| format!("{}:{}", hex(key), hex(value));
                rows.iter().map(line).collect::<Vec<_>>().join("; ")
            }
            Command::Load { rows } => self.load(rows)?,
            Command::Counters => {
                let (now, before) = (self.lessor().stats(), self.before);
                let granted = now.granted + before.granted;
                let revoked = now.revoked + before.revoked;
                let renewed = now.renewed + before.renewed;
                format!("granted={granted} revoked={revoked} renewed={renewed} ttls={granted}")
            }
        })
    }

    /// What another lessor has of these rows.
    fn load(&self, rows: &[Row]) -> Result<String> {
        let other = BackendLessor::builder(self.store.other(rows)?)
            .clock(self.clock.clone())
            .driver(Driver::Manual)
            .build()?;
        other.promote(Duration::ZERO)?;
        other.check_invariants();
        let mut leases = other.leases();
        leases.sort_unstable_by_key(Lease::id);
        let line = |lease: &Lease| {
            let (id, ttl) = (lease.id().get(), lease.ttl().get());
            format!("{id} ttl={ttl} left={}", text::left(lease))
        };
        Ok(leases.iter().map(line).collect::<Vec<_>>().join("; "))
    }

    fn epoch_before(&self) -> Epoch {
        Epoch::new(self.lessor().epoch().get().saturating_sub(1))
    }

    fn grant(&self, id: i64, ttl: i64) -> String {
        let granted = lease_id(id).and_then(|id| self.lessor().grant(id, ttl));
        match granted {
            Ok(lease) => format!("ok ttl={} left={}", lease.ttl().get(), text::left(&lease)),
            Err(error) => text::error(&error),
        }
    }

    fn lookup(&self, id: i64) -> Option<String> {
        let lease = self.lessor().lookup(LeaseId::new(id)?)?;
        Some(text::lease(&lease))
    }

    /// As a host does it that does not block.
    fn renew(&mut self, id: LeaseId) -> String {
        let renewed = match self.lessor().try_renew(id) {
            Ok(Renewal::Reset(reset)) => self.renew_after(id, reset),
            other => other,
        };
        match renewed {
            Ok(Renewal::Renewed(ttl)) => format!("ok ttl={}", ttl.get()),
            Ok(_) => self.wait(self.lessor().wait(id)),
            Err(error) => text::error(&error),
        }
    }

    fn renew_after(&self, id: LeaseId, reset: Checkpoint) -> Result<Renewal, LeaseError> {
        if !self.is_deferred() {
            return self.lessor().renew(id).map(Renewal::Renewed);
        }
        self.host.note_checkpoints(&[reset]);
        self.lessor().apply(&reset.into(), WriteBatch::default())?;
        self.lessor().try_renew(id)
    }

    fn apply_pending(&self, number: usize) -> String {
        if self.host.pending() == 0 {
            return "none".to_owned();
        }
        let batch = self.host.take_pending(number);
        let order = Order::Checkpoint(batch.records.clone());
        let applied = match self.lessor().apply(&order, WriteBatch::default()) {
            Ok(Answer::Checkpointed(applied)) => applied,
            Ok(other) => unreachable!("{other:?}"),
            Err(error) => {
                self.host.put_back(number, batch);
                return text::error(&error);
            }
        };
        let answers = batch.records.iter().zip(applied).map(|(record, applied)| {
            let answer = if applied { "applied" } else { "void" };
            format!("{}={answer}", record.id.get())
        });
        let mut answers: Vec<_> = answers.collect();
        answers.sort_unstable();
        self.lessor()
            .handle_checkpoints(&batch, ProposalOutcome::Applied);
        answers.join(",")
    }

    fn drop_pending(&self, number: usize) -> String {
        if self.host.pending() == 0 {
            return "none".to_owned();
        }
        let batch = self.host.take_pending(number);
        self.lessor()
            .handle_checkpoints(&batch, ProposalOutcome::Failed);
        "ok".to_owned()
    }
}

fn changed(changed: bool) -> String {
    if changed { "ok" } else { "ignored" }.to_owned()
}

fn items(keys: &[Vec<u8>]) -> Vec<LeaseItem> {
    keys.iter().map(|key| LeaseItem::new(key.clone())).collect()
}

/// What etcd answers for the id that is none.
fn lease_id(id: i64) -> Result<LeaseId, LeaseError> {
    LeaseId::new(id).ok_or(LeaseError::LeaseNotFound)
}
