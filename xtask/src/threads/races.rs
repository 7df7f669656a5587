use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::scenario::{Build, Outcome, Plan, Speed};
use super::target_dir;
use crate::copied::copy_tree;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// A bug that is planted: a patch, under a few lines that say what it is and who has to find it.
struct Race {
    name: String,
    path: PathBuf,
    /// What it changes.
    files: Vec<String>,
    scenario: String,
    schedules: usize,
}

/// Plants each race into a copy of the tree and runs the scenario that has to find it. Returns
/// whether each is found.
///
/// # Errors
///
/// If the tree cannot be copied, or a race does not fit it or does not build.
pub(super) fn run(workspace: &Workspace, only: Option<&str>, seed: u32) -> Result<bool> {
    let target = target_dir(workspace).join("races");
    let tree = target.join("tree");
    copy_tree(&workspace.root, &tree, &[], |_, text| text)?;
    let mut missed = 0;
    let mut races = all(workspace)?;
    races.retain(|race| only.is_none_or(|only| race.name.contains(only)));
    ensure!(!races.is_empty(), "no race has such a name");
    for race in &races {
        apply(&tree, race, &[])?;
        let found = race.run(&tree, &target, seed);
        apply(&tree, race, &["-R"])?;
        let outcome = found.with_context(|| race.name.clone())?;
        match outcome.headline() {
            Some(failure) => {
                let secs = outcome.secs();
                println!("{:32} found in {secs:5.1} s: {failure}", race.name);
            }
            None => {
                missed += 1;
                println!("{:32} MISSED by {}", race.name, race.scenario);
            }
        }
    }
    println!("{} races, {missed} missed", races.len());
    Ok(missed == 0)
}

/// Checks that every race fits the tree and compiles there.
///
/// # Errors
///
/// If one does not.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let target = target_dir(workspace);
    let tree = target.join("races/tree");
    copy_tree(&workspace.root, &tree, &[], |_, text| text)?;
    let races = all(workspace)?;
    for race in &races {
        apply(&tree, race, &["--check"])?;
    }
    for together in rounds(races) {
        if check_together(&tree, &target, &together).is_err() {
            for race in &together {
                let alone = std::slice::from_ref(race);
                check_together(&tree, &target, alone).with_context(|| race.name.clone())?;
            }
        }
    }
    Ok(())
}

/// Races that change different files can be planted at once, and are compiled at once.
fn rounds(races: Vec<Race>) -> Vec<Vec<Race>> {
    let mut rounds: Vec<Vec<Race>> = Vec::new();
    for race in races {
        let is_apart = |round: &&mut Vec<Race>| round.iter().all(|other| race.is_apart_from(other));
        match rounds.iter_mut().find(is_apart) {
            Some(round) => round.push(race),
            None => rounds.push(vec![race]),
        }
    }
    rounds
}

fn check_together(tree: &Path, target: &Path, races: &[Race]) -> Result<()> {
    for race in races {
        apply(tree, race, &[])?;
    }
    let built = check_line(target).cfg("shuttle").output(tree);
    for race in races {
        apply(tree, race, &["-R"])?;
    }
    built.map(drop)
}

fn check_line(target: &Path) -> Invocation {
    let words = "check --package lease-core --features async --lib --target-dir";
    let words = words.split(' ').map(str::to_owned);
    Invocation::cargo(words.chain([target.to_string_lossy().into_owned()]))
}

impl Race {
    fn load(path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&path)?;
        let value = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name));
            value.with_context(|| format!("{} lacks `{name}`", path.display()))
        };
        let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        Ok(Self {
            files: files.map(str::to_owned).collect(),
            scenario: value("Scenario: ")?.to_owned(),
            schedules: value("Schedules: ")?.parse()?,
            name: path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            path,
        })
    }

    fn is_apart_from(&self, other: &Self) -> bool {
        self.files.iter().all(|file| !other.files.contains(file))
    }

    fn run(&self, tree: &Path, target: &Path, seed: u32) -> Result<Outcome> {
        let build = Build::make(tree, target, Speed::OfTheBuild)?;
        let name = build.scenario(&self.scenario)?;
        let plan = Plan {
            schedules: self.schedules,
            seed,
            replay: None,
        };
        build.run(&name, &plan)
    }
}

fn all(workspace: &Workspace) -> Result<Vec<Race>> {
    let dir = workspace.root.join("lease-core/races");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "patch"));
    paths.sort();
    paths.into_iter().map(Race::load).collect()
}

fn apply(tree: &Path, race: &Race, options: &[&str]) -> Result<()> {
    let path = race.path.to_string_lossy();
    let words = ["apply"].into_iter().chain(options.iter().copied());
    let git = Invocation::git(words.chain([&*path]));
    git.run(tree)
        .with_context(|| format!("{} does not fit the code any more", race.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn races_in_one_file_are_not_planted_at_once() {
        let race = |name: &str, files: &[&str]| Race {
            name: name.to_owned(),
            path: PathBuf::new(),
            files: files.iter().map(|&file| file.to_owned()).collect(),
            scenario: String::new(),
            schedules: 1,
        };
        let races = vec![
            race("a", &["x", "y"]),
            race("b", &["y"]),
            race("c", &["z"]),
            race("d", &["z", "y"]),
        ];
        let names = |round: &Vec<Race>| round.iter().map(|race| race.name.clone()).collect();
        let rounds: Vec<String> = rounds(races).iter().map(names).collect();
        assert_eq!(rounds, ["ac", "b", "d"]);
    }
}
