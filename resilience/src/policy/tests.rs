use proptest::prelude::*;
use serde_json::json;

use super::*;
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
    let breaker =
        json!({"kind": "consecutive", "failures": 2, "reset": "1s", "trials": 1, "successes": 1});
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
        "unknown preset `fsat`, did you mean `fast`?; there are: none, naive, shop, fast"
    );
    assert_eq!(
        message(json!({"preset": "fast", "atempt_timeout": "1s"})),
        "unknown field `atempt_timeout`, did you mean `attempt_timeout`?; \
         expected: preset, deadline, attempt_timeout, retry, breaker"
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
        (json!({"breaker": {"failures": 0}}), "breaker.failures"),
        (json!({"breaker": {"reset": "0s"}}), "breaker.reset"),
        (json!({"breaker": {"trials": 0}}), "breaker.trials"),
        (json!({"breaker": {"successes": 0}}), "breaker.successes"),
        (json!({"breaker": null}), "breaker"),
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

fn policies() -> impl Strategy<Value = Policy> {
    let duration = || (1u64..10_000_000_000_000).prop_map(Duration::from_nanos);
    let jitter = prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        (0u8..=8).prop_map(|r| Jitter::Proportional(f64::from(r) / 8.0)),
    ];
    // Eighths are exact in binary: JSON's reader may miss the last bit of others.
    let retry = (
        1u32..=MAX_ATTEMPTS,
        duration(),
        8u32..80,
        duration(),
        jitter,
    )
        .prop_map(|(max_attempts, base, eighths, more, jitter)| RetryConfig {
            max_attempts,
            base,
            multiplier: f64::from(eighths) / 8.0,
            cap: base + more,
            jitter,
        });
    let breaker =
        (1u32.., duration(), 1u32.., 1u32..).prop_map(|(failures, reset, trials, successes)| {
            BreakerConfig::Consecutive {
                failures,
                reset,
                trials,
                successes,
            }
        });
    let option = proptest::option::of::<BoxedStrategy<Duration>>;
    (
        prop::sample::select(preset::names()),
        option(duration().boxed()),
        option(duration().boxed()),
        proptest::option::of(retry),
        proptest::option::of(breaker),
    )
        .prop_map(
            |(preset, deadline, attempt_timeout, retry, breaker)| Policy {
                preset: preset.to_owned(),
                deadline,
                attempt_timeout,
                retry,
                breaker,
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
