use proptest::prelude::*;
use serde_json::json;

use super::read::COUNTABLE;
use super::*;
use crate::backoff::Jitter;
use crate::breaker::{FailureSet, Rule};
use crate::failure::FailureKind;
use crate::preset;

fn resolve(spec: serde_json::Value) -> Result<Policy, PolicyError> {
    PolicySpec::try_from(spec)?.resolve()
}

fn message(spec: serde_json::Value) -> String {
    resolve(spec).unwrap_err().to_string()
}

#[test]
fn a_name_is_its_preset() {
    assert_eq!(resolve(json!("fast")).unwrap(), preset::fast());
    assert_eq!(resolve(json!({"preset": "shop"})).unwrap(), preset::shop());
    assert_eq!(PolicySpec::from("none").resolve().unwrap(), preset::none());
}

#[test]
fn changes_are_merged_field_by_field() {
    let policy = resolve(json!({
        "preset": "fast",
        "deadline": "off",
        "retry": {"jitter": {"proportional": 0.2}, "max_attempts": 4},
        "breaker": "off",
    }))
    .unwrap();
    let fast = preset::fast();
    let retry = RetryConfig {
        max_attempts: 4,
        jitter: Jitter::Proportional(0.2),
        ..fast.retry.unwrap()
    };
    let expected = Policy {
        deadline: None,
        retry: Some(retry),
        breaker: None,
        ..fast
    };
    assert_eq!(policy, expected);
}

#[test]
fn a_part_that_is_off_is_given_whole() {
    assert_eq!(
        message(json!({"preset": "none", "retry": {"max_attempts": 2}})),
        "`retry.base` is missing"
    );
    let breaker = json!({
        "kind": "consecutive", "failures": 2, "reset": "1s", "growth": 1.0, "max_reset": "1s",
        "trials": 1, "successes": 1,
        "counts": ["not_processed", "unavailable", "timeout", "internal", "unknown", "data_loss"],
    });
    let policy = resolve(json!({"preset": "none", "breaker": breaker})).unwrap();
    assert_eq!(
        policy.breaker,
        Some(BreakerConfig::consecutive(2, Duration::from_secs(1)))
    );
}

#[test]
fn an_unknown_name_is_named_with_what_was_meant() {
    assert_eq!(
        message(json!("fsat")),
        "unknown preset `fsat`, did you mean `fast`?; there are: none, naive, shop, fast, \
         grpc-a6, aws, finagle, envoy, resilience4j"
    );
    assert_eq!(
        message(json!({"preset": "fast", "atempt_timeout": "1s"})),
        "unknown field `atempt_timeout`, did you mean `attempt_timeout`?; \
         expected: preset, deadline, attempt_timeout, propagate_deadline, retry, budget, hedge, \
         throttle, breaker, breaker_around, bulkhead"
    );
    let error = resolve(json!({"preset": "fast", "breaker": {"failure": 3}})).unwrap_err();
    assert_eq!(error.path(), "breaker.failure");
    assert!(
        error.to_string().contains("did you mean `failures`?"),
        "{error}"
    );
    let error = resolve(json!({"preset": "fast", "zzz": 1})).unwrap_err();
    assert!(!error.to_string().contains("did you mean"), "{error}");
    assert_eq!(
        message(json!({"preset": "fast", "retry": {"jitter": "ful"}})),
        "`retry.jitter`: unknown value \"ful\", did you mean \"full\"?; \
         expected: none, full, equal, decorrelated or {\"proportional\": r}"
    );
    let error = resolve(json!({"preset": "fast", "breaker": {"kind": "consecutiv"}})).unwrap_err();
    assert_eq!(error.path(), "breaker.kind");
}

