use lease_sim::{Action, Parameters, Plan};

use super::Edit;

/// Simplifies everything, which spares much if nothing of it matters.
pub(super) fn all_at_once() -> Vec<Edit> {
    vec![
        Box::new(|plan| {
            let mut plan = plan.clone();
            for simplify in SIMPLIFICATIONS {
                simplify(&mut plan.parameters);
            }
            Some(plan)
        }),
        shorter(|last_ms, _| last_ms + 1),
    ]
}

/// Simplifies one thing at a time: a shorter time, fewer members, then the rest.
pub(super) fn one_by_one(plan: &Plan) -> Vec<Edit> {
    let mut edits: Vec<Edit> = vec![
        shorter(|last_ms, _| last_ms + 1),
        shorter(|last_ms, _| (last_ms + 1).next_multiple_of(1000)),
        shorter(|last_ms, faulty_ms| (last_ms + faulty_ms) / 2 + 1),
        Box::new(|plan| {
            let longest = plan
                .actions
                .iter()
                .filter_map(|timed| ttl_of(&timed.action));
            let longest = longest.max().unwrap_or(1);
            let mut plan = plan.clone();
            plan.parameters.longest_ttl = longest.min(plan.parameters.longest_ttl);
            Some(plan)
        }),
    ];
    let members = (0..plan.parameters.nodes).rev();
    edits.extend(members.map(|node| -> Edit { Box::new(move |plan| without_member(plan, node)) }));
    edits.extend(SIMPLIFICATIONS.iter().map(|simplify| -> Edit {
        Box::new(|plan| {
            let mut plan = plan.clone();
            simplify(&mut plan.parameters);
            Some(plan)
        })
    }));
    edits
}

/// Each makes a parameter as harmless as it can be. None of them undoes another.
const SIMPLIFICATIONS: &[fn(&mut Parameters)] = &[
    |it| it.lost_per_mille = 0,
    |it| it.repeated_per_mille = 0,
    |it| it.duplicated_per_mille = 0,
    |it| it.apply_lag_ms = 0,
    |it| it.promotion_lag_ms = 0,
    |it| it.extend_ms = 0,
    |it| it.latency_ms = (0, 1),
    |it| it.drift_ppm.fill(0),
    |it| it.min_ttl.fill(1),
    |it| it.durable = true,
    |it| it.commit_interval_ms = 100,
    |it| it.revoke_rate_per_sec = 0,
    |it| it.expired_batch = 500,
    |it| it.expired_capacity = 16,
    |it| it.checkpoint_interval_ms = 300_000,
    |it| it.retry_interval_ms = 3_000,
    |it| it.core = it.nodes,
    |it| it.hash_seed = 0,
    |it| it.lost_checkpoints_per_mille = 0,
    |it| it.refused_per_mille = 0,
    |it| it.clock_lag_ms = 0,
    |it| it.clock_origin_ms = 0,
    |it| it.piece = 0,
    |it| it.tags = 0,
    |it| it.meanwhile_per_mille = 0,
    |it| it.remembered = 0,
    |it| it.dropped_per_mille = 0,
    |it| {
        if let Some(alone) = &mut it.alone {
            (alone.replays_items, alone.pushes_checkpoints) = (false, false);
        }
    },
    |it| it.alone.iter_mut().for_each(|it| it.delivers = false),
    |it| it.alone.iter_mut().for_each(|it| it.promotes_after_ms = 0),
    |it| it.alone.iter_mut().for_each(|it| it.strange_rows = false),
    |it| it.alone.iter_mut().for_each(|it| it.keeps_rows = false),
    |it| it.alone.iter_mut().for_each(|it| it.ids_of_member = false),
    |it| it.alone.iter_mut().for_each(|it| it.max_writes = 0),
    |it| it.alone.iter_mut().for_each(|it| it.max_items = 0),
    |it| {
        if let Some(alone) = &mut it.alone {
            alone.polls_checkpoints = false;
        }
    },
    |it| {
        if let Some(alone) = &mut it.alone {
            alone.loses_checkpoints = false;
        }
    },
];

/// Gives the faults less time, of that of the last action and what they had.
fn shorter(time: fn(u64, u64) -> u64) -> Edit {
    Box::new(move |plan| {
        let last_ms = plan.actions.last().map_or(0, |timed| timed.at_ms);
        let mut plan = plan.clone();
        let faulty_ms = &mut plan.parameters.faulty_ms;
        *faulty_ms = time(last_ms, *faulty_ms).min(*faulty_ms);
        Some(plan)
    })
}

const fn ttl_of(action: &Action) -> Option<i64> {
    match action {
        Action::Grant { ttl, .. } | Action::Hold { ttl, .. } => Some(*ttl),
        _ => None,
    }
}

/// Leaves out a member that no action names; the ones after it move up.
fn without_member(plan: &Plan, node: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let it = &mut plan.parameters;
    if it.nodes < 2 || node >= it.nodes {
        return None;
    }
    it.nodes -= 1;
    if node < it.core && it.core > 1 {
        it.core -= 1;
    }
    it.core = it.core.min(it.nodes);
    it.drift_ppm.remove(node);
    it.min_ttl.remove(node);
    for timed in &mut plan.actions {
        timed.action = super::numbers::renumbered(&timed.action, "node", |named| {
            match (named as usize).cmp(&node) {
                std::cmp::Ordering::Less => Some(named),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => Some(named - 1),
            }
        })?;
    }
    Some(plan)
}

#[cfg(test)]
mod tests {
    use lease_sim::{End, Profile, Timed};

    use super::*;

    fn plan(actions: &[Action]) -> Plan {
        let mut plan = Plan::draw(1, Profile::Lite);
        plan.actions = actions
            .iter()
            .map(|action| Timed {
                at_ms: 5,
                action: *action,
            })
            .collect();
        plan
    }

    #[test]
    fn only_a_member_that_no_action_names_is_left_out() {
        let plan = plan(&[
            Action::Elect { node: 0 },
            Action::Cut {
                from: End::Log,
                to: End::Node(2),
                for_ms: 9,
            },
        ]);
        assert_eq!(without_member(&plan, 0), None);
        assert_eq!(without_member(&plan, 2), None);
        assert_eq!(without_member(&plan, 3), None);
        let small = without_member(&plan, 1).expect("nothing names it");
        assert_eq!(small.check(), Ok(()));
        assert_eq!(small.parameters.nodes, 2);
        assert_eq!(small.actions[0].action, Action::Elect { node: 0 });
        assert_eq!(small.actions[1].action.node(), Some(1));
    }

    #[test]
    fn every_simplification_is_sound_and_stays() {
        for seed in 0..100 {
            let mut plan = Plan::draw(seed, Profile::Heavy);
            for edit in all_at_once() {
                plan = edit(&plan).expect("always");
            }
            assert_eq!(plan.check(), Ok(()));
            let mut again = plan.clone();
            for simplify in SIMPLIFICATIONS {
                simplify(&mut again.parameters);
                assert_eq!(again, plan);
            }
            for edit in one_by_one(&plan) {
                let small = edit(&plan);
                assert!(small.is_none_or(|plan| plan.check().is_ok()));
            }
        }
    }
}
