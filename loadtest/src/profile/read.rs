//! The written form of a profile, strictly: a field that is none, missing or of another kind is
//! named.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Profile;
use crate::error::{LoadError, nearest};

const RAMP: [&str; 4] = ["from", "to", "start", "over"];
const STEPS: [&str; 1] = ["steps"];
const SPIKE: [&str; 4] = ["base", "spike", "at", "for"];

impl TryFrom<Value> for Profile {
    type Error = LoadError;

    fn try_from(value: Value) -> Result<Self, LoadError> {
        if let Some(rate) = value.as_f64() {
            return Ok(Self::Constant(rate));
        }
        let Value::Object(fields) = value else {
            return Err(LoadError::invalid("rate", KINDS));
        };
        let profile = Fields(&fields);
        if profile.has("steps") {
            profile.only(&STEPS)?;
            profile.steps()
        } else if profile.has("base") || profile.has("spike") {
            profile.only(&SPIKE)?;
            profile.spike()
        } else if profile.has("from") || profile.has("to") {
            profile.only(&RAMP)?;
            profile.ramp()
        } else {
            profile.only(&[&RAMP[..], &STEPS, &SPIKE].concat())?;
            Err(LoadError::invalid("rate", KINDS))
        }
    }
}

const KINDS: &str = "a number, or a table with `from` and `to` (ramp), with `steps`, or with \
                     `base`, `spike`, `at` and `for` (spike)";

struct Fields<'v>(&'v Map<String, Value>);

impl Fields<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn only(&self, known: &[&str]) -> Result<(), LoadError> {
        let Some(odd) = self.0.keys().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let near = nearest(odd, known.iter().copied());
        let near = near.map_or_else(
            || format!("there are {}", known.join(", ")),
            |name| format!("did you mean `{name}`?"),
        );
        Err(LoadError::invalid(
            format!("rate.{odd}"),
            format!("unknown field: {near}"),
        ))
    }

    fn needed(&self, name: &str) -> Result<&Value, LoadError> {
        self.0
            .get(name)
            .ok_or_else(|| LoadError::invalid(format!("rate.{name}"), "is missing"))
    }

    fn rate(&self, name: &str) -> Result<f64, LoadError> {
        rate(&format!("rate.{name}"), self.needed(name)?)
    }

    fn time(&self, name: &str) -> Result<Duration, LoadError> {
        time(&format!("rate.{name}"), self.needed(name)?)
    }

    fn ramp(&self) -> Result<Profile, LoadError> {
        let start = self.has("start").then(|| self.time("start"));
        Ok(Profile::Ramp {
            from: self.rate("from")?,
            to: self.rate("to")?,
            start: start.transpose()?.unwrap_or_default(),
            over: self.has("over").then(|| self.time("over")).transpose()?,
        })
    }

    fn spike(&self) -> Result<Profile, LoadError> {
        Ok(Profile::Spike {
            base: self.rate("base")?,
            spike: self.rate("spike")?,
            at: self.time("at")?,
            lasts: self.time("for")?,
        })
    }

    fn steps(&self) -> Result<Profile, LoadError> {
        let Value::Array(steps) = self.needed("steps")? else {
            return Err(LoadError::invalid("rate.steps", STEP));
        };
        let step = |(i, step): (usize, &Value)| {
            let field = format!("rate.steps[{i}]");
            match step.as_array().map(Vec::as_slice) {
                Some([at, to]) => Ok((time(&field, at)?, rate(&field, to)?)),
                _ => Err(LoadError::invalid(field, STEP)),
            }
        };
        let steps = steps.iter().enumerate().map(step);
        Ok(Profile::Steps(steps.collect::<Result<_, _>>()?))
    }
}

const STEP: &str = "steps are pairs of a time and a rate: [[\"0s\", 50], [\"10s\", 100]]";

fn rate(field: &str, value: &Value) -> Result<f64, LoadError> {
    value
        .as_f64()
        .ok_or_else(|| LoadError::invalid(field, format!("{value} is no rate: a number")))
}

fn time(field: &str, value: &Value) -> Result<Duration, LoadError> {
    let text = value.as_str();
    text.and_then(|text| humantime::parse_duration(text).ok())
        .ok_or_else(|| {
            LoadError::invalid(field, format!("{value} is no time: write it as in \"10s\""))
        })
}

