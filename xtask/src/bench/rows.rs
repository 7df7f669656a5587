use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Whose numbers they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Ours,
    Peer,
}

/// All that the programs have printed.
#[derive(Default)]
pub(crate) struct Measurements {
    // The operations in the order in which they came first.
    ops: Vec<String>,
    samples: BTreeMap<(String, u64), Samples>,
}

#[derive(Default)]
struct Samples {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

#[derive(Deserialize)]
struct Line {
    op: String,
    n: u64,
    ns: f64,
}

/// An operation at one number of leases.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) op: String,
    pub(crate) n: u64,
    /// Medians, in nanoseconds.
    pub(crate) ours_ns: f64,
    pub(crate) peer_ns: Option<f64>,
    /// How many times as long as ours the peer takes.
    pub(crate) ratio: Option<f64>,
    /// The smallest and the largest ratio of two runs in turn.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) floor_ns: Option<f64>,
}

/// What is measured in something else than nanoseconds.
const UNITS: [(&str, &str); 2] = [("bytes_lease", "B"), ("bytes_key", "B")];

/// What the name of an operation's floor begins with.
const FLOOR: &str = "floor_";

impl Measurements {
    /// Adds a line that a program has printed.
    ///
    /// # Errors
    ///
    /// If it is not one.
    pub(crate) fn add(&mut self, system: System, line: &str) -> Result<()> {
        let Line { op, n, ns } =
            serde_json::from_str(line).with_context(|| format!("not a measurement: {line}"))?;
        if !self.ops.contains(&op) {
            self.ops.push(op.clone());
        }
        let samples = self.samples.entry((op, n)).or_default();
        match system {
            System::Ours => samples.ours.push(ns),
            System::Peer => samples.peer.push(ns),
        }
        Ok(())
    }

    /// What both, or we alone, have measured; floors stand beside their operations.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for op in self.ops.iter().filter(|op| !op.starts_with(FLOOR)) {
            let of_op = self.samples.iter().filter(|((of, _), _)| of == op);
            for ((_, n), samples) in of_op {
                rows.extend(self.row(op, *n, samples));
            }
        }
        rows
    }

    fn row(&self, op: &str, n: u64, samples: &Samples) -> Option<Row> {
        let ours_ns = median(&samples.ours)?;
        let peer_ns = median(&samples.peer);
        let ratios = samples.ours.iter().zip(&samples.peer);
        let ratios: Vec<_> = ratios.map(|(ours, peer)| peer / ours).collect();
        Some(Row {
            op: op.to_owned(),
            n,
            ours_ns,
            peer_ns,
            ratio: peer_ns.map(|peer| peer / ours_ns),
            spread: ratios
                .iter()
                .copied()
                .reduce(f64::min)
                .zip(ratios.iter().copied().reduce(f64::max)),
            floor_ns: self.floor(op, n),
        })
    }

    fn floor(&self, op: &str, n: u64) -> Option<f64> {
        let floor = match op {
            "renew_many" => "renew",
            "lookup_read" => "lookup",
            "revoke_null" | "revoke_memory" => "revoke",
            op => op,
        };
        let floor = format!("{FLOOR}{floor}");
        median(&self.samples.get(&(floor, n))?.ours)
    }
}

impl Row {
    /// The row of a table in Markdown.
    pub(crate) fn line(&self, has_peer: bool) -> String {
        let unit = UNITS.iter().find(|(op, _)| *op == self.op);
        let show = |value: Option<f64>| {
            value.map_or_else(
                || "—".to_owned(),
                |value| unit.map_or_else(|| span(value), |(_, unit)| format!("{value:.0} {unit}")),
            )
        };
        let Self { op, n, .. } = self;
        let (ours, floor) = (show(Some(self.ours_ns)), show(self.floor_ns));
        if !has_peer {
            return format!("| {op} | {n} | {ours} | {floor} |");
        }
        let peer = show(self.peer_ns);
        let ratio = self
            .ratio
            .map_or_else(|| "—".into(), |ratio| format!("{ratio:.1}"));
        let spread = self.spread.map_or_else(
            || "—".into(),
            |(least, most)| format!("{least:.1} to {most:.1}"),
        );
        format!("| {op} | {n} | {ours} | {peer} | {ratio} | {spread} | {floor} |")
    }
}

/// One line for programs.
pub(crate) fn json(rows: &[Row]) -> String {
    serde_json::json!({ "rows": rows }).to_string()
}

fn span(ns: f64) -> String {
    match ns {
        ..1e4 => format!("{ns:.0} ns"),
        ..1e7 => format!("{:.0} µs", ns / 1e3),
        ..1e10 => format!("{:.0} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurements() -> Measurements {
        let mut measurements = Measurements::default();
        for (system, op, ns) in [
            (System::Ours, "floor_renew", 10),
            (System::Ours, "renew", 20),
            (System::Peer, "renew", 800),
            (System::Ours, "renew", 30),
            (System::Peer, "renew", 900),
            (System::Ours, "renew", 25),
            (System::Peer, "renew", 1000),
            (System::Peer, "only_theirs", 5),
            (System::Ours, "list", 7),
        ] {
            let line = format!(r#"{{"op":"{op}","n":1000,"ns":{ns}.0}}"#);
            measurements.add(system, &line).expect("a measurement");
        }
        measurements
    }

    #[test]
    fn rows_have_medians_ratios_and_floors() {
        let rows = measurements().rows();
        let ops: Vec<_> = rows.iter().map(|row| row.op.as_str()).collect();
        assert_eq!(ops, ["renew", "list"]);
        let renew = &rows[0];
        assert_eq!((renew.ours_ns, renew.peer_ns), (25.0, Some(900.0)));
        assert_eq!(renew.ratio, Some(36.0));
        assert_eq!(renew.spread, Some((30.0, 40.0)));
        assert_eq!(renew.floor_ns, Some(10.0));
        assert_eq!(
            renew.line(true),
            "| renew | 1000 | 25 ns | 900 ns | 36.0 | 30.0 to 40.0 | 10 ns |"
        );
        assert_eq!(rows[1].line(false), "| list | 1000 | 7 ns | — |");
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let error = Measurements::default().add(System::Ours, "warming up");
        assert!(error.is_err());
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(span(999.4), "999 ns");
        assert_eq!(span(20_000.0), "20 µs");
        assert_eq!(span(377e6), "377 ms");
        assert_eq!(span(138e9), "138.0 s");
    }
}
