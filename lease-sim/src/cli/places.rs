use std::env;
use std::path::{Path, PathBuf};

/// A file or folder of this project, wherever the caller stands: below that folder as a path from
/// there, elsewhere as a path from the root of the disk.
pub(super) fn of_project(path: &str) -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    seen_from(&here, &root().join(path))
}

fn root() -> &'static Path {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member
        .parent()
        .expect("the crate is a folder of the project")
}

fn seen_from(here: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_seen_from_here() {
        let path = root().join("lease-sim/corpus");
        assert_eq!(seen_from(root(), &path), Path::new("lease-sim/corpus"));
        assert_eq!(
            seen_from(&root().join("lease-sim"), &path),
            Path::new("corpus")
        );
        assert_eq!(seen_from(&root().join("docs"), &path), path);
    }
}
