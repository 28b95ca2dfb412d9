//! Whatever comes as a token: the verifier does not panic, and takes nothing that it did not sign.
//! 256 cases each; the variable `CASES` asks for more.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{KID, claims, header, sign, sign_with, strange_key, verifier};

fn config() -> ProptestConfig {
    let cases = std::env::var("CASES").ok();
    let cases = cases.map_or(256, |text| text.parse().expect("CASES is a number"));
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[ -~]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A header that is ours but for one value.
fn any_header() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "alg", "kid", "typ", "jku", "jwk", "x5u", "x5c", "x5t", "crit", "b64", "zip", "enc", "cty",
    ]);
    (name, any_json()).prop_map(|(name, value)| {
        let mut header = header();
        header[name] = value;
        header
    })
}

proptest! {
    #![proptest_config(config())]

    // attack: any text as a token -> refused, without a panic
    #[test]
    fn any_text(text in ".{0,400}") {
        prop_assert!(verifier().verify(&text).is_err());
    }

    // attack: any bytes as the three parts of a token -> refused, without a panic
    #[test]
    fn any_three_parts(parts in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..200))) {
        let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        prop_assert!(verifier().verify(&token).is_err());
    }

    // attack: any header and any claims, with any signature -> refused, without a panic
    #[test]
    fn any_json_in_it(
        header in any_header(), claims in any_json(),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode(signature)
        );
        prop_assert!(verifier().verify(&token).is_err());
    }

    // attack: good claims under any header, signed with a stranger's key -> refused
    #[test]
    fn a_strangers_signature(header in any_header()) {
        let token = sign_with(strange_key(), &header, &claims().to_string());
        prop_assert!(verifier().verify(&token).is_err());
    }

    // attack: a good token with one character changed -> refused
    #[test]
    fn one_character_changed(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]") {
        let good = sign(&claims());
        let at = at.index(good.len());
        let mut token = good.clone();
        token.replace_range(at..=at, &with);
        prop_assume!(token != good);
        prop_assert!(verifier().verify(&token).is_err(), "{token}");
    }

    // attack: a claim of another type, signed by ourselves -> refused or read as it is, without a panic
    #[test]
    fn a_claim_of_any_type(
        name in prop::sample::select(vec!["exp", "iss", "aud", "token_type", "user_id", "roles"]),
        value in any_json(),
    ) {
        let mut claims = claims();
        let good = claims[name].clone();
        claims[name] = value.clone();
        let outcome = verifier().verify(&sign(&claims));
        if matches!(name, "iss" | "aud" | "token_type") && value != good {
            prop_assert!(outcome.is_err(), "{name}: {value}");
        }
        if let Ok(principal) = outcome {
            prop_assert_eq!(&json!(principal.user_id), &claims["user_id"]);
        }
    }

    #[test]
    fn the_key_id_is_compared_whole(kid in ".{0,30}") {
        prop_assume!(kid != KID);
        let mut other = header();
        other["kid"] = json!(kid);
        let token = sign_with(strange_key(), &other, &claims().to_string());
        prop_assert!(verifier().verify(&token).is_err());
    }
}
