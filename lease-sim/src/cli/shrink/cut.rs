use lease_sim::{Action, Plan};

use super::Edit;

/// Leaves out what would have happened after the failure.
pub(super) fn after(failed_at_ms: u64) -> Edit {
    Box::new(move |plan| keep(plan, |at_ms, _| at_ms <= failed_at_ms))
}

/// Leaves out all faults, all that clients do, or all actions of a kind.
pub(super) fn kinds(plan: &Plan) -> Vec<Edit> {
    let faults: Edit = Box::new(|plan| keep(plan, |_, action| action.is_of_client()));
    let clients: Edit = Box::new(|plan| keep(plan, |_, action| !action.is_of_client()));
    let mut kinds: Vec<String> = Vec::new();
    for timed in &plan.actions {
        let kind = kind_of(&timed.action);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let each = kinds.into_iter().map(|kind| -> Edit {
        Box::new(move |plan| keep(plan, |_, action| kind_of(action) != kind))
    });
    [faults, clients].into_iter().chain(each).collect()
}

/// Leaves out so many actions in a row. The last come first: so an edit leaves the places of the
/// next ones alone.
pub(super) fn chunks(plan: &Plan, size: usize) -> Vec<Edit> {
    let starts = (0..plan.actions.len()).step_by(size).rev();
    starts
        .map(|start| -> Edit {
            Box::new(move |plan| without(plan, |place| (start..start + size).contains(&place)))
        })
        .collect()
}

/// Leaves out two actions, wherever they are.
pub(super) fn pairs(plan: &Plan) -> Vec<Edit> {
    let length = plan.actions.len();
    let pairs = (0..length)
        .rev()
        .flat_map(|late| (0..late).rev().map(move |early| (early, late)));
    pairs
        .map(|(early, late)| -> Edit {
            Box::new(move |plan| without(plan, |place| place == early || place == late))
        })
        .collect()
}

fn without(plan: &Plan, is_out: impl Fn(usize) -> bool) -> Option<Plan> {
    let mut places = 0..;
    let mut plan = plan.clone();
    plan.actions.retain(|_| !places.next().is_some_and(&is_out));
    Some(plan)
}

fn keep(plan: &Plan, stays: impl Fn(u64, &Action) -> bool) -> Option<Plan> {
    let mut plan = plan.clone();
    plan.actions
        .retain(|timed| stays(timed.at_ms, &timed.action));
    Some(plan)
}

/// The name of an action's variant.
fn kind_of(action: &Action) -> String {
    let text = format!("{action:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next();
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use lease_sim::Profile;

    use super::*;

    #[test]
    fn edits_leave_out_what_they_say() {
        let plan = Plan::draw(4, Profile::Swarm);
        let length = plan.actions.len();
        assert!(length > 10);
        let lengths = |edits: Vec<Edit>| -> Vec<usize> {
            let left = edits.iter().filter_map(|edit| edit(&plan));
            left.map(|plan| plan.actions.len()).collect()
        };
        assert_eq!(lengths(chunks(&plan, length)), [0]);
        assert_eq!(lengths(chunks(&plan, length - 1)), [length - 1, 1]);
        assert!(lengths(pairs(&plan)).iter().all(|left| *left == length - 2));
        assert_eq!(pairs(&plan).len(), length * (length - 1) / 2);
        let last_ms = plan.actions[length - 1].at_ms;
        assert_eq!(lengths(vec![after(last_ms)]), [length]);
        assert!(lengths(vec![after(last_ms - 1)])[0] < length);
        let kinds = lengths(kinds(&plan));
        let left_out: usize = kinds[2..].iter().map(|left| length - left).sum();
        assert_eq!(left_out, length);
        assert_eq!(kinds[0] + kinds[1], length);
    }
}
