//! What a lessor is to those who use it one after the other.

use super::op::{Op, What};
use super::world::Setting;
use crate::{Incarnation, LeaseError, Renewal, Revoked};

/// The leases 1 to 3 and the items a to c, whose leases are numbers too, or 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Model {
    leases: [Option<Known>; IDS],
    owners: [i64; ITEMS],
    is_primary: bool,
    // Whether the items survive a recovery.
    keeps_items: bool,
    max_leases: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Known {
    ttl: u64,
    incarnation: Incarnation,
    is_expiring: bool,
    // Seconds.
    lives_until: u64,
}

pub(super) const IDS: usize = 3;
pub(super) const ITEMS: usize = 4;

impl Model {
    pub(super) fn new(setting: &Setting) -> Self {
        Self {
            is_primary: setting.is_primary,
            keeps_items: setting.stores_items,
            max_leases: setting.max_leases,
            ..Self::default()
        }
    }

    /// What comes of it if this is done now; nothing if the answer could not be this one, and
    /// several if nobody knows.
    pub(super) fn after(&self, op: &Op) -> Vec<Self> {
        let mut next = self.clone();
        if next.does(op) {
            Vec::from([next])
        } else {
            Vec::new()
        }
    }

    fn does(&mut self, op: &Op) -> bool {
        match &op.what {
            What::Grant(id, ttl, answer) => match answer {
                Ok(incarnation) => {
                    let was_free = self.lease(*id).is_none() && !self.is_full();
                    *self.lease_mut(*id) = Some(Known {
                        ttl: *ttl as u64,
                        incarnation: *incarnation,
                        is_expiring: false,
                        lives_until: op.began_at + *ttl as u64,
                    });
                    was_free
                }
                Err(LeaseError::LeaseExists) => self.lease(*id).is_some(),
                Err(LeaseError::TooManyLeases) => self.is_full(),
                Err(error) => is_harmless(error),
            },
            What::Revoke(id, answer) => match answer {
                Ok(()) => self.end(*id),
                Err(error) => self.is_refused(*id, error),
            },
            What::RevokeExpired(id, incarnation, answer) => match answer {
                Ok(Revoked::Done) => {
                    let known = self.lease(*id);
                    let is_it =
                        |known: Known| known.is_expiring && known.incarnation == *incarnation;
                    known.is_some_and(is_it) && self.end(*id)
                }
                Ok(Revoked::Stale) => self.lease(*id).is_some(),
                Err(error) => self.is_refused(*id, error),
            },
            What::Attach(id, items, answer) => match answer {
                Ok(()) => {
                    self.own(items, *id, None);
                    self.lease(*id).is_some()
                }
                Err(error) => self.is_refused(*id, error),
            },
            What::Detach(id, items, answer) => match answer {
                Ok(()) => {
                    self.own(items, 0, Some(*id));
                    self.lease(*id).is_some()
                }
                Err(error) => self.is_refused(*id, error),
            },
            What::Renew(id, answer) => self.renews(op, *id, answer),
            What::Lookup(id, seen) => {
                let known = self.lease(*id).map(|known| (known.ttl, self.items(*id)));
                known == *seen
            }
            What::Owner(item, seen) => self.owners[*item] == *seen,
            What::Expire(id, incarnation) => {
                // Told late, it may be gone.
                let known = self.lease_mut(*id).as_mut();
                let Some(known) = known.filter(|known| known.incarnation == *incarnation) else {
                    return true;
                };
                known.is_expiring = true;
                known.lives_until <= op.ended_at
            }
            What::Promote(answer) => {
                if answer.is_ok() {
                    self.changes_role(true);
                }
                true
            }
            What::Demote => {
                self.changes_role(false);
                true
            }
            What::Recover(answer) => {
                if answer.is_ok() {
                    self.changes_role(false);
                    if !self.keeps_items {
                        self.owners = Default::default();
                    }
                }
                answer.as_ref().map_or_else(is_harmless, |()| true)
            }
            What::Replace(answer) => {
                if answer.is_ok() {
                    *self = Self {
                        keeps_items: self.keeps_items,
                        max_leases: self.max_leases,
                        ..Self::default()
                    };
                }
                answer.as_ref().map_or_else(is_harmless, |()| true)
            }
        }
    }

    fn renews(&mut self, op: &Op, id: i64, answer: &Result<Renewal, LeaseError>) -> bool {
        let is_primary = self.is_primary;
        match answer {
            Ok(Renewal::Renewed(ttl)) => {
                let Some(known) = self.lease_mut(id) else {
                    return false;
                };
                let lives_until = op.began_at + known.ttl;
                known.lives_until = known.lives_until.max(lives_until);
                is_primary && !known.is_expiring && known.ttl == ttl.as_secs()
            }
            // Its time is up, whether it has been delivered or not.
            Ok(Renewal::Expiring) | Err(LeaseError::DeadlineExceeded) => {
                is_primary && self.lease(id).is_some()
            }
            Ok(Renewal::Reset(_)) => is_primary && self.lease(id).is_some(),
            Err(LeaseError::NotPrimary) => !is_primary,
            Err(LeaseError::LeaseNotFound) => is_primary && self.lease(id).is_none(),
            Err(error) => is_harmless(error),
        }
    }

    fn is_refused(&self, id: i64, error: &LeaseError) -> bool {
        match error {
            LeaseError::LeaseNotFound => self.lease(id).is_none(),
            error => is_harmless(error),
        }
    }

    fn end(&mut self, id: i64) -> bool {
        let was_there = self.lease_mut(id).take().is_some();
        self.own(&[0, 1, 2], 0, Some(id));
        was_there
    }

    // Gives the items to a lease, from another one or from any.
    fn own(&mut self, items: &[usize], id: i64, from: Option<i64>) {
        for item in items {
            let owner = &mut self.owners[*item];
            if from.is_none_or(|from| *owner == from) {
                *owner = id;
            }
        }
    }

    fn changes_role(&mut self, is_primary: bool) {
        self.is_primary = is_primary;
        for known in self.leases.iter_mut().flatten() {
            known.is_expiring = false;
            known.lives_until = 0;
        }
    }

    fn is_full(&self) -> bool {
        let count = self.leases.iter().flatten().count();
        self.max_leases.is_some_and(|most| count >= most)
    }

    fn lease(&self, id: i64) -> Option<Known> {
        self.leases[id as usize - 1]
    }

    fn lease_mut(&mut self, id: i64) -> &mut Option<Known> {
        &mut self.leases[id as usize - 1]
    }

    fn items(&self, id: i64) -> Vec<usize> {
        (0..ITEMS).filter(|item| self.owners[*item] == id).collect()
    }
}

// A command that ends so has had no effect.
fn is_harmless(error: &LeaseError) -> bool {
    !matches!(
        error,
        LeaseError::LeaseNotFound | LeaseError::LeaseExists | LeaseError::NotPrimary
    )
}
