use std::borrow::Cow;
use std::env;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A program, its arguments and what it adds to the environment.
///
/// It displays as the line that repeats it in a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    program: Cow<'static, str>,
    args: Vec<String>,
    envs: Vec<(&'static str, String)>,
}

impl Invocation {
    /// Cargo with these arguments.
    pub(crate) fn cargo<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: "cargo".into(),
            args: args.into_iter().map(Into::into).collect(),
            envs: Vec::new(),
        }
    }

    /// Git with these arguments.
    pub(crate) fn git<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: "git".into(),
            ..Self::cargo(args)
        }
    }

    /// The manager of toolchains with these arguments.
    pub(crate) fn rustup<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: "rustup".into(),
            ..Self::cargo(args)
        }
    }

    /// The archiver tar with these arguments.
    pub(crate) fn tar<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: "tar".into(),
            ..Self::cargo(args)
        }
    }

    /// A program that this tool has installed, with these arguments.
    pub(crate) fn tool<S: Into<String>>(path: String, args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: path.into(),
            ..Self::cargo(args)
        }
    }

    /// Cargo with the arguments that are the words of `line`.
    pub(crate) fn cargo_line(line: &str) -> Self {
        Self::cargo(line.split_whitespace())
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Whether it can be started in the folder `dir` and succeeds; nothing is shown.
    pub(crate) fn succeeds(&self, dir: &Path) -> bool {
        let outcome = Command::new(self.executable())
            .args(&self.args)
            .current_dir(dir)
            .output();
        outcome.is_ok_and(|output| output.status.success())
    }

    /// Adds a variable to the environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.envs.push((name, value.into()));
        self
    }

    /// Compiles for another world, such as a simulation: with this `cfg` beside the compiler flags of
    /// the environment.
    pub(crate) fn cfg(self, cfg: &str) -> Self {
        let (name, flags) = extended_flags(
            env::var("CARGO_ENCODED_RUSTFLAGS").ok(),
            env::var("RUSTFLAGS").ok(),
            cfg,
        );
        self.env(name, flags)
    }

    /// Runs it in the folder `dir` and returns what it writes to standard output.
    ///
    /// # Errors
    ///
    /// If it cannot be started or fails.
    pub(crate) fn output(&self, dir: &Path) -> Result<String> {
        self.said(dir, &[0])
    }

    /// As [`output`](Self::output), for a program that may end with one of these codes.
    ///
    /// # Errors
    ///
    /// If it cannot be started or ends with another code.
    pub(crate) fn said(&self, dir: &Path, codes: &[i32]) -> Result<String> {
        let output = Command::new(self.executable())
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.program))?;
        if !output
            .status
            .code()
            .is_some_and(|code| codes.contains(&code))
        {
            bail!("{} ended with {}", self.program, output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs it in the folder `dir`; whether it succeeds, and what it writes to standard output.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn attempt(&self, dir: &Path) -> Result<(bool, String)> {
        let output = Command::new(self.executable())
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .stderr(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.program))?;
        let said = String::from_utf8(output.stdout)?;
        Ok((output.status.success(), said))
    }

    /// Runs it in the folder `dir` and waits for its end.
    ///
    /// # Errors
    ///
    /// If it cannot be started. A program that runs and fails is no error here.
    pub(crate) fn status(&self, dir: &Path) -> Result<ExitStatus> {
        Command::new(self.executable())
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .status()
            .with_context(|| format!("cannot start {}", self.program))
    }

    /// Runs it in the folder `dir`.
    ///
    /// # Errors
    ///
    /// If it cannot be started or fails.
    pub(crate) fn run(&self, dir: &Path) -> Result<()> {
        let status = self.status(dir)?;
        if !status.success() {
            bail!("{} ended with {status}", self.program);
        }
        Ok(())
    }

    // The cargo that runs this tool, so that a chosen toolchain stays chosen.
    fn executable(&self) -> String {
        if self.program == "cargo" {
            env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
        } else {
            self.program.clone().into_owned()
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.envs {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.program)?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

// The variable that cargo heeds, with the switch to another world behind what it holds.
fn extended_flags(
    encoded: Option<String>,
    plain: Option<String>,
    cfg: &str,
) -> (&'static str, String) {
    // Cargo looks at the encoded variable first, and then not at the other one.
    match (encoded, plain) {
        (Some(flags), _) => ("CARGO_ENCODED_RUSTFLAGS", joined(&flags, "\x1f", cfg)),
        (None, flags) => ("RUSTFLAGS", joined(&flags.unwrap_or_default(), " ", cfg)),
    }
}

fn joined(flags: &str, separator: &str, cfg: &str) -> String {
    let cfg = ["--cfg", cfg].join(separator);
    if flags.is_empty() {
        cfg
    } else {
        format!("{flags}{separator}{cfg}")
    }
}

// Quotes a word for a shell, if need be.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_reads_like_a_shell_line() {
        let doc = Invocation::cargo_line("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            doc.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
        let run = Invocation::cargo(["run", "--", "it's", ""]);
        assert_eq!(run.to_string(), r"cargo run -- 'it'\''s' ''");
    }

    #[test]
    fn inherited_flags_are_extended() {
        let some = |flags: &str| Some(flags.to_owned());
        let cases = [
            (None, None, "RUSTFLAGS", "--cfg madsim"),
            (None, some(""), "RUSTFLAGS", "--cfg madsim"),
            (
                None,
                some("-C debuginfo=0"),
                "RUSTFLAGS",
                "-C debuginfo=0 --cfg madsim",
            ),
            (
                some("-C\x1fx=y z"),
                some("-D warnings"),
                "CARGO_ENCODED_RUSTFLAGS",
                "-C\x1fx=y z\x1f--cfg\x1fmadsim",
            ),
        ];
        for (encoded, plain, name, flags) in cases {
            assert_eq!(
                extended_flags(encoded, plain, "madsim"),
                (name, flags.to_owned())
            );
        }
    }

    #[test]
    fn a_program_that_fails_is_an_error_of_run() {
        let bad = Invocation::cargo(["no-such-command-of-cargo"]);
        let here = Path::new(".");
        assert!(!bad.status(here).expect("cargo starts").success());
        assert!(bad.run(here).is_err());
        assert!(Invocation::cargo(["--version"]).run(here).is_ok());
    }
}
