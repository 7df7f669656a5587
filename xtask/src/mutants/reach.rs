//! Which run comes by which place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::means::{How, Means, Programs, Run};
use super::{WORLD_PATIENCE, processors};

/// What each run of a means reaches.
pub(super) struct Reach {
    runs: Vec<Run>,
    // By how many places each of them comes.
    widths: Vec<usize>,
    // The runs that come by a place, by its number.
    by_place: BTreeMap<u32, Vec<usize>>,
}

/// A line of the file that keeps it.
#[derive(Serialize, Deserialize)]
struct Line {
    run: Run,
    places: Vec<u32>,
}

impl Reach {
    /// Runs each of these by itself, without a mutant. What they reach is written to `file`, which is read again
    /// as long as the programs, the runs and their plans are the same.
    ///
    /// # Errors
    ///
    /// If something is wrong without a mutant.
    pub(super) fn of(programs: &Programs, runs: Vec<Run>, file: &Path) -> Result<Self> {
        if programs.are_older_than(file, &runs) {
            let text = fs::read_to_string(file)?;
            let lines = text.lines().map(serde_json::from_str);
            let known = Self::from_lines(lines.collect::<Result<Vec<_>, _>>()?);
            if known.runs == runs {
                return Ok(known);
            }
        }
        let lines = run_all(programs, runs, file)?;
        let text = lines.iter().map(serde_json::to_string);
        let text = text.collect::<Result<Vec<_>, _>>()?.join("\n");
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self::from_lines(lines))
    }

    fn from_lines(lines: Vec<Line>) -> Self {
        let (mut runs, mut widths) = (Vec::new(), Vec::new());
        let mut by_place = BTreeMap::<u32, Vec<usize>>::new();
        for (number, line) in lines.into_iter().enumerate() {
            widths.push(line.places.len());
            for place in line.places {
                by_place.entry(place).or_default().push(number);
            }
            runs.push(line.run);
        }
        Self {
            runs,
            widths,
            by_place,
        }
    }

    /// The places that are reached by any run.
    pub(super) fn places(&self) -> BTreeSet<u32> {
        self.by_place.keys().copied().collect()
    }

    /// Runs that come by a place, `most` of them, evenly among all that do.
    pub(super) fn by(&self, place: u32, most: usize) -> Vec<&Run> {
        let all = self.by_place.get(&place).map_or(&[][..], Vec::as_slice);
        evenly(all, most).map(|run| &self.runs[run]).collect()
    }

    /// Of those that come by a place, the ones that come by the fewest places: a scenario that is about this one is
    /// among them.
    pub(super) fn closest(&self, place: u32, most: usize) -> Vec<&Run> {
        let mut all = self.by_place.get(&place).cloned().unwrap_or_default();
        all.sort_by_key(|run| self.widths[*run]);
        all.truncate(most);
        all.into_iter().map(|run| &self.runs[run]).collect()
    }
}

fn evenly(all: &[usize], most: usize) -> impl Iterator<Item = usize> {
    let count = all.len().min(most);
    (0..count).map(move |nth| all[nth * all.len() / count])
}

fn run_all(programs: &Programs, runs: Vec<Run>, file: &Path) -> Result<Vec<Line>> {
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = |worker: usize| -> Result<()> {
        let fresh = file.with_extension(format!("new-{worker}"));
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(run) = runs.get(number) else {
                return Ok(());
            };
            let places = run_one(programs, run, &fresh)?;
            let run = run.clone();
            lines
                .lock()
                .expect("no panic")
                .insert(number, Line { run, places });
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors())
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        let mut ends = workers.into_iter().map(|worker| worker.join());
        ends.try_for_each(|end| end.expect("a worker does not panic"))
    })?;
    let lines = lines.into_inner().expect("no panic");
    Ok(lines.into_values().collect())
}

fn run_one(programs: &Programs, run: &Run, fresh: &Path) -> Result<Vec<u32>> {
    let _ = fs::remove_file(fresh);
    let how = How {
        variable: ("LEASE_REACHED", fresh.to_string_lossy().into_owned()),
        schedules: 20,
        world: Duration::from_secs(300),
        patience: Duration::from_secs(600),
    };
    let start = Instant::now();
    if let Some(failure) = programs.run(&[run], &how)? {
        bail!("{run:?} fails without a mutant: {failure}");
    }
    let elapsed = start.elapsed();
    // A test may reach nothing.
    let text = fs::read_to_string(fresh).unwrap_or_default();
    let _ = fs::remove_file(fresh);
    // Of a world that takes so long without one nobody could tell whether a mutant has it hang.
    if programs.means == Means::Simulation && elapsed > WORLD_PATIENCE / 4 {
        println!("{run:?} takes {elapsed:?} without a mutant, and is left out");
        return Ok(Vec::new());
    }
    let places: BTreeSet<u32> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok(places.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    #[test]
    fn runs_are_chosen_evenly_among_those_that_come_by() {
        let line = |name: usize| line(name, if name.is_multiple_of(2) { 7..8 } else { 8..9 });
        let reach = Reach::from_lines((0..20).map(line).collect());
        let names = |place, most| {
            let runs = reach.by(place, most).into_iter();
            runs.map(name_of).collect::<Vec<_>>()
        };
        assert_eq!(names(7, 3), ["0", "6", "12"]);
        assert_eq!(names(8, 100).len(), 10);
        assert!(names(9, 3).is_empty());
        assert_eq!(reach.places(), BTreeSet::from([7, 8]));
    }

    #[test]
    fn runs_that_are_about_a_place_go_first() {
        let line = |name| line(name, 0..if name == 13 { 2 } else { 9 });
        let reach = Reach::from_lines((0..20).map(line).collect());
        let chosen = reach.closest(1, 4);
        let names: Vec<_> = chosen.into_iter().map(name_of).collect();
        assert_eq!(names, ["13", "0", "1", "2"]);
        assert!(reach.closest(9, 4).is_empty());
    }

    fn line(name: usize, places: Range<u32>) -> Line {
        let run = serde_json::json!({ "program": 0, "name": name.to_string() });
        Line {
            run: serde_json::from_value(run).expect("it is one"),
            places: places.collect(),
        }
    }

    fn name_of(run: &Run) -> String {
        let run = serde_json::to_value(run).expect("data");
        run["name"].as_str().expect("text").to_owned()
    }
}
