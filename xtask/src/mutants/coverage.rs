use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::site::{Kind, Site};
use super::{Lab, Means};
use crate::workspace::Workspace;

/// Say which functions and branches of lease-core, lease-queue and lease-backend no seed reaches
///
/// `lease-sim/unreached.txt` has those that are known, each with its reason. Another one is an error; a
/// line there whose place is reached is told.
#[derive(clap::Parser)]
#[command(name = "coverage", bin_name = "cargo xtask sim coverage")]
pub(crate) struct Args {
    /// Of the code, in the place of the marks
    #[arg(long, required = true)]
    code: bool,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// Print also what is known
    #[arg(long)]
    all: bool,
}

/// Runs the corpus and seeds, and says what they have left out.
///
/// # Errors
///
/// If the copy cannot be built, or a seed violates something.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let folder = workspace.root.join("target-sim/mutants");
    let mut lab = Lab::build(workspace, folder, &[Means::Simulation])?;
    lab.reach(args.seeds)?;
    let reached = &lab.reached[&Means::Simulation].places();
    let path = workspace.root.join(KNOWN);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {KNOWN}"))?;
    let known = known(&text)?;
    let unreached = unreached(&lab.sites, reached);
    let mut is_well = true;
    for site in &unreached {
        let reason = known.iter().find(|known| known.is_about(site));
        if reason.is_none() {
            is_well = false;
            println!("not reached: {site}");
        } else if args.all {
            println!("known: {site}");
        }
    }
    // No error: what is rare may be reached by luck.
    for known in &known {
        if !unreached.iter().any(|site| known.is_about(site)) {
            println!("{KNOWN}: reached, or not there: {}", known.place);
        }
    }
    for (kind, name) in [(Kind::Function, "functions"), (Kind::Branch, "branches")] {
        let of_kind = lab.sites.iter().filter(|site| site.kind == kind);
        let (all, hit) = of_kind.fold((0, 0), |(all, hit), site| {
            (all + 1, hit + usize::from(reached.contains(&site.number)))
        });
        println!("{hit} of {all} {name} reached");
    }
    Ok(ExitCode::from(u8::from(!is_well)))
}

const KNOWN: &str = "lease-sim/unreached.txt";

/// Functions, and branches of those that are reached.
fn unreached<'a>(sites: &'a [Site], reached: &BTreeSet<u32>) -> Vec<&'a Site> {
    let missed = |site: &&Site| {
        let is_looked_for = !site.is_mutant() && !is_for_bugs(&site.what);
        is_looked_for && !reached.contains(&site.number)
    };
    let missed: Vec<_> = sites.iter().filter(missed).collect();
    let functions: BTreeSet<_> = missed
        .iter()
        .filter(|site| site.kind == Kind::Function)
        .map(|site| (&site.file, &site.function))
        .collect();
    let is_new = |site: &&Site| {
        site.kind == Kind::Function || !functions.contains(&(&site.file, &site.function))
    };
    missed.iter().copied().filter(is_new).collect()
}

/// Whether only a planted bug goes this way.
fn is_for_bugs(what: &str) -> bool {
    let asks = |how: &str| what.contains(how) && !what.contains("||");
    what.starts_with("not if") && asks("!planted!(")
        || what.starts_with("if") && asks("&& planted!(")
}

/// A place that is not reached for a reason; or all whose names begin like this.
struct Known {
    place: String,
}

impl Known {
    fn is_about(&self, site: &Site) -> bool {
        site.name().starts_with(&self.place)
    }
}

fn known(text: &str) -> Result<Vec<Known>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let places = lines.map(|line| match line.rsplit_once(" | ") {
        Some((place, reason)) if !reason.trim().is_empty() => Ok(Known {
            place: place.trim_end().to_owned(),
        }),
        _ => bail!("{KNOWN}: a line without a reason: {line}"),
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(number: u32, kind: Kind, function: &str) -> Site {
        Site {
            number,
            file: "a.rs".to_owned(),
            line: 1,
            column: 1,
            function: function.to_owned(),
            kind,
            what: "what".to_owned(),
        }
    }

    #[test]
    fn the_branches_of_a_function_that_is_not_reached_are_not_told() {
        let sites = [
            site(1, Kind::Function, "f"),
            site(2, Kind::Branch, "f"),
            site(3, Kind::Function, "g"),
            site(4, Kind::Branch, "g"),
            site(5, Kind::Mutant, "g"),
        ];
        let numbers = |reached: &[u32]| {
            let reached = reached.iter().copied().collect();
            let missed = unreached(&sites, &reached).into_iter();
            missed.map(|site| site.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[]), [1, 3]);
        assert_eq!(numbers(&[1, 3]), [2, 4]);
        assert_eq!(numbers(&[1, 2, 3, 4]), [0; 0]);
    }

    #[test]
    fn a_known_place_has_a_reason() {
        let text = "# a remark\n\na.rs: f | no plan does it\n";
        let known = known(text).expect("it is sound");
        assert_eq!(known.len(), 1);
        assert!(known[0].is_about(&site(1, Kind::Function, "f")));
        assert!(!known[0].is_about(&site(1, Kind::Function, "g")));
        assert!(super::known("a.rs: f").is_err());
        assert!(super::known("a.rs: f | ").is_err());
    }
}
