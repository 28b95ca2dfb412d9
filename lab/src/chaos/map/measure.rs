//! What a point's run came to.

use chaos_engine::RunResult;
use chaos_engine::checks::{Selector, Window};
use chaos_engine::scenario::map::LOOK;
use chaos_report::map::Measured;

/// The share that was answered while an arm was looked at, over its repeats that count; or why
/// there is none.
pub(super) fn measured(result: &RunResult, arm: &str) -> Measured {
    if let Some(why) = against(result, arm) {
        return Measured::nothing(why);
    }
    let look = Window::DuringFault(LOOK.to_owned());
    let (mut answered, mut requests) = (0, 0);
    for trial in result.trials(arm) {
        let tally = trial.tally(&look, &Selector::All);
        answered += tally.outcomes.success();
        requests += tally.requests();
    }
    Measured::share(answered, requests)
}

/// What speaks against a measurement: no trial that counts, or a fault that did not act in it.
fn against(result: &RunResult, arm: &str) -> Option<String> {
    if result.trials(arm).is_empty() {
        let void = result.void_trials.iter().rfind(|v| v.arm == arm);
        let why = void.map(|v| v.reason.clone());
        let why = why.or_else(|| result.run.stopped.clone());
        return Some(why.unwrap_or_else(|| "no trial of it counts".to_owned()));
    }
    let of_arm = format!("in arm {arm},");
    let reasons = result.reasons.iter();
    let idle = reasons
        .into_iter()
        .find(|why| why.contains(&of_arm) && why.contains("did not act"));
    idle.cloned()
}

#[cfg(test)]
mod tests {
    use chaos_engine::runlog::{Entry, Header};
    use chaos_engine::scenario::map::Point;
    use serde_json::{Value, json};

    use super::*;

    /// The log of a point: `trials` are arm, why it is void, and whether the dip acted.
    fn result(trials: &[(&str, Option<&str>, bool)]) -> RunResult {
        let header = Header {
            schema_version: 1,
            scenario: "retry-storm".to_owned(),
            source: include_str!("../../../../chaos/scenarios/retry-storm.toml").to_owned(),
            quick: true,
            point: Some(Point {
                trigger: std::time::Duration::from_secs(2),
                rate: 100.0,
            }),
            repeats: 1,
            arms: vec!["naive".to_owned(), "grpc-a6".to_owned()],
            ..Header::default()
        };
        let mut entries = vec![Entry::Run(Box::new(header))];
        let line = |value: Value| serde_json::from_value::<Entry>(value).unwrap();
        for (i, (arm, void, acted)) in trials.iter().enumerate() {
            let cell = |faults: &[&str], ok: u64, failed: u64| {
                json!({"phase": "after", "faults": faults, "op": "view", "stream": "0", "ok": ok,
                       "degraded": 0, "rejected": 0, "failed": failed, "hdr": ""})
            };
            let acted = u64::from(*acted);
            entries.extend(
                [
                    json!({"type": "trial", "trial": i, "arm": arm, "repeat": 1, "go": 1, "seed": 1,
                           "reset_us": 0, "policies": {}}),
                    json!({"type": "inject", "trial": i, "t_us": 3_000_000, "done_us": 3_000_000,
                           "fault": "dip", "link": "gateway-product"}),
                    json!({"type": "frame", "trial": i, "second": 26, "links": [], "breakers": {},
                           "cells": [cell(&["look"], 30, 70), cell(&[], 500, 0)]}),
                    json!({"type": "frame", "trial": i, "second": 27, "links": [], "breakers": {},
                           "cells": [cell(&["look"], 10, 90)]}),
                    json!({"type": "acted", "trial": i, "fault": "dip", "by": "l7",
                           "matched": acted, "acted": acted}),
                    json!({"type": "trial_end", "trial": i, "void": void}),
                ]
                .map(line),
            );
        }
        entries.push(line(json!({"type": "end", "stopped": null})));
        RunResult::from_entries(&entries).unwrap()
    }

    #[test]
    fn what_counts_is_due_in_the_look() {
        let result = result(&[("naive", None, true)]);
        assert_eq!(measured(&result, "naive"), Measured::share(40, 200));
    }

    #[test]
    fn a_void_trial_and_a_fault_that_did_not_act_are_no_measurement() {
        let result = result(&[
            ("naive", Some("late arrivals"), true),
            ("grpc-a6", None, false),
        ]);
        let naive = measured(&result, "naive");
        assert_eq!(naive, Measured::nothing("late arrivals"));
        let idle = measured(&result, "grpc-a6").why.unwrap();
        assert!(idle.contains("the fault `dip` did not act"), "{idle}");
    }

    #[test]
    fn an_arm_that_was_not_reached_is_no_measurement() {
        let result = result(&[("naive", None, true)]);
        let other = measured(&result, "grpc-a6");
        assert_eq!((other.standing, other.requests), (None, 0));
    }
}
