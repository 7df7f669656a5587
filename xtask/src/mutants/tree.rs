use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rewrite::{Dropped, Rewritten, Sites};
use super::scan::scan;
use super::site::Site;
use crate::copied::{copy_tree, write};
use crate::invocation::Invocation;

/// A copy of the tree that holds all mutants.
pub(super) struct Tree {
    /// Where the copy is.
    pub(super) root: PathBuf,
    source: PathBuf,
    files: Vec<File>,
    dropped: Dropped,
}

struct File {
    path: String,
    text: String,
    sites: Sites,
    rewritten: Rewritten,
}

/// What is known of a version of the sources.
#[derive(Serialize, Deserialize)]
struct Known {
    hash: u64,
    dropped: Dropped,
}

/// The crates that are changed, the one that has the switch first, and what names it in each.
const CRATES: [(&str, &str); 3] = [
    ("lease-queue", "#[doc(hidden)]\npub mod mutant;\n"),
    (
        "lease-core",
        "#[doc(hidden)]\npub use lease_queue::mutant;\n",
    ),
    (
        "lease-backend",
        "#[doc(hidden)]\npub use lease_core::mutant;\n",
    ),
];

const SWITCH: &str = include_str!("switch.rs");

impl Tree {
    /// Finds all sites of the tree `source`.
    ///
    /// # Errors
    ///
    /// If git does not list the files, or one does not parse.
    pub(super) fn scan(source: &Path, root: &Path) -> Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            source: source.to_owned(),
            files: Vec::new(),
            dropped: Dropped::default(),
        };
        let mut first = 1;
        let mut absent = BTreeSet::new();
        for (of_crate, _) in CRATES {
            let listed = Invocation::git(["ls-files", &format!("{of_crate}/src/*.rs")]);
            for path in listed.output(source)?.lines() {
                let text = fs::read_to_string(source.join(path))
                    .with_context(|| format!("cannot read {path}"))?;
                let sites = scan(path, &text, first)?;
                first += sites.sites.len() as u32;
                absent.extend(sites.absent.iter().map(|name| module_folder(path) + name));
                tree.files.push(File {
                    path: path.to_owned(),
                    text,
                    sites,
                    rewritten: Rewritten::default(),
                });
            }
        }
        tree.files
            .retain(|file| !is_below(&file.path, &absent) && !is_probe(&file.path));
        Ok(tree)
    }

    /// The sites that are compiled.
    pub(super) fn sites(&self) -> Vec<Site> {
        let files = self.files.iter();
        let live = files.flat_map(|file| file.sites.live(&self.dropped).cloned());
        let mut sites: Vec<_> = live.collect();
        sites.sort_by_key(|site| site.number);
        sites
    }

    /// How many mutants there are, and how many of them do not compile.
    pub(super) fn counts(&self) -> (usize, usize) {
        let files = self.files.iter();
        let all = files.flat_map(|file| &file.sites.sites);
        let all = all.filter(|site| site.is_mutant()).count();
        let live = self.sites().iter().filter(|site| site.is_mutant()).count();
        (all, all - live)
    }

    /// Leaves out what an earlier run has found not to compile, if the sources are the same.
    ///
    /// # Errors
    ///
    /// If the file holds something else.
    pub(super) fn leave_out(&mut self, file: &Path) -> Result<()> {
        let Ok(text) = fs::read_to_string(file) else {
            return Ok(());
        };
        let known: Known = serde_json::from_str(&text)?;
        if known.hash == self.hash() {
            self.dropped = known.dropped;
        }
        Ok(())
    }

    /// Writes down what does not compile.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn keep_left_out(&self, file: &Path) -> Result<()> {
        let known = Known {
            hash: self.hash(),
            dropped: self.dropped.clone(),
        };
        write(file, serde_json::to_string(&known)?.as_bytes())
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            (&file.path, &file.text).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Writes the copy.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub(super) fn write(&mut self) -> Result<()> {
        for file in &mut self.files {
            file.rewritten = file.sites.rewrite(&file.text, &self.dropped);
        }
        let switch = [(Path::new(CRATES[0].0).join("src/mutant.rs"), SWITCH)];
        copy_tree(&self.source, &self.root, &switch, |path, bytes| {
            let mut text = match self.file(path) {
                Some(file) => file.rewritten.text.clone(),
                None => return bytes,
            };
            let names = CRATES
                .iter()
                .find(|(name, _)| path == format!("{name}/src/lib.rs"));
            if let Some((_, names)) = names {
                text.push_str(names);
            }
            text.into_bytes()
        })
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Builds something of the copy, leaving out more and more, until it compiles. Returns what cargo
    /// said, and whether anything was left out.
    ///
    /// # Errors
    ///
    /// If it fails for another reason than a mutant.
    pub(super) fn build(&mut self, line: &Invocation) -> Result<(String, bool)> {
        let mut has_dropped = false;
        loop {
            self.write()?;
            let (is_built, messages) = line.attempt(&self.root)?;
            if is_built {
                return Ok((messages, has_dropped));
            }
            let count = self.drop_what_fails(&messages)?;
            println!("{count} do not compile");
            has_dropped = true;
        }
    }

    fn drop_what_fails(&mut self, messages: &str) -> Result<usize> {
        let errors: Vec<_> = messages.lines().filter_map(error).collect();
        let before = self.dropped.clone();
        for error in &errors {
            if error["code"]["code"] == "E0015" {
                let name = called(error["message"].as_str().unwrap_or_default());
                self.dropped.consts.extend(name);
            }
            let blamed = self.blame(error, true, Rewritten::blame);
            self.dropped.sites.extend(blamed);
        }
        // What is wrong may also be that something else is gone.
        for suspicion in [Suspicion::Within, Suspicion::Unassigned, Suspicion::Beside] {
            if self.dropped == before {
                let blamed: Vec<_> = errors
                    .iter()
                    .flat_map(|error| match suspicion {
                        Suspicion::Within => self.blame(error, true, Rewritten::suspect),
                        Suspicion::Unassigned => self.assignments(error),
                        Suspicion::Beside => self.blame(error, false, Rewritten::blame),
                    })
                    .collect();
                self.dropped.sites.extend(blamed);
            }
        }
        if self.dropped == before {
            let texts = errors.iter().filter_map(|error| error["rendered"].as_str());
            bail!("the copy does not compile:\n{}", texts.collect::<String>());
        }
        let sites = self.dropped.sites.len() + self.dropped.consts.len();
        Ok(sites - before.sites.len() - before.consts.len())
    }

    fn blame(
        &self,
        error: &Value,
        is_primary: bool,
        who: impl Fn(&Rewritten, &std::ops::Range<usize>) -> Vec<u32>,
    ) -> Vec<u32> {
        let spans = error["spans"].as_array().into_iter().flatten();
        let spans = spans.filter(|span| span["is_primary"] == is_primary);
        let blamed = spans.filter_map(|span| {
            let file = self.file(span["file_name"].as_str()?)?;
            let at = |name: &str| span[name].as_u64().map(|at| at as usize);
            Some(who(&file.rewritten, &(at("byte_start")?..at("byte_end")?)))
        });
        blamed.flatten().collect()
    }

    /// The statements that give a value to the variable that has none.
    fn assignments(&self, error: &Value) -> Vec<u32> {
        let message = error["message"].as_str().unwrap_or_default();
        let Some(variable) = message.split('`').nth(1) else {
            return Vec::new();
        };
        let what = format!("`{variable} = ");
        let spans = error["spans"].as_array().into_iter().flatten();
        let files = spans.filter_map(|span| self.file(span["file_name"].as_str()?));
        let sites = files.flat_map(|file| &file.sites.sites);
        let gone = sites.filter(|site| site.what.starts_with(&what));
        gone.map(|site| site.number).collect()
    }
}

