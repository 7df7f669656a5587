use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// A program of others that this tool installs for itself, in the target folder.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its package, which is also the program.
    pub(crate) name: &'static str,
    /// The newest of these days; it is built with the dependencies that it was tested with.
    pub(crate) version: &'static str,
    /// What of it is built.
    pub(crate) features: &'static [&'static str],
}

impl Tool {
    /// The program, built if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub(crate) fn installed(&self, workspace: &Workspace) -> Result<PathBuf> {
        let Self { name, version, .. } = self;
        let root = workspace.target_folder()?.join("tools");
        let program = root.join(format!("bin/{name}{}", std::env::consts::EXE_SUFFIX));
        let is_there = |program: String| {
            let said = Invocation::tool(program, ["--version"]).output(&workspace.root);
            // "mdbook v0.5.4", "cargo-deny 0.19.0".
            said.is_ok_and(|said| {
                let words = said.split_whitespace();
                words.last().map(|it| it.trim_start_matches('v')) == Some(*version)
            })
        };
        if is_there(program.display().to_string()) {
            return Ok(program);
        }
        println!("   {name} {version} is built, once: some minutes");
        let root = root.to_str().context("the target folder is no text")?;
        // A debug build takes half the time, and is quick enough.
        let line = format!("install {name} --version ={version} --locked --debug");
        self.features
            .iter()
            .copied()
            .chain(["--root", root])
            .fold(Invocation::cargo_line(&line), Invocation::arg)
            .run(&workspace.root)?;
        Ok(program)
    }
}
