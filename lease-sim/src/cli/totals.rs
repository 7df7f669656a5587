use std::collections::BTreeMap;

use lease_sim::{MARKS, RARE_MARKS, Report};

/// What many runs have in sum.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) seeds: u64,
    pub(super) events: u64,
    pub(super) virtual_ms: u64,
    marks: BTreeMap<String, Reached>,
}

/// How often a mark was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// In how many runs.
    pub(super) seeds: u64,
    /// How often in all of them.
    pub(super) times: u64,
}

impl Totals {
    pub(super) fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_ms += report.virtual_ms;
        for (mark, times) in &report.sometimes {
            let reached = self.marks.entry(mark.clone()).or_default();
            reached.seeds += 1;
            reached.times += times;
        }
    }

    pub(super) fn reached(&self, mark: &str) -> Reached {
        self.marks.get(mark).copied().unwrap_or_default()
    }

    /// The marks that are owed and were not reached.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missed = |mark: &&&str| self.reached(mark).times == 0;
        MARKS.iter().filter(missed).copied().collect()
    }

    /// How many of the marks that are owed were reached.
    pub(super) fn hit(&self) -> usize {
        MARKS.len() - self.missing().len()
    }

    /// Whether nothing was checked, which proves nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.seeds == 0 || self.events == 0 && self.marks.is_empty()
    }

    /// The marks that no list has, which a run must not reach.
    pub(super) fn unknown(&self) -> Vec<&str> {
        let known = |mark: &str| MARKS.iter().chain(RARE_MARKS).any(|it| *it == mark);
        let marks = self.marks.keys().map(String::as_str);
        marks.filter(|mark| !known(mark)).collect()
    }
}

/// How many seeds owe every mark.
pub(super) const GATE_SEEDS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_and_missed() {
        let mut totals = Totals::default();
        assert!(totals.is_empty());
        let report = Report {
            events: 5,
            sometimes: BTreeMap::from([(MARKS[0].to_owned(), 3), ("other".to_owned(), 1)]),
            ..Report::default()
        };
        totals.add(&report);
        totals.add(&report);
        assert!(!totals.is_empty());
        let reached = Reached { seeds: 2, times: 6 };
        assert_eq!(totals.reached(MARKS[0]), reached);
        assert_eq!(totals.missing(), MARKS[1..]);
        assert_eq!(totals.hit(), 1);
        assert_eq!(totals.unknown(), ["other"]);
    }
}