/// The written form; of a constant rate, the number.
pub(super) fn write(profile: &Profile) -> Value {
    let told = |time: &Duration| humantime::format_duration(*time).to_string();
    match profile {
        Profile::Constant(rate) => json!(rate),
        Profile::Ramp {
            from,
            to,
            start,
            over,
        } => {
            let mut table = json!({ "from": from, "to": to });
            if !start.is_zero() {
                table["start"] = told(start).into();
            }
            if let Some(over) = over {
                table["over"] = told(over).into();
            }
            table
        }
        Profile::Steps(steps) => {
            let steps = steps.iter().map(|(at, rate)| json!([told(at), rate]));
            json!({ "steps": steps.collect::<Vec<_>>() })
        }
        Profile::Spike {
            base,
            spike,
            at,
            lasts,
        } => json!({ "base": base, "spike": spike, "at": told(at), "for": told(lasts) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Profile, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_profile_is_read() {
        let s = Duration::from_secs;
        assert_eq!(read("20"), Ok(Profile::Constant(20.0)));
        assert_eq!(
            read(r#"{"from": 20, "to": 100}"#),
            Ok(Profile::ramp(20.0, 100.0))
        );
        let ramp = Profile::Ramp {
            from: 20.0,
            to: 100.0,
            start: s(5),
            over: Some(s(30)),
        };
        assert_eq!(
            read(r#"{"from": 20, "to": 100, "start": "5s", "over": "30s"}"#),
            Ok(ramp)
        );
        assert_eq!(
            read(r#"{"steps": [["0s", 50], ["10s", 0.5]]}"#),
            Ok(Profile::Steps(vec![(s(0), 50.0), (s(10), 0.5)]))
        );
        let spike = Profile::Spike {
            base: 20.0,
            spike: 200.0,
            at: s(10),
            lasts: s(2),
        };
        assert_eq!(
            read(r#"{"base": 20, "spike": 200, "at": "10s", "for": "2s"}"#),
            Ok(spike)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            (r#""fast""#, "rate: a number, or a table"),
            ("{}", "rate: a number, or a table"),
            (r#"{"from": 1}"#, "rate.to: is missing"),
            (
                r#"{"from": 1, "too": 2}"#,
                "rate.too: unknown field: did you mean `to`?",
            ),
            (
                r#"{"from": 1, "to": 2, "at": "1s"}"#,
                "rate.at: unknown field",
            ),
            (
                r#"{"form": 1}"#,
                "rate.form: unknown field: did you mean `from`?",
            ),
            (r#"{"from": "1", "to": 2}"#, "rate.from: \"1\" is no rate"),
            (
                r#"{"from": 1, "to": 2, "over": 30}"#,
                "rate.over: 30 is no time",
            ),
            (
                r#"{"from": 1, "to": 2, "start": "soon"}"#,
                "rate.start: \"soon\"",
            ),
            (r#"{"steps": 3}"#, "rate.steps: steps are pairs"),
            (
                r#"{"steps": [["0s", 1], ["5s"]]}"#,
                "rate.steps[1]: steps are pairs",
            ),
            (
                r#"{"steps": [["0s", "1"]]}"#,
                "rate.steps[0]: \"1\" is no rate",
            ),
            (
                r#"{"base": 1, "spike": 2, "at": "1s"}"#,
                "rate.for: is missing",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    fn profiles() -> impl Strategy<Value = Profile> {
        // Eighths, which JSON's decimals keep.
        let rate = || (0_u32..800_000).prop_map(|eighths| f64::from(eighths) / 8.0);
        let time = || (0_u64..100_000).prop_map(Duration::from_millis);
        prop_oneof![
            rate().prop_map(Profile::Constant),
            (rate(), rate(), time(), prop::option::of(time())).prop_map(
                |(from, to, start, over)| Profile::Ramp {
                    from,
                    to,
                    start,
                    over
                }
            ),
            prop::collection::vec((time(), rate()), 0..5).prop_map(Profile::Steps),
            (rate(), rate(), time(), time()).prop_map(|(base, spike, at, lasts)| {
                Profile::Spike {
                    base,
                    spike,
                    at,
                    lasts,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(profile in profiles()) {
            let text = serde_json::to_string(&profile).unwrap();
            prop_assert_eq!(read(&text), Ok(profile));
        }
    }
}
