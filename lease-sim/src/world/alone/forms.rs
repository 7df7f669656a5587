use std::fmt::Debug;

use lease_core::{
    Checkpoint, Command, Grant, Lease, LeaseId, LeaseIdError, LeaseItem, Lessor, Revocation, Ttl,
    probe,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Host;

/// What of a lease is written, now and then, as a host writes it that keeps or sends it.
impl Host {
    pub(super) fn look_at_forms(&mut self) {
        let leases = self.lessor.leases();
        let chosen = self.steps as usize % leases.len().max(1);
        let Some(lease) = leases.get(chosen) else {
            return;
        };
        probe::mark("alone: what a lease is comes back from its text");
        let wrong = wrong_id(lease.id()).or_else(|| self.wrong_form(lease));
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    fn wrong_form(&self, lease: &Lease) -> Option<String> {
        let (id, ttl) = (lease.id(), lease.ttl());
        let known = serde_json::to_value(lease).ok()?;
        let is_told = known["id"] == id.to_string()
            && known["ttl"] == ttl.as_secs()
            && known["keys"].as_array().map(Vec::len) == Some(lease.keys().len());
        if !is_told {
            return Some(format!("{lease:?} is written {known}"));
        }
        // Some are no text, and some have what escapes others.
        let byte = self.steps as u8;
        let item = LeaseItem::from(&[b'\\', b'x', byte, b'a', byte ^ 0xff, b'\\'][..]);
        let revocation = Revocation::by_user(id);
        let checkpoint = Checkpoint::new(id, Some(Ttl::MIN));
        let commands = [
            Command::from(Grant::new(id, ttl)),
            Command::Checkpoint(vec![checkpoint]),
            Command::Revoke(vec![revocation]),
        ];
        comes_back(lease)
            .or_else(|| comes_back(&item))
            .or_else(|| comes_back(&lease.incarnation()))
            .or_else(|| comes_back(&self.lessor.epoch()))
            .or_else(|| comes_back(&self.lessor.stats()))
            .or_else(|| commands.iter().find_map(comes_back))
    }
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Option<String> {
    let written = match serde_json::to_string(value) {
        Ok(written) => written,
        Err(error) => return Some(format!("{value:?} cannot be written: {error}")),
    };
    let written = match probe::is_planted("alone-text-not-escaped") {
        true => written.replace(r"\\", r"\"),
        false => written,
    };
    match serde_json::from_str::<T>(&written) {
        Ok(read) if read == *value => None,
        read => Some(format!("{value:?} is written {written} and read {read:?}")),
    }
}

/// An id is read from each of its texts, and from nothing else.
fn wrong_id(id: LeaseId) -> Option<String> {
    let number = id.get();
    let digits = format!("{number:016x}");
    let mut texts = vec![
        digits.clone(),
        digits.to_uppercase(),
        digits.trim_start_matches('0').to_owned(),
    ];
    if number < 0 {
        texts.push(format!("-{:x}", number.unsigned_abs()));
    }
    let unread = texts.iter().find(|text| text.parse() != Ok(id));
    let refused = [
        (String::new(), LeaseIdError::Empty),
        ("-".to_owned(), LeaseIdError::Empty),
        (format!("{digits}g"), LeaseIdError::NotHexadecimal),
        (format!("1{digits}"), LeaseIdError::OutOfRange),
        ("-8000000000000001".to_owned(), LeaseIdError::OutOfRange),
        ("0".to_owned(), LeaseIdError::Zero),
    ];
    let taken = refused
        .iter()
        .find(|(text, error)| text.parse::<LeaseId>() != Err(*error));
    match (id.to_string() == digits, unread, taken) {
        (true, None, None) => None,
        (false, ..) => Some(format!("lease {number} is written {id}")),
        (_, Some(text), _) => Some(format!("lease {number} is not read from {text}")),
        (_, _, Some((text, _))) => {
            Some(format!("{text:?} is read as {:?}", text.parse::<LeaseId>()))
        }
    }
}
