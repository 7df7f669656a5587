use std::borrow::Borrow;
use std::fmt::Debug;
use std::time::Duration;

use lease_core::{
    Checkpoint, Command, Grant, Incarnation, Lease, LeaseId, LeaseIdError, LeaseItem, Lessor,
    RequestedTtl, Revocation, Timestamp, Ttl, probe,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Host;
use super::messages::wrong_message;

/// How often it is looked at.
const LOOKED_AT_EVERY: u64 = 4;

/// What of a lease is written, now and then, as a host writes it that keeps or sends it.
impl Host {
    pub(super) fn look_at_forms(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        let leases = self.lessor.leases();
        let chosen = (self.steps / LOOKED_AT_EVERY) as usize % leases.len().max(1);
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
        // Whoever writes one by hand need not sort its items.
        let mut turned = known;
        if let Some(keys) = turned["keys"].as_array_mut() {
            keys.reverse();
        }
        let read: Result<Lease, _> = serde_json::from_value(turned);
        if read.ok().as_ref() != Some(lease) {
            return Some(format!("{lease:?} is not read with its items turned round"));
        }
        // Some are no text, some have what escapes others, and some begin a character and do not end it.
        let byte = self.steps as u8;
        let items = [
            LeaseItem::from(&[b'\\', b'x', byte, b'a', byte ^ 0xff, b'\\'][..]),
            LeaseItem::from(&[0xe2, 0x82, byte, 0xf0, 0x9f, 0x98][..]),
        ];
        let revocation = Revocation::by_user(id);
        let checkpoint = Checkpoint::new(id, Some(Ttl::MIN));
        let commands = [
            Command::from(Grant::new(id, ttl)),
            Command::Checkpoint(vec![checkpoint]),
            Command::Revoke(vec![revocation]),
        ];
        let generation = [0, 1, u32::MAX][self.steps as usize % 3];
        wrong_number(lease)
            .or_else(|| wrong_message(lease, self.lessor.epoch(), generation))
            .or_else(|| comes_back(lease))
            .or_else(|| items.iter().find_map(comes_back))
            .or_else(|| comes_back(&lease.incarnation()))
            .or_else(|| comes_back(&self.lessor.epoch()))
            .or_else(|| comes_back(&self.lessor.stats()))
            .or_else(|| comes_back(&self.clock.latest()))
            .or_else(|| comes_back(&lease.time_to_live()))
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

/// What a lease counts is the same in each of the forms that it has.
fn wrong_number(lease: &Lease) -> Option<String> {
    let (id, ttl, told) = (lease.id(), lease.ttl(), lease.time_to_live());
    let span = Duration::from_secs(ttl.as_secs());
    let is_id = LeaseId::try_from(id.get()) == Ok(id)
        && i64::from(id) == id.get()
        && format!("{id:?}") == format!("LeaseId({:016x})", id.get());
    let begun = span.saturating_sub(Duration::from_nanos(1));
    let barely = span.saturating_sub(Duration::from_secs(1)) + Duration::from_nanos(1);
    let is_ttl = [ttl.as_duration(), Duration::from(ttl)] == [span, span]
        && [span, begun].map(Ttl::try_from) == [Ok(ttl), Ok(ttl)]
        && Ttl::try_from(ttl.get()) == Ok(ttl)
        && [ttl.into(), span.into(), begun.into(), barely.into()].map(RequestedTtl::as_secs)
            == [ttl.get(); 4]
        && ttl.to_string() == format!("{} s", ttl.get());
    // What is longer than can be told is as long as can be.
    let most = Duration::from_secs(i64::MAX.unsigned_abs() - ttl.as_secs());
    let longest = [Duration::MAX, most + span, most + span + span, most];
    let longest = longest.map(|span| RequestedTtl::from(span).as_secs());
    let is_longest = longest == [i64::MAX, i64::MAX, i64::MAX, i64::MAX - ttl.get()];
    let is_told = (told.ttl(), told.remaining()) == (ttl, lease.remaining())
        && lease.demoted() == lease.remaining().is_none();
    let at = Timestamp::from_secs(ttl.as_secs());
    let is_time = at == Timestamp::from_millis(ttl.as_secs().saturating_mul(1_000))
        && at.saturating_sub(span) == Timestamp::ZERO
        && at.to_string() == format!("{}.000000000s", at.as_nanos() / 1_000_000_000)
        && Timestamp::ZERO.saturating_add(span) == at
        && at.saturating_duration_since(Timestamp::ZERO) == Duration::from_nanos(at.as_nanos());
    if !is_id || !is_ttl || !is_longest || !is_told || !is_time {
        return Some(format!("{lease:?} has {id} and {ttl}, and {told:?}"));
    }
    wrong_incarnation(lease).or_else(|| lease.keys().iter().find_map(wrong_item))
}

/// A number below 2^63 is the host's; of any other the next 23 bits are the epoch, of which the last one stands for
/// all that follow.
fn wrong_incarnation(lease: &Lease) -> Option<String> {
    let (top, last_epoch) = (1 << 63, (1 << 23) - 1);
    let own = lease.incarnation().get();
    let edges = [
        0,
        top - 1,
        top,
        top | 1 << 40,
        top | last_epoch << 40 | 7,
        u64::MAX,
    ];
    for number in edges.into_iter().chain([own]) {
        let incarnation = Incarnation::from_wire(number);
        let (epoch, count) = (number >> 40 & last_epoch, number & ((1 << 40) - 1));
        let supplied = Some(number).filter(|_| number < top);
        let text = supplied.map_or_else(|| format!("{epoch}.{count}"), |number| number.to_string());
        let is_right = incarnation.get() == number
            && incarnation.as_supplied() == supplied
            && Incarnation::supplied(number) == supplied.map(|_| incarnation)
            && incarnation.to_string() == text;
        let is_unique = supplied.is_some() || 0 < epoch && epoch < last_epoch;
        let token = Some(incarnation).filter(|_| is_unique);
        if !is_right || number == own && lease.fencing_token() != token {
            return Some(format!(
                "{number:x} is {incarnation}, and not {text}: {lease:?}"
            ));
        }
    }
    None
}

fn wrong_item(item: &LeaseItem) -> Option<String> {
    let bytes = item.as_bytes();
    let is_right = AsRef::<[u8]>::as_ref(item) == bytes
        && Borrow::<[u8]>::borrow(item) == bytes
        && *item.clone().into_bytes() == *bytes
        && LeaseItem::from(bytes.to_vec()) == *item
        && item.to_string() == bytes.escape_ascii().to_string();
    (!is_right).then(|| format!("{item:?} has the bytes {bytes:?}"))
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