/// Who else may have to do with an error.
#[derive(Clone, Copy)]
enum Suspicion {
    /// What is in the place that the error is at.
    Within,
    /// What would give a variable its value.
    Unassigned,
    /// What is at the other places that the error names.
    Beside,
}

// Where the modules are that a file declares.
fn module_folder(path: &str) -> String {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    match name {
        "lib" | "mod" => format!("{folder}/"),
        _ => format!("{stem}/"),
    }
}

fn is_below(path: &str, absent: &BTreeSet<String>) -> bool {
    let is_it = |module: &String| {
        path.strip_prefix(module.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    absent.iter().any(is_it)
}

// What only the simulation has.
fn is_probe(path: &str) -> bool {
    path.ends_with("/probe.rs")
}

fn error(line: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(line).ok()?;
    let message = message.get("message")?;
    (message["level"] == "error").then(|| message.clone())
}

// The name of the function that a constant cannot call.
fn called(message: &str) -> Option<String> {
    let name = message.split('`').nth(1)?;
    let words = name.split("::").filter(|word| !word.starts_with('<'));
    words.last().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_tests_are_no_part() {
        let absent = BTreeSet::from(["a/src/table/model".to_owned()]);
        assert!(is_below("a/src/table/model.rs", &absent));
        assert!(is_below("a/src/table/model/more.rs", &absent));
        assert!(!is_below("a/src/table/models.rs", &absent));
        assert_eq!(module_folder("a/src/lib.rs"), "a/src/");
        assert_eq!(module_folder("a/src/table/mod.rs"), "a/src/table/");
        assert_eq!(module_folder("a/src/table.rs"), "a/src/table/");
    }

    #[test]
    fn the_function_that_must_be_constant_is_named() {
        let message = "cannot call non-const associated function `id::LeaseId::new` in constants";
        assert_eq!(called(message).as_deref(), Some("new"));
        let generic = "cannot call non-const method `Option::<u8>::of::<u8>` in constants";
        assert_eq!(called(generic).as_deref(), Some("of"));
        assert_eq!(called("no name"), None);
    }
}
