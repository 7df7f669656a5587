use lease_sim::{Engines, Plan, Profile, Report};
use serde_json::{Number, Value, json};

/// A page that shows a run, traced, on a timeline. It needs nothing but itself: no other file, no
/// network. `options` is what the command that repeats the run has behind the plan.
pub(crate) fn page(plan: &Plan, report: &Report, options: &str) -> String {
    let run = json!({
        "options": options,
        "seed": plan.seed.to_string(),
        "noise": plan.noise.to_string(),
        "profile": profile_of(plan).map(|profile| profile.to_string()),
        "plan": plan,
        // What the page saves: numbers in it must stay what they are.
        "plan_text": serde_json::to_string_pretty(plan).expect("a plan is plain data"),
        "report": report,
    });
    // The run comes last, for nothing may be put into what it says.
    TEMPLATE
        .replace("{{seed}}", &plan.seed.to_string())
        .replace("{{style}}", STYLE)
        .replace("{{script}}", &SCRIPTS.concat())
        .replacen("{{run}}", &for_script(exact(run)), 1)
}

const TEMPLATE: &str = include_str!("view/page.html");

const STYLE: &str = include_str!("view/page.css");

const SCRIPTS: [&str; 11] = [
    include_str!("view/words.js"),
    include_str!("view/model.js"),
    include_str!("view/lanes.js"),
    include_str!("view/brush.js"),
    include_str!("view/paint_lanes.js"),
    include_str!("view/paint_leases.js"),
    include_str!("view/axis.js"),
    include_str!("view/timeline.js"),
    include_str!("view/pointer.js"),
    include_str!("view/list.js"),
    include_str!("view/page.js"),
];

/// The profile that the plan is drawn with from its seed; `None` if it was cut down or written by
/// hand.
fn profile_of(plan: &Plan) -> Option<Profile> {
    let profiles = [Profile::Swarm, Profile::Lite, Profile::Heavy];
    let engines = [Engines::Both, Engines::Log, Engines::Raft, Engines::Alone];
    profiles.into_iter().find(|profile| {
        let mut drawn = engines.map(|engines| Plan::draw_with(plan.seed, *profile, engines));
        drawn.iter_mut().any(|drawn| drawn == plan)
    })
}

/// The value with each number that JavaScript would round as text.
fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) if !is_safe(&number) => Value::String(number.to_string()),
        Value::Array(values) => values.into_iter().map(exact).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, exact(value)))
            .collect(),
        other => other,
    }
}

fn is_safe(number: &Number) -> bool {
    let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    size.is_none_or(|size| size <= MAX_SAFE)
}

/// `Number.MAX_SAFE_INTEGER` of JavaScript.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// The value as JSON that no HTML parser takes for the end of a script: outside of strings JSON has
/// no `<`, and in strings it may be escaped.
fn for_script(value: Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use lease_sim::{Event, Traced, Violation};

    use super::*;

    const NASTY: &str = "</script><script>alert('x')</script> \"{{run}}\" <!-- \\ ü \u{2028}";

    fn plan() -> Plan {
        Plan::draw(7, Profile::Lite)
    }

    fn nasty() -> Report {
        Report {
            seed: 7,
            virtual_ms: 10,
            events: 1,
            hash: u64::MAX,
            violations: vec![Violation {
                at_ms: 10,
                property: NASTY.to_owned(),
                message: NASTY.to_owned(),
            }],
            trace: vec![Traced {
                at_ms: 10,
                event: Event::Broken {
                    node: 0,
                    message: NASTY.to_owned(),
                },
            }],
            ..Report::default()
        }
    }

    /// The data in a page, as a browser reads it.
    fn run_in(page: &str) -> Value {
        let start = "<script type=\"application/json\" id=\"run\">";
        let (_, rest) = page.split_once(start).expect("the data is there");
        let (text, _) = rest.split_once("</script>").expect("the data ends");
        serde_json::from_str(text).expect("the data is JSON")
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let page = page(&plan(), &Report::default(), "");
        for word in [
            "http:", "https:", "src=", "href=", "@import", "url(", "fetch(",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(!page.contains("{{"), "a marker is left");
    }

    #[test]
    fn the_page_has_words_for_every_parameter_event_and_action() {
        let words = include_str!("view/words.js");
        let has = |name: &str| words.contains(&format!("\n  {name}: ("));
        let parameters = serde_json::to_value(plan().parameters).expect("plain data");
        let names = parameters.as_object().expect("fields").keys();
        let missing: Vec<_> = names.filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for (source, kind) in [
            (include_str!("../event.rs"), "pub enum Event {"),
            (include_str!("../plan/action.rs"), "pub enum Action {"),
        ] {
            let (_, rest) = source.split_once(kind).expect("it is there");
            let (body, _) = rest.split_once("\n}").expect("it ends");
            let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
            let mut count = 0;
            for variant in variants.filter(|line| line.starts_with(char::is_uppercase)) {
                let name = variant.trim_end_matches([' ', '{', ',']);
                assert!(has(&snake_case(name)), "{name}");
                count += 1;
            }
            assert!(count > 10, "{kind}");
        }
    }

    fn snake_case(name: &str) -> String {
        let mut words = String::new();
        for c in name.chars() {
            if c.is_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.extend(c.to_lowercase());
        }
        words
    }

    #[test]
    fn no_message_breaks_out_of_the_data() {
        let page = page(&plan(), &nasty(), "");
        let scripts = |text: &str| text.matches("</script").count();
        assert_eq!(scripts(&page), scripts(TEMPLATE));
        assert!(!page.contains("alert('x')</"));
        let run = run_in(&page);
        let violation = &run["report"]["violations"][0];
        assert_eq!(violation["message"], NASTY);
        assert_eq!(violation["property"], NASTY);
        let event = &run["report"]["trace"][0]["event"];
        assert_eq!(event["broken"]["message"], NASTY);
    }

    #[test]
    fn numbers_stay_exact() {
        let run = run_in(&page(&plan(), &nasty(), ""));
        assert_eq!(run["report"]["hash"], u64::MAX.to_string());
        assert_eq!(run["report"]["virtual_ms"], 10);
        for (number, text) in [
            (i64::MIN, "-9223372036854775808"),
            (1 << 53, "9007199254740992"),
        ] {
            assert_eq!(exact(json!([number])), json!([text]));
        }
        assert_eq!(exact(json!(-7)), json!(-7));
        let text = run["plan_text"].as_str().expect("it is text");
        let saved: Plan = serde_json::from_str(text).expect("it is a plan");
        assert_eq!(saved, plan());
    }

    #[test]
    fn only_a_plan_as_drawn_is_repeated_by_its_seed() {
        let mut plan = plan();
        assert_eq!(run_in(&page(&plan, &nasty(), ""))["profile"], "lite");
        plan.actions.pop();
        assert_eq!(run_in(&page(&plan, &nasty(), ""))["profile"], Value::Null);
    }
}
