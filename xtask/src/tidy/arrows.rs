use super::Problem;
use crate::workspace::{Dependency, Kind, Member, Workspace};

/// Crates that the drawing of the workspace lacks, and crates beyond the ceiling.
pub(super) fn known_crates(workspace: &Workspace) -> Vec<Problem> {
    let stranger = |member: &&Member| allowed(&member.name).is_none();
    let mut problems: Vec<_> = workspace
        .members
        .iter()
        .filter(stranger)
        .map(|member| {
            let text = format!("{} has no row in xtask's ARROWS", member.name);
            Problem::new(&member.manifest_path, text)
        })
        .collect();
    if workspace.members.len() > CEILING {
        let text = format!("more than {CEILING} crates: which two are one?");
        problems.push(Problem::new("Cargo.toml", text));
    }
    problems
}

/// Dependencies between crates of the workspace that are not drawn.
pub(super) fn forbidden_arrows(workspace: &Workspace) -> Vec<Problem> {
    workspace
        .members
        .iter()
        .flat_map(|member| {
            let inner = |dependency: &Dependency<'_>| workspace.has_member(&dependency.package);
            let dependencies = member.dependencies().into_iter().filter(inner);
            dependencies.filter_map(|dependency| forbidden(member, &dependency))
        })
        .collect()
}

/// The drawing in the design: which crates a crate may be built from.
const ARROWS: &[(&str, &[&str])] = &[
    ("lease-queue", &[]),
    ("lease-core", &["lease-queue"]),
    ("lease-pb", &["lease-core"]),
    ("lease-backend", &["lease-core", "lease-pb"]),
    ("lease-http", &["lease-core", "lease-pb"]),
    (
        "lease-raft",
        &["lease-backend", "lease-core", "lease-http", "lease-pb"],
    ),
    (
        "lease",
        &[
            "lease-backend",
            "lease-core",
            "lease-http",
            "lease-pb",
            "lease-queue",
            "lease-raft",
        ],
    ),
    (
        "lease-sim",
        &[
            "lease-backend",
            "lease-core",
            "lease-http",
            "lease-pb",
            "lease-queue",
            "lease-raft",
        ],
    ),
    (
        "lease-bench",
        &[
            "lease",
            "lease-backend",
            "lease-core",
            "lease-http",
            "lease-pb",
            "lease-queue",
            "lease-raft",
            "lease-sim",
        ],
    ),
    (
        "lease-interop",
        &["lease-backend", "lease-core", "lease-http"],
    ),
    ("xtask", &[]),
];

const CEILING: usize = 12;

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    let row = ARROWS.iter().find(|(from, _)| *from == name);
    row.map(|(_, to)| *to)
}

fn forbidden(member: &Member, dependency: &Dependency<'_>) -> Option<Problem> {
    let (from, to) = (&*member.name, &*dependency.package);
    let fine = match dependency.kind {
        Kind::Normal | Kind::Build => allowed(from).is_some_and(|row| row.contains(&to)),
        Kind::Dev => may_test_with(from, to),
    };
    (!fine).then(|| {
        let text = format!("the arrow from {from} to {to} is not drawn");
        Problem::new(&member.manifest_path, text)
    })
}

// Tests may use any crate but the tool and the crates that are built from the tested one: such a
// test belongs to the upper crate, and would meet the types of the lower one twice.
fn may_test_with(from: &str, to: &str) -> bool {
    from != "xtask" && to != "xtask" && from != to && !reaches(to, from)
}

fn reaches(from: &str, to: &str) -> bool {
    let row = allowed(from).unwrap_or_default();
    row.iter().any(|next| *next == to || reaches(next, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(from: &str, kind: &str, to: &str) -> Vec<Problem> {
        let manifest = |name: &str| Member::parse(&format!("[package]\nname = '{name}'\n"));
        let user = format!("[package]\nname = '{from}'\n[{kind}]\n{to} = {{ workspace = true }}\n");
        let workspace = Workspace {
            root: "".into(),
            manifest: toml::Table::new(),
            members: vec![Member::parse(&user), manifest(to)],
        };
        forbidden_arrows(&workspace)
    }

    #[test]
    fn arrows_keep_to_the_drawing() {
        let cases = [
            ("lease-core", "dependencies", "lease-queue", true),
            ("lease-core", "dependencies", "lease-pb", false),
            ("lease-backend", "dependencies", "lease-queue", false),
            ("lease-core", "build-dependencies", "lease-backend", false),
            ("lease-bench", "dependencies", "lease-sim", true),
            ("lease-sim", "dependencies", "lease-bench", false),
            ("xtask", "dependencies", "lease-queue", false),
            (
                "lease-core",
                "target.'cfg(unix)'.dependencies",
                "lease-pb",
                false,
            ),
            ("lease-core", "dev-dependencies", "lease-backend", false),
            ("lease-queue", "dev-dependencies", "lease-core", false),
            ("lease-backend", "dev-dependencies", "lease-queue", true),
            ("lease-backend", "dev-dependencies", "lease-http", true),
            ("lease-http", "dev-dependencies", "lease-backend", true),
            ("lease-pb", "dev-dependencies", "xtask", false),
            ("xtask", "dev-dependencies", "lease-core", false),
        ];
        for (from, kind, to, fine) in cases {
            let found = problems(from, kind, to);
            assert_eq!(found.is_empty(), fine, "{from} {kind} {to}: {found:?}");
        }
    }

    #[test]
    fn a_stranger_and_a_crate_beyond_the_ceiling_are_told() {
        let member = |name: &str| Member::parse(&format!("[package]\nname = '{name}'\n"));
        let mut workspace = Workspace {
            root: "".into(),
            manifest: toml::Table::new(),
            members: vec![member("lease-core"), member("stranger")],
        };
        assert_eq!(known_crates(&workspace).len(), 1);
        workspace.members = (0..=CEILING).map(|_| member("lease-core")).collect();
        assert_eq!(known_crates(&workspace).len(), 1);
    }

    #[test]
    fn the_drawing_names_only_crates_that_it_has_and_no_circle() {
        for (from, to) in ARROWS {
            assert!(to.iter().all(|name| allowed(name).is_some()), "{from}");
            assert!(!reaches(from, from), "{from}");
        }
    }
}
