use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use lease_sim::{Bug, Engines, Plan, Profile};
use serde::{Deserialize, Serialize};

use super::job::Job;

/// Which plan a verb is about, and what is planted.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(super) struct Args {
    /// A seed, or a file with a plan as `shrink` and every failure leave it
    #[arg(value_name = "SEED|PLAN.json")]
    subject: Subject,
    #[command(flatten)]
    pub(super) with: With,
}

/// What a run is drawn and made with.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(skip)]
pub(super) struct With {
    /// How much a plan that is drawn from a seed holds: lite, swarm or heavy
    #[arg(long, default_value_t)]
    pub(super) profile: Profile,
    /// What the members of a drawn plan stand on: log (the hostile one), raft (openraft), alone (lessors that
    /// stand alone) or both, which is all of them
    #[arg(long, default_value_t)]
    pub(super) engine: Engines,
    /// Plant this bug (`bugs --list` names all)
    #[arg(long, value_name = "NAME", value_parser = bug_named)]
    pub(super) bug: Option<&'static Bug>,
}

/// A seed or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Seed(u64),
    File(PathBuf),
}

impl FromStr for Subject {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let seed = text.parse().map(Self::Seed);
        Ok(seed.unwrap_or_else(|_| Self::File(text.into())))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "{seed}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Subject {
    /// Its run.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or holds no sound plan.
    pub(super) fn job(&self, with: &With) -> Result<Job> {
        Ok(match self {
            Self::Seed(seed) => with.drawn(*seed),
            Self::File(path) => Job::given(0, Kept::read(path)?.plan, with.bug),
        })
    }
}

/// The bug of this name.
pub(super) fn bug_named(name: &str) -> Result<&'static Bug, String> {
    let unknown = || "no bug has this name; `bugs --list` names all".to_owned();
    Bug::named(name).ok_or_else(unknown)
}

impl Args {
    /// The plan.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or holds no sound plan.
    pub(super) fn plan(&self) -> Result<Plan> {
        match &self.subject {
            Subject::Seed(seed) => Ok(Plan::draw_with(*seed, self.with.profile, self.with.engine)),
            Subject::File(path) => Ok(Kept::read(path)?.plan),
        }
    }

    /// What a file about this plan is called, without its ending.
    pub(super) fn name(&self) -> String {
        match &self.subject {
            Subject::Seed(seed) => self.with.name_of(*seed),
            Subject::File(path) => {
                let stem = path.file_stem().unwrap_or(path.as_os_str());
                stem.to_string_lossy().into_owned()
            }
        }
    }
}

impl With {
    /// The run of a seed.
    pub(super) fn drawn(&self, seed: u64) -> Job {
        Job::drawn(seed, self.profile, self.engine, self.bug)
    }

    /// The options that say so on a command line, each with a space before it.
    pub(super) fn options(&self) -> String {
        let mut options = self.bug_option();
        if self.profile != Profile::default() {
            options = format!(" --profile {}{options}", self.profile);
        }
        if self.engine != Engines::default() {
            options = format!(" --engine {}{options}", self.engine);
        }
        options
    }

    /// What a file or folder about this seed is called.
    pub(super) fn name_of(&self, seed: u64) -> String {
        let options = self.options().replace(" --profile ", "-");
        let options = options.replace(" --engine ", "-");
        format!("seed-{seed}{}", options.replace(" --bug ", "-"))
    }

    /// The option that plants the bug, with a space before it.
    pub(super) fn bug_option(&self) -> String {
        self.bug
            .map_or_else(String::new, |bug| format!(" --bug {}", bug.name))
    }
}

/// A plan that was kept for a reason: what a file of the corpus holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// What it found, in words.
    pub(super) why: String,
    /// The planted bug that it finds; with none it finds nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bug: Option<String>,
    pub(super) plan: Plan,
}

impl Kept {
    /// Reads a file with a plan, kept for a reason or for none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or holds no sound plan.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let of_no_use = || format!("{} is of no use", path.display());
        let kept = Self::parse(&text).with_context(of_no_use)?;
        kept.plan
            .check()
            .map_err(|why| anyhow!(why))
            .with_context(of_no_use)?;
        Ok(kept)
    }

    /// Writes it as a file, and makes the folder if need be.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        fs::write(path, text_of(self)?).with_context(cannot)
    }

    fn parse(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text).context("it is no JSON")?;
        if value.get("plan").is_none() {
            return Ok(Self {
                why: String::new(),
                bug: None,
                plan: serde_json::from_value(value).context("it is no plan")?,
            });
        }
        let kept: Self = serde_json::from_value(value).context("it is no plan of the corpus")?;
        if let Some(name) = &kept.bug
            && Bug::named(name).is_none()
        {
            bail!("there is no bug {name}");
        }
        Ok(kept)
    }
}

/// A plan as the text of a file.
pub(super) fn text_of(plan: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(plan)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_with_a_reason_or_without() {
        let plan = Plan::draw(3, Profile::Lite);
        let bare = text_of(&plan).expect("plain data");
        assert_eq!(Kept::parse(&bare).expect("a plan").plan, plan);
        let kept = Kept {
            why: "it was slow".to_owned(),
            bug: Some("renew-expiring".to_owned()),
            plan,
        };
        let text = text_of(&kept).expect("plain data");
        assert_eq!(Kept::parse(&text).expect("a plan"), kept);
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"plan":1}"#,
            r#"{"why":"","plan":{}}"#,
        ] {
            assert!(Kept::parse(text).is_err(), "{text}");
        }
        let kept = Kept {
            why: String::new(),
            bug: Some("no-such-bug".to_owned()),
            plan: Plan::draw(3, Profile::Lite),
        };
        assert!(Kept::parse(&text_of(&kept).expect("plain data")).is_err());
        assert!(Kept::read(Path::new("no/such/file")).is_err());
    }

    #[test]
    fn a_number_is_a_seed() {
        assert_eq!("17".parse(), Ok(Subject::Seed(17)));
        assert_eq!("17.json".parse(), Ok(Subject::File("17.json".into())));
    }
}
