use toml::{Table, Value};

use crate::workspace::Member;

/// The flags of cargo under which a crate is to be built alone: no feature, the default ones, all
/// of them; less what would only repeat another.
pub(super) fn feature_sets(member: &Member) -> Vec<&'static [&'static str]> {
    let default = default_features(member);
    let all = has_features(member);
    let mut sets: Vec<&'static [&'static str]> = Vec::new();
    if default || all {
        sets.push(&["--no-default-features"]);
    }
    if default || !all {
        sets.push(&[]);
    }
    if all {
        sets.push(&["--all-features"]);
    }
    sets
}

fn default_features(member: &Member) -> bool {
    let default = member.get(&["features", "default"]);
    default
        .and_then(Value::as_array)
        .is_some_and(|names| !names.is_empty())
}

// Whether there is a feature beside `default`; an optional dependency is one.
fn has_features(member: &Member) -> bool {
    let table = member.get(&["features"]).and_then(Value::as_table);
    let named = table.is_some_and(|features| features.keys().any(|name| name != "default"));
    named
        || member
            .dependencies()
            .iter()
            .any(|d| is_optional(d.declaration))
}

fn is_optional(declaration: &Value) -> bool {
    let get = |table: &Table| table.get("optional").and_then(Value::as_bool);
    declaration.as_table().and_then(get).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(rest: &str) -> Vec<String> {
        let member = Member::parse(&format!("[package]\nname = 'x'\n{rest}"));
        let sets = feature_sets(&member);
        sets.iter().map(|flags| flags.join(" ")).collect()
    }

    #[test]
    fn a_crate_without_features_is_built_once() {
        assert_eq!(sets(""), [""]);
        assert_eq!(sets("[features]\ndefault = []\n"), [""]);
    }

    #[test]
    fn without_default_features_the_default_is_none() {
        let twice = ["--no-default-features", "--all-features"];
        assert_eq!(sets("[features]\nmore = []\n"), twice);
        assert_eq!(
            sets("[dependencies]\na = { version = '1', optional = true }\n"),
            twice
        );
    }

    #[test]
    fn default_features_are_built_too() {
        assert_eq!(
            sets("[features]\ndefault = ['std']\nstd = []\ntesting = []\n"),
            ["--no-default-features", "", "--all-features"]
        );
    }
}
