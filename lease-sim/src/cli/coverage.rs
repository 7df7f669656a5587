use std::process::ExitCode;

use anyhow::Result;
use lease_sim::{MARKS, RARE_MARKS};

use super::console::{Progress, counted, say};
use super::job::{Job, Runner, Work};
use super::pool::{self, Pool};
use super::status;
use super::subject::With;
use super::totals::Totals;

/// Count how often each mark was reached: the interesting things without which a pass means nothing
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    pool: pool::Args,
}

/// Counts marks.
///
/// # Errors
///
/// If worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut count = Count {
        with: args.with,
        seeds: args.from..args.from.saturating_add(args.seeds),
        totals: Totals::default(),
        progress: Progress::new(),
    };
    Pool::new(&args.pool)?.run(&mut count)?;
    let Count {
        totals, progress, ..
    } = count;
    drop(progress);
    for family in families() {
        say(format_args!("{family}:"));
        for line in lines(family, &totals) {
            say(line);
        }
    }
    let missing = totals.missing().len();
    for mark in totals.unknown() {
        say(format_args!("no list has the mark {mark:?}"));
    }
    say(format_args!(
        "{}, {} of {} marks, {missing} never reached",
        counted(totals.seeds, "seed"),
        totals.hit(),
        MARKS.len()
    ));
    Ok(status(missing == 0 && !totals.is_empty()))
}

/// What stands before the colon, in the order of the list.
fn families() -> Vec<&'static str> {
    let mut families: Vec<_> = MARKS.iter().map(|mark| family_of(mark)).collect();
    families.dedup();
    families
}

fn family_of(mark: &str) -> &str {
    mark.split_once(':').map_or(mark, |(family, _)| family)
}

/// A line for each mark of a family, the most frequent first.
fn lines(family: &str, totals: &Totals) -> Vec<String> {
    let owed = MARKS.iter().map(|mark| (mark, ""));
    let rare = RARE_MARKS.iter().map(|mark| (mark, " (rare)"));
    let mut marks: Vec<_> = owed
        .chain(rare)
        .filter(|(mark, _)| family_of(mark) == family)
        .map(|(mark, note)| (totals.reached(mark), *mark, note))
        .collect();
    marks.sort_by_key(|(reached, mark, _)| (std::cmp::Reverse(reached.seeds), *mark));
    marks
        .into_iter()
        .map(|(reached, mark, note)| {
            let (seeds, times) = (reached.seeds, reached.times);
            let name = mark.split_once(": ").map_or(mark, |(_, name)| name);
            format!("{times:>9} times in {seeds:>6} seeds  {name}{note}")
        })
        .collect()
}

struct Count {
    with: With,
    seeds: std::ops::Range<u64>,
    totals: Totals,
    progress: Progress,
}

impl Work for Count {
    fn next(&mut self) -> Option<Job> {
        let seed = self.seeds.next()?;
        Some(self.with.drawn(seed))
    }

    fn done(&mut self, _: Job, report: lease_sim::Report) {
        self.totals.add(&report);
        let seeds = self.totals.seeds;
        self.progress.show(|| format!("{seeds} seeds"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lease_sim::Report;

    use super::*;

    #[test]
    fn what_was_never_reached_comes_last() {
        assert_eq!(families(), ["alone", "core", "raft", "world"]);
        let mark = "world: a message is lost";
        let mut totals = Totals::default();
        totals.add(&Report {
            sometimes: BTreeMap::from([(mark.to_owned(), 4)]),
            ..Report::default()
        });
        let lines = lines("world", &totals);
        assert!(lines[0].ends_with("a message is lost"), "{}", lines[0]);
        assert!(lines[0].trim_start().starts_with("4 times in"));
        assert!(
            lines
                .last()
                .expect("more")
                .trim_start()
                .starts_with("0 times")
        );
    }
}
