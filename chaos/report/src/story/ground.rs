//! What a scenario says of its ground: the conditions that are in force throughout, and the
//! stretches of time that its checks look at.

use chaos_engine::checks::CheckResult;
use chaos_engine::scenario::{Condition, Schedule, Window};

use crate::words::{self, list, short_s};

/// A sentence each.
pub(super) fn conditions(schedule: &Schedule) -> Vec<String> {
    schedule.in_force().map(condition).collect()
}

fn condition(condition: &Condition) -> String {
    // An action is plain data, which always serialises.
    let action = serde_json::to_value(&condition.action).unwrap_or_default();
    format!(
        "Throughout, in every arm, {} {} (the condition {}).",
        words::link(&condition.link),
        words::action(&action),
        condition.name
    )
}

/// What the stretches with a name are, and which checks look at them.
pub(super) fn windows(schedule: &Schedule, checks: &[CheckResult]) -> Option<String> {
    let all: Vec<String> = schedule.windows.iter().map(|w| window(w, checks)).collect();
    (!all.is_empty()).then(|| format!("Checks also look at stretches of time: {}.", list(&all)))
}

fn window(window: &Window, checks: &[CheckResult]) -> String {
    let from = window.at.as_secs_f64();
    let to = from + window.lasts.as_secs_f64();
    let about = checks.iter().filter(|c| names(&c.statement, &window.name));
    let about: Vec<String> = about.map(|c| c.id.clone()).collect();
    let about = match about.is_empty() {
        true => String::new(),
        false => format!(" ({})", list(&about)),
    };
    let (name, from, to) = (&window.name, short_s(from), short_s(to));
    format!("{name}, from second {from} to second {to}{about}")
}

/// Whether a statement looks at `during NAME`, or has a metric `@NAME`.
fn names(statement: &str, window: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || "-_".contains(c);
    ["@", "during "].iter().any(|before| {
        statement.match_indices(before).any(|(at, _)| {
            let rest = statement[at + before.len()..].trim_start();
            rest.split(|c| !of_a_name(c)).next() == Some(window)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_engine::Scenario;

    const SCENARIO: &str = r#"
schema_version = 1
name = "ground"
shows = "x"
hypothesis = "x"
repeats = 1
[load]
warm_up = "2s"
duration = "20s"
[[load.stream]]
mix = "view"
rate = 10
[[condition]]
name = "unhurried"
link = "gateway-product"
action = { delay = { time = "2s" } }
[[condition]]
name = "left-out"
link = "gateway-product"
action = { delay = { time = "1s" } }
inject = false
[[window]]
name = "wave"
at = "4s"
for = "2500ms"
[arms.one]
[[check]]
id = "calm"
that = "unsuccessful(one) == 0 during wave"
because = "x"
"#;

    fn schedule() -> Schedule {
        let scenario = Scenario::parse(SCENARIO, "ground.toml").unwrap_or_else(|e| panic!("{e}"));
        scenario.schedule(false).clone()
    }

    #[test]
    fn conditions_in_force_are_told_and_others_are_not() {
        assert_eq!(
            conditions(&schedule()),
            [
                "Throughout, in every arm, gateway → product answered all requests 2s late (the condition unhurried)."
            ]
        );
    }

    #[test]
    fn windows_are_told_with_their_checks() {
        let check = |id: &str, statement: &str| -> CheckResult {
            serde_json::from_value(serde_json::json!({
                "id": id, "statement": statement, "because": "", "precondition": false, "verdict": "pass",
                "measured": null, "low": null, "high": null, "bound": null, "n": 1, "arm": null,
                "this_run_only": false, "more_repeats": null, "evidence": ""
            }))
            .unwrap()
        };
        let checks = [
            check("calm", "unsuccessful(one) == 0 during wave"),
            check("at", "p99(one)@wave < 50ms"),
            check("other", "requests(one) == 0 during wave-two"),
            check("another", "requests(one)@wave-two == 0"),
        ];
        assert_eq!(
            windows(&schedule(), &checks).unwrap(),
            "Checks also look at stretches of time: wave, from second 4 to second 6.5 (calm and at)."
        );
        let none = Schedule {
            windows: Vec::new(),
            ..schedule()
        };
        assert_eq!(windows(&none, &checks), None);
    }
}