#[test]
fn every_wrong_value_is_named_by_its_field() {
    let wrong = [
        (json!({"deadline": "0s"}), "deadline"),
        (json!({"deadline": 5}), "deadline"),
        (json!({"deadline": "soon"}), "deadline"),
        (json!({"deadline": "2years"}), "deadline"),
        (json!({"attempt_timeout": "0ms"}), "attempt_timeout"),
        (json!({"retry": "on"}), "retry"),
        (json!({"retry": {"max_attempts": 0}}), "retry.max_attempts"),
        (
            json!({"retry": {"max_attempts": 101}}),
            "retry.max_attempts",
        ),
        (json!({"retry": {"max_attempts": -1}}), "retry.max_attempts"),
        (
            json!({"retry": {"max_attempts": 2.5}}),
            "retry.max_attempts",
        ),
        (json!({"retry": {"multiplier": 0.5}}), "retry.multiplier"),
        (json!({"retry": {"multiplier": "2"}}), "retry.multiplier"),
        (json!({"retry": {"cap": "49ms"}}), "retry.cap"),
        (
            json!({"retry": {"base": "3years", "cap": "4years"}}),
            "retry.base",
        ),
        (
            json!({"retry": {"jitter": {"proportional": 1.5}}}),
            "retry.jitter.proportional",
        ),
        (
            json!({"retry": {"jitter": {"proportion": 0.5}}}),
            "retry.jitter.proportion",
        ),
        (json!({"retry": {"jitter": 1}}), "retry.jitter"),
        (
            json!({"retry": {"obey_pushback": "no"}}),
            "retry.obey_pushback",
        ),
        (json!({"propagate_deadline": "off"}), "propagate_deadline"),
        (json!({"breaker": {"failures": 0}}), "breaker.failures"),
        (json!({"breaker": {"reset": "0s"}}), "breaker.reset"),
        (json!({"breaker": {"trials": 0}}), "breaker.trials"),
        (json!({"breaker": {"successes": 0}}), "breaker.successes"),
        (json!({"breaker": null}), "breaker"),
        (json!({"breaker": {"growth": 0.5}}), "breaker.growth"),
        (
            json!({"breaker": {"growth": 2, "max_reset": "1s"}}),
            "breaker.max_reset",
        ),
        (json!({"breaker": {"counts": []}}), "breaker.counts"),
        (json!({"breaker": {"counts": "all"}}), "breaker.counts"),
        (
            json!({"breaker": {"counts": ["timeout", "timeuot"]}}),
            "breaker.counts[1]",
        ),
        (json!({"breaker_around": "calls"}), "breaker_around"),
        (json!({"breaker_around": 1}), "breaker_around"),
        (json!({"budget": {"kind": "rato"}}), "budget.kind"),
        (json!({"budget": {"ratio": 0.1}}), "budget.kind"),
        (
            json!({"budget": {"kind": "throttle", "max_tokens": 0, "token_ratio": 0.1}}),
            "budget.max_tokens",
        ),
        (
            json!({"budget": {"kind": "ratio", "ratio": -1, "ttl": "10s", "min_per_second": 1}}),
            "budget.ratio",
        ),
        (
            json!({"budget": {"kind": "ratio", "ratio": 0.1, "ttl": "10s", "min_per_second": 1, "share": 1}}),
            "budget.share",
        ),
        (
            json!({"budget": {"kind": "bucket", "capacity": 1, "retry_cost": 1, "timeout_cost": 1, "deposit": 0, "refund": "no"}}),
            "budget.refund",
        ),
        (
            json!({"budget": {"kind": "active", "share": 0.2}}),
            "budget.min",
        ),
        (
            json!({"hedge": {"kind": "fixed", "delay": "0s"}}),
            "hedge.delay",
        ),
        (
            json!({"hedge": {"kind": "percentile", "percentile": 95, "min_samples": 100, "floor": "0s"}}),
            "hedge.percentile",
        ),
        (
            json!({"throttle": {"k": 0.5, "window": "2m"}}),
            "throttle.k",
        ),
        (
            json!({"throttle": {"k": 2, "window": "0s"}}),
            "throttle.window",
        ),
        (
            json!({"bulkhead": {"max_concurrent": 0, "max_waiting": 0, "max_wait": "0s"}}),
            "bulkhead.max_concurrent",
        ),
        (json!({"preset": 5}), "preset"),
    ];
    for (change, path) in wrong {
        let mut spec = json!({"preset": "fast"});
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let error = resolve(spec).unwrap_err();
        assert_eq!(error.path(), path, "{change}: {error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn what_an_experiment_switches_off_is_on_where_nothing_is_said() {
    let retry =
        json!({"max_attempts": 3, "base": "0s", "multiplier": 1, "cap": "0s", "jitter": "none"});
    let policy = resolve(json!({"preset": "none", "retry": retry})).unwrap();
    assert!(policy.propagate_deadline && policy.retry.unwrap().obey_pushback);
    let off =
        json!({"preset": "fast", "propagate_deadline": false, "retry": {"obey_pushback": false}});
    let policy = resolve(off).unwrap();
    assert!(!policy.propagate_deadline && !policy.retry.unwrap().obey_pushback);
    for name in preset::names() {
        let policy = preset::get(name).unwrap();
        assert!(policy.propagate_deadline, "{name}");
        assert!(
            policy.retry.is_none_or(|retry| retry.obey_pushback),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_spec_is_refused() {
    assert_eq!(resolve(json!(5)).unwrap_err().path(), "policy");
    assert_eq!(message(json!({"deadline": "1s"})), "`preset` is missing");
    assert_eq!(
        serde_json::from_value::<Policy>(json!("fast"))
            .unwrap_err()
            .to_string(),
        "`policy`: expected a map, found \"fast\""
    );
}

#[test]
fn a_slot_takes_one_policy_or_several_with_weights() {
    let read = |value| SlotSpec::try_from(value).and_then(|spec: SlotSpec| spec.resolve());
    let one = read(json!("fast")).unwrap();
    assert_eq!(one, [(1, preset::fast())]);
    let split = json!([
        {"weight": 3, "policy": "naive"},
        {"weight": 1, "policy": {"preset": "fast", "breaker": "off"}},
    ]);
    let read_split = read(split.clone()).unwrap();
    assert_eq!(read_split[0], (3, preset::naive()));
    assert_eq!(read_split[1].1.breaker, None);
    let spec = SlotSpec::try_from(split.clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), split);
    for (wrong, path) in [
        (json!([]), "policy"),
        (json!([{"weight": 0, "policy": "fast"}]), "[0].weight"),
        (json!([{"weight": 1, "polcy": "fast"}]), "[0].polcy"),
        (json!([{"weight": 1, "policy": "fsat"}]), "preset"),
        (json!(["fast"]), "[0]"),
    ] {
        assert_eq!(read(wrong.clone()).unwrap_err().path(), path, "{wrong}");
    }
}

#[test]
fn another_kind_takes_the_place_of_a_part_whole() {
    let window = json!({
        "kind": "count_window", "calls": 20, "min_calls": 20, "failure_rate": 0.5,
        "slow_rate": 1.0, "slow_after": "1s", "reset": "5s", "growth": 2.0, "max_reset": "1m",
        "trials": 2, "successes": 2, "counts": ["timeout"],
    });
    let policy = resolve(json!({"preset": "fast", "breaker": window})).unwrap();
    let breaker = policy.breaker.unwrap();
    assert!(matches!(breaker.rule, Rule::CountWindow { calls: 20, .. }));
    assert!(breaker.counts.contains(FailureKind::Timeout));
    assert!(!breaker.counts.contains(FailureKind::Unavailable));
    let half = json!({"preset": "fast", "breaker": {"kind": "count_window", "calls": 20}});
    assert_eq!(message(half), "`breaker.min_calls` is missing");
    let other = json!({"preset": "fast", "breaker": {"calls": 20}});
    assert_eq!(resolve(other).unwrap_err().path(), "breaker.calls");
}

#[test]
fn a_policy_made_by_hand_is_checked_too() {
    let mut policy = preset::fast();
    policy.retry.as_mut().unwrap().multiplier = f64::NAN;
    assert_eq!(policy.validate().unwrap_err().path(), "retry.multiplier");
}

#[test]
fn toml_reads_the_same() {
    #[derive(serde::Deserialize)]
    struct Arms {
        plain: PolicySpec,
        changed: PolicySpec,
    }
    let arms: Arms = toml::from_str(
        "plain = 'fast'\n\
         [changed]\npreset = 'fast'\nbreaker = 'off'\n\
         [changed.retry]\nmultiplier = 3\njitter = 'none'\n",
    )
    .unwrap();
    assert_eq!(arms.plain.resolve().unwrap(), preset::fast());
    let changed = arms.changed.resolve().unwrap();
    assert_eq!(changed.breaker, None);
    assert_eq!(changed.retry.unwrap().multiplier, 3.0);
}

fn duration() -> BoxedStrategy<Duration> {
    (1u64..10_000_000_000_000)
        .prop_map(Duration::from_nanos)
        .boxed()
}

/// Eighths are exact in binary: JSON's reader may miss the last bit of others.
fn eighths(from: u32, to: u32) -> impl Strategy<Value = f64> {
    (from..=to).prop_map(|eighths| f64::from(eighths) / 8.0)
}

fn retries() -> impl Strategy<Value = RetryConfig> {
    let jitter = prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        eighths(0, 8).prop_map(Jitter::Proportional),
    ];
    let parts = (
        1..=MAX_ATTEMPTS,
        duration(),
        eighths(8, 80),
        duration(),
        jitter,
        any::<bool>(),
    );
    parts.prop_map(
        |(max_attempts, base, multiplier, more, jitter, obey_pushback)| RetryConfig {
            max_attempts,
            base,
            multiplier,
            cap: base + more,
            jitter,
            obey_pushback,
        },
    )
}

fn budgets() -> impl Strategy<Value = BudgetConfig> {
    let number = || eighths(1, 80_000);
    prop_oneof![
        (number(), number()).prop_map(|(max_tokens, token_ratio)| BudgetConfig::Throttle {
            max_tokens,
            token_ratio
        }),
        (number(), duration(), number()).prop_map(|(ratio, ttl, min_per_second)| {
            BudgetConfig::Ratio {
                ratio,
                ttl,
                min_per_second,
            }
        }),
        (number(), number(), number(), number(), any::<bool>()).prop_map(
            |(capacity, retry_cost, timeout_cost, deposit, refund)| BudgetConfig::Bucket {
                capacity,
                retry_cost,
                timeout_cost,
                deposit,
                refund
            }
        ),
        (number(), 0u32..1_000).prop_map(|(share, min)| BudgetConfig::Active { share, min }),
    ]
}

fn rules() -> impl Strategy<Value = Rule> {
    let rates = || (eighths(1, 8), eighths(1, 8), duration());
    prop_oneof![
        (1u32..).prop_map(|failures| Rule::Consecutive { failures }),
        (1u32..1_000, 1u32..1_000, rates()).prop_map(
            |(calls, more, (failure_rate, slow_rate, slow_after))| Rule::CountWindow {
                calls: calls + more,
                min_calls: calls,
                failure_rate,
                slow_rate,
                slow_after
            }
        ),
        (duration(), 1u32..1_000, rates()).prop_map(
            |(window, min_calls, (failure_rate, slow_rate, slow_after))| Rule::TimeWindow {
                window,
                min_calls,
                failure_rate,
                slow_rate,
                slow_after
            }
        ),
    ]
}

fn breakers() -> impl Strategy<Value = BreakerConfig> {
    let counts = prop::sample::subsequence(COUNTABLE.to_vec(), 1..=9);
    let parts = (
        rules(),
        duration(),
        eighths(8, 80),
        duration(),
        1u32..,
        1u32..,
        counts,
    );
    parts.prop_map(|(rule, reset, growth, more, trials, successes, kinds)| {
        let mut counts = FailureSet::EMPTY;
        kinds.into_iter().for_each(|kind| counts.insert(kind));
        BreakerConfig {
            rule,
            reset,
            growth,
            max_reset: reset + more,
            trials,
            successes,
            counts,
        }
    })
}

fn hedges() -> impl Strategy<Value = HedgeConfig> {
    prop_oneof![
        duration().prop_map(|delay| HedgeConfig::Fixed { delay }),
        (eighths(1, 7), 1u32..1_000, duration()).prop_map(|(percentile, min_samples, floor)| {
            HedgeConfig::Percentile {
                percentile,
                min_samples,
                floor,
            }
        }),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let throttle =
        (eighths(8, 80), duration()).prop_map(|(k, window)| ThrottleConfig { k, window });
    let bulkhead = (1u32..1_000, 0u32..1_000, duration()).prop_map(
        |(max_concurrent, max_waiting, max_wait)| BulkheadConfig {
            max_concurrent,
            max_waiting,
            max_wait,
        },
    );
    use proptest::option::of;
    let limits = (
        prop::sample::select(preset::names()),
        of(duration()),
        of(duration()),
        any::<bool>(),
    );
    let repeats = (of(retries()), of(budgets()), of(hedges()));
    let guards = (of(throttle), of(breakers()), any::<bool>(), of(bulkhead));
    (limits, repeats, guards).prop_map(
        |(
            (preset, deadline, attempt_timeout, propagate_deadline),
            (retry, budget, hedge),
            (throttle, breaker, around_call, bulkhead),
        )| Policy {
            preset: preset.to_owned(),
            deadline,
            attempt_timeout,
            propagate_deadline,
            retry,
            budget,
            hedge,
            throttle,
            breaker,
            breaker_around: if around_call {
                BreakerAround::Call
            } else {
                BreakerAround::Attempt
            },
            bulkhead,
        },
    )
}

proptest! {
    #[test]
    fn a_policy_survives_being_written(policy in policies()) {
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Policy>(&json).unwrap(), &policy);
        let toml = toml::to_string(&policy).unwrap();
        prop_assert_eq!(&toml::from_str::<Policy>(&toml).unwrap(), &policy);
    }

    #[test]
    fn a_written_policy_is_a_spec_of_itself(policy in policies()) {
        let json = serde_json::to_value(&policy).unwrap();
        prop_assert_eq!(&resolve(json).unwrap(), &policy);
        let spec = PolicySpec::from(&policy);
        prop_assert_eq!(&spec.resolve().unwrap(), &policy);
        let written = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(&serde_json::from_str::<PolicySpec>(&written).unwrap(), &spec);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(field in "[a-z_.]{0,12}", value in ".{0,12}") {
        let mut spec = json!({"preset": "fast", "retry": {}, "breaker": {}});
        spec["retry"][&field] = json!(value);
        prop_assert!(resolve(spec.clone()).is_err() || field == "jitter" || field == "base" || field == "cap");
        spec["breaker"] = json!(value);
        let _ = resolve(spec);
    }
}
