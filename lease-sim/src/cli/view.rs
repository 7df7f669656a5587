use lease_sim::{Plan, Report};

/// A page that shows a run: the placeholder of the timeline.
pub(crate) fn page(plan: &Plan, report: &Report) -> String {
    format!(
        "<!doctype html><title>seed {}</title><p>{} events",
        plan.seed, report.events
    )
}
