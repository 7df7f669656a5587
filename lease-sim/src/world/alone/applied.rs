use lease_core::{
    Answer, Command, Epoch, Grant, LeaseError, LeaseItem, Lessor, Revocation, Ttl, probe,
};

use super::Host;
use super::clients::id_of;

/// Commands that a host brings as if they came from a log.
impl Host {
    /// A command that is refused changes nothing, and what the host writes with it is written all the same.
    pub(super) fn apply_refused(&mut self, lease: i64) {
        probe::mark("alone: a command of a host's is refused and its writes are not");
        let (id, is_there) = (id_of(lease), self.held.contains_key(&lease));
        let items = vec![LeaseItem::new([0])];
        let not_found = || Err(LeaseError::LeaseNotFound);
        let epoch = self.lessor.epoch();
        let found = self.lessor.lookup(id);
        let (command, must) = match (self.steps / 6 % 4, is_there) {
            (0, true) => {
                // It was not supplied, and is above all that may be.
                let incarnation = found.map(|lease| lease.incarnation());
                let grant = Grant {
                    incarnation,
                    ..Grant::new(id_of(lease.wrapping_add(1 << 41)), Ttl::MIN)
                };
                let refused = Answer::Granted(Err(LeaseError::IncarnationOutOfRange));
                (grant.into(), refused)
            }
            (0 | 1, false) => (Command::Attach { id, items }, Answer::Attached(not_found())),
            (1, true) => {
                let exists = Answer::Granted(Err(LeaseError::LeaseExists));
                (Grant::new(id, Ttl::MIN).into(), exists)
            }
            (2, false) => {
                let revoke = Command::Revoke(vec![Revocation::by_user(id); 2]);
                let refused = not_found().map(|()| lease_core::Revoked::Done);
                (revoke, Answer::Revoked(vec![refused.clone(), refused]))
            }
            (2, true) => {
                let refused = Answer::Epoch(Err(LeaseError::EpochOutOfRange));
                (Command::BeginEpoch(Epoch::MAX.next()), refused)
            }
            _ => (Command::BeginEpoch(epoch), Answer::Epoch(Ok(epoch))),
        };
        let writes = match probe::is_planted("alone-writes-nothing-if-refused") {
            true => lease_core::WriteBatch::default(),
            false => self.number(),
        };
        let applied = self.lessor.apply(&command, writes);
        self.wrote(&applied.as_ref().map(|_| ()).map_err(LeaseError::clone));
        if self.expect("a command of the host's", &applied, None) && applied != Ok(must.clone()) {
            self.object(format!(
                "{command:?} is answered {applied:?}, and not {must:?}"
            ));
        }
    }
}
