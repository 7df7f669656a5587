use lease_sim::{Action, Plan};
use serde_json::Value;

use super::Edit;

/// Edits of the whole plan: every hold becomes a grant, leases have small ids, and all happens
/// earlier.
pub(super) fn whole(plan: &Plan) -> Vec<Edit> {
    let mut edits: Vec<Edit> = vec![Box::new(with_small_ids)];
    for place in 0..plan.actions.len() {
        edits.push(Box::new(move |plan| granted(plan, place)));
        edits.push(Box::new(move |plan| earlier(plan, place, 0)));
        edits.push(Box::new(move |plan| earlier(plan, place, 100)));
        edits.push(Box::new(move |plan| earlier(plan, place, 1_000)));
    }
    edits
}

/// Edits of one number of one action: smaller, or at least rounder.
pub(super) fn one_by_one(plan: &Plan) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for (place, timed) in plan.actions.iter().enumerate() {
        for (path, number) in numbers(&timed.action) {
            for simpler in simpler(name_of(&path), number) {
                let path = path.clone();
                edits.push(Box::new(move |plan| {
                    with_number(plan, place, &path, simpler)
                }));
            }
        }
        for at_ms in simpler("at_ms", timed.at_ms as i64) {
            edits.push(Box::new(move |plan| at(plan, place, at_ms as u64)));
        }
    }
    edits
}

/// Numbers that are simpler than this one, the simplest first: fewer digits that are not zeros at
/// the end, or a smaller one of as many. So no edit can undo another for ever.
fn simpler(name: &str, number: i64) -> Vec<i64> {
    let candidates: Vec<i64> = match name {
        // Which one is only a name.
        "node" | "key" => (0..number).collect(),
        "lease" => (1..number)
            .chain((number < 0).then_some(1))
            .take(4)
            .collect(),
        _ => {
            let rounded = [1000, 100, 10].map(|unit| number / unit * unit);
            let next = (1..=20).contains(&number).then(|| number - 1);
            let some = [0, 1, number / 4, number / 2].into_iter();
            some.chain(next).chain(rounded).collect()
        }
    };
    let mut candidates: Vec<i64> = candidates
        .into_iter()
        .filter(|candidate| cost(*candidate) < cost(number))
        .collect();
    candidates.sort_by_key(|candidate| cost(*candidate));
    candidates.dedup();
    candidates
}

/// How hard a number is to read.
fn cost(number: i64) -> (u32, bool, u64) {
    let mut digits = number.unsigned_abs();
    while digits > 0 && digits.is_multiple_of(10) {
        digits /= 10;
    }
    let count = digits.checked_ilog10().map_or(0, |log| log + 1);
    (count, number < 0, number.unsigned_abs())
}

