//! The schema for editors takes what the reader takes, and knows the same names.

use serde_json::Value;

use super::format::ALL;
use super::{OUTAGE, known};
use crate::scenario::effects;

fn schema() -> Value {
    let text = include_str!("../../../../scenarios/schema.json");
    serde_json::from_str(text).unwrap()
}

fn json(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// What the schema has against a value: a validator of those keywords of JSON Schema
/// that ours uses. One that it doesn't know is a failure, not passed over.
fn problems(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("{at}: {what}"));
    let mut inner = Vec::new();
    for (keyword, limit) in schema.as_object().unwrap() {
        let number = || limit.as_f64().unwrap();
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let path = limit.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path}"));
                inner.extend(problems(root, target, value, at));
                true
            }
            "anyOf" => {
                let options = limit.as_array().unwrap().iter();
                let told: Vec<_> = options.map(|s| problems(root, s, value, at)).collect();
                told.iter().any(Vec::is_empty)
            }
            "enum" => limit.as_array().unwrap().contains(value),
            "type" => match limit {
                Value::Array(types) => types.iter().any(|t| is(value, t.as_str().unwrap())),
                one => is(value, one.as_str().unwrap()),
            },
            "minimum" => value.as_f64().is_none_or(|n| n >= number()),
            "maximum" => value.as_f64().is_none_or(|n| n <= number()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > number()),
            "minLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as f64 >= number()),
            "minItems" => value.as_array().is_none_or(|a| a.len() as f64 >= number()),
            "maxItems" => value.as_array().is_none_or(|a| a.len() as f64 <= number()),
            "minProperties" => value.as_object().is_none_or(|o| o.len() as f64 >= number()),
            // Editors look at them; here the reader does.
            "pattern" => true,
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    inner.extend(problems(root, limit, item, &format!("{at}[{i}]")));
                }
                true
            }
            "required" => {
                let wanted = limit.as_array().unwrap().iter();
                wanted
                    .into_iter()
                    .all(|key| value.get(key.as_str().unwrap()).is_some())
            }
            "properties" | "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (key, item) in value.as_object().into_iter().flatten() {
                    let own = known.and_then(|known| known.get(key));
                    let place = format!("{at}.{key}");
                    match (keyword.as_str(), own, limit) {
                        ("properties", Some(own), _) => {
                            inner.extend(problems(root, own, item, &place));
                        }
                        ("additionalProperties", None, Value::Bool(false)) => {
                            inner.push(format!("{place}: not known"));
                        }
                        ("additionalProperties", None, rest) => {
                            inner.extend(problems(root, rest, item, &place));
                        }
                        _ => {}
                    }
                }
                true
            }
            other => panic!("the test's validator does not know `{other}`"),
        };
        if !holds {
            say(format!("{keyword} {limit}"));
        }
    }
    found.extend(inner);
    found
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("type `{other}`"),
    }
}

fn told(text: &str) -> Vec<String> {
    let schema = schema();
    problems(&schema, &schema, &json(text), "")
}

#[test]
fn every_scenario_file_is_valid_by_the_schema() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(told(&text), [""; 0], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0);
    assert_eq!(told(ALL), [""; 0]);
}

#[test]
fn what_the_reader_refuses_by_its_shape_the_schema_refuses_too() {
    for (from, to) in [
        ("takes = \"7m\"", "takse = \"7m\""),
        ("repeats = 4", "repeats = 0"),
        ("rate = 20", "rate = 0"),
        ("rate = 20", "rate = \"20\""),
        ("arrivals = \"poisson\"", "arrivals = \"poison\""),
        ("action = \"down\"", "action = \"dwon\""),
        ("action = \"down\"", "action = { toxic = \"latncy\" }"),
        (
            "action = \"down\"",
            "action = { toxic = \"latency\", toxicity = 2 }",
        ),
        (
            "action = \"down\"",
            "action = { fail = { share = 2, status = 503 } }",
        ),
        (
            "action = \"down\"",
            "action = { fail = { share = 1, status = 200 } }",
        ),
        ("action = \"down\"", "action = \"kill\""),
        ("link = \"order-product\"", "part = \"order-service\""),
        ("order-product = \"naive\"", "order-produt = \"naive\""),
        ("schema_version = 1", "schema_version = 2"),
        ("because = \"a shop", "becuase = \"a shop"),
        ("for = \"10s\"", "fro = \"10s\""),
    ] {
        assert!(OUTAGE.contains(from), "{from}");
        assert!(!told(&OUTAGE.replacen(from, to, 1)).is_empty(), "{to}");
    }
}

/// The names in an `enum` of the schema.
fn names(at: &str) -> Vec<String> {
    let schema = schema();
    let all = schema.pointer(at).unwrap_or_else(|| panic!("{at}"));
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn the_schema_knows_the_names_that_the_reader_knows() {
    assert_eq!(names("/$defs/link/anyOf/0/enum"), known::LINKS);
    assert_eq!(names("/$defs/part/anyOf/0/enum"), known::PROCESSES);
    assert_eq!(names("/$defs/status/anyOf/0/enum"), known::GRPC_CODES);
    assert_eq!(names("/$defs/callers/items/enum"), known::CALLERS);
    assert_eq!(
        names("/properties/negative_control/properties/defects/items/enum"),
        known::DEFECTS.map(|(name, _)| name)
    );
    let schema = schema();
    let keys = |at: &str| -> Vec<String> {
        let object = schema.pointer(at).and_then(Value::as_object);
        let mut keys: Vec<String> = object
            .unwrap_or_else(|| panic!("{at}"))
            .keys()
            .cloned()
            .collect();
        keys.sort();
        keys
    };
    let sorted = |names: Vec<&str>| {
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    let slots = known::SLOTS.iter().map(|(slot, _)| *slot);
    assert_eq!(
        keys("/$defs/arms/additionalProperties/properties"),
        sorted(slots.chain(["orders"]).collect())
    );
    assert_eq!(
        names("/$defs/arms/additionalProperties/properties/orders/enum"),
        loadtest::Orders::ALL.map(loadtest::Orders::as_str)
    );
    let ops = loadtest::Op::ALL.iter().map(|op| op.as_str()).collect();
    assert_eq!(keys("/$defs/mix/anyOf/1/properties"), sorted(ops));
    for (toxic, attributes) in known::TOXICS {
        let all = [attributes, &["stream", "toxic", "toxicity"]].concat();
        assert_eq!(
            keys(&format!("/$defs/toxic-{toxic}/properties")),
            sorted(all)
        );
    }
    for effect in effects::NAMES {
        let all = vec![effect, "callers", "methods", "users"];
        assert_eq!(
            keys(&format!("/$defs/action-{effect}/properties")),
            sorted(all)
        );
    }
}