/// The numbers of an action: where they are in its JSON, so that a new kind of action needs no line
/// here.
fn numbers(action: &Action) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    collect(&json(action), "", &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut Vec<(String, i64)>) {
    match value {
        Value::Number(number) => {
            found.extend(number.as_i64().map(|number| (path.to_owned(), number)));
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn json(action: &Action) -> Value {
    serde_json::to_value(action).expect("an action is plain data")
}

fn with_number(plan: &Plan, place: usize, path: &str, number: i64) -> Option<Plan> {
    let mut plan = plan.clone();
    let timed = plan.actions.get_mut(place)?;
    let mut value = json(&timed.action);
    let old = value.pointer(path)?.as_i64()?;
    *value.pointer_mut(path)? = number.into();
    timed.action = serde_json::from_value(value).ok()?;
    (cost(number) < cost(old)).then_some(plan)
}

/// The action with the numbers of this name mapped; `None` if one is mapped to nothing.
pub(super) fn renumbered(
    action: &Action,
    name: &str,
    map: impl Fn(i64) -> Option<i64>,
) -> Option<Action> {
    let mut value = json(action);
    for (path, number) in numbers(action) {
        if name_of(&path) == name {
            *value.pointer_mut(&path)? = map(number)?.into();
        }
    }
    serde_json::from_value(value).ok()
}

/// The leases get the ids 1, 2 and so on, in the order in which they come.
fn with_small_ids(plan: &Plan) -> Option<Plan> {
    let mut ids: Vec<i64> = Vec::new();
    let mut plan = plan.clone();
    for timed in &mut plan.actions {
        for (path, id) in numbers(&timed.action) {
            if name_of(&path) == "lease" && !ids.contains(&id) {
                ids.push(id);
            }
        }
        timed.action = renumbered(&timed.action, "lease", |id| {
            let place = ids.iter().position(|known| *known == id)?;
            Some(place as i64 + 1)
        })?;
    }
    Some(plan)
}

/// A hold that renews nothing is a grant.
fn granted(plan: &Plan, place: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let timed = plan.actions.get_mut(place)?;
    let Action::Hold { lease, ttl, .. } = timed.action else {
        return None;
    };
    timed.action = Action::Grant { lease, ttl };
    Some(plan)
}

/// The action comes so long after the one before it, and all later ones with it.
fn earlier(plan: &Plan, place: usize, gap_ms: u64) -> Option<Plan> {
    let mut plan = plan.clone();
    let before_ms = match place.checked_sub(1) {
        Some(before) => plan.actions.get(before)?.at_ms,
        None => 0,
    };
    let here_ms = plan.actions.get(place)?.at_ms;
    let by_ms = here_ms.checked_sub(before_ms + gap_ms)?;
    for timed in &mut plan.actions[place..] {
        timed.at_ms -= by_ms;
    }
    Some(plan)
}

fn at(plan: &Plan, place: usize, at_ms: u64) -> Option<Plan> {
    let mut plan = plan.clone();
    let timed = plan.actions.get_mut(place)?;
    let is_simpler = cost(at_ms as i64) < cost(timed.at_ms as i64);
    timed.at_ms = at_ms;
    plan.actions.sort_by_key(|timed| timed.at_ms);
    is_simpler.then_some(plan)
}

#[cfg(test)]
mod tests {
    use lease_sim::{End, Profile};

    use super::*;

    #[test]
    fn simpler_numbers_are_rounder_or_smaller() {
        assert_eq!(simpler("for_ms", 1234), [0, 1, 1000, 1200, 308, 617, 1230]);
        assert!(simpler("for_ms", 0).is_empty());
        assert_eq!(simpler("ttl", 3), [0, 1, 2]);
        assert_eq!(simpler("node", 2), [0, 1]);
        assert_eq!(simpler("lease", -4), [1]);
        assert_eq!(simpler("lease", 3), [1, 2]);
    }

    #[test]
    fn a_way_of_ever_simpler_numbers_ends() {
        for start in [i64::MIN, -7, 1, 99, 12_345, i64::MAX] {
            let mut number = start;
            let mut steps = 0;
            while let Some(last) = simpler("for_ms", number).last() {
                number = *last;
                steps += 1;
                assert!(steps < 10_000, "{start}");
            }
        }
    }

    #[test]
    fn numbers_are_found_wherever_they_are() {
        let cut = Action::Cut {
            from: End::Node(2),
            to: End::Log,
            for_ms: 9,
        };
        let mut found = numbers(&cut);
        found.sort();
        let expected = [("/cut/for_ms", 9), ("/cut/from/node", 2)];
        assert_eq!(found, expected.map(|(path, n)| (path.to_owned(), n)));
        let moved = renumbered(&cut, "node", |node| Some(node - 1));
        assert_eq!(moved.expect("it is one").node(), Some(1));
        assert_eq!(renumbered(&cut, "node", |_| None), None);
    }

    #[test]
    fn edits_do_what_they_say() {
        let mut plan = Plan::draw(1, Profile::Lite);
        plan.actions.truncate(3);
        for (timed, at_ms) in plan.actions.iter_mut().zip([700, 5_000, 9_000]) {
            timed.at_ms = at_ms;
            timed.action = Action::Hold {
                lease: -(at_ms as i64),
                ttl: 5,
                every_ms: 1234,
                times: 3,
            };
        }
        let times = |plan: Option<Plan>| -> Vec<u64> {
            let plan = plan.expect("it can be done");
            plan.actions.iter().map(|timed| timed.at_ms).collect()
        };
        assert_eq!(times(earlier(&plan, 1, 100)), [700, 800, 4_800]);
        assert_eq!(times(earlier(&plan, 0, 0)), [0, 4_300, 8_300]);
        assert_eq!(earlier(&plan, 0, 1_000), None);
        assert_eq!(times(at(&plan, 2, 600)), [600, 700, 5_000]);
        assert_eq!(at(&plan, 2, 9_001), None);
        let small = with_small_ids(&plan).expect("always");
        let leases = small.actions.iter().map(|timed| match timed.action {
            Action::Hold { lease, .. } => lease,
            _ => panic!("there are only holds"),
        });
        assert_eq!(leases.collect::<Vec<_>>(), [1, 2, 3]);
        let granted = granted(&small, 1).expect("it is a hold");
        assert_eq!(
            granted.actions[1].action,
            Action::Grant { lease: 2, ttl: 5 }
        );
        assert!(with_number(&plan, 0, "/hold/times", 2).is_some());
        assert_eq!(with_number(&plan, 0, "/hold/times", 4), None);
        assert_eq!(with_number(&plan, 0, "/hold/node", 0), None);
    }
}
