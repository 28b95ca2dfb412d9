//! What must not be so where real people are served. Outside of lab mode nothing secret has a
//! default; `APP_ENV=production` makes sure that lab mode is not on by mistake, and that what is
//! set is a secret.

use super::Env;
use crate::crypto::FieldKeys;

/// What `SERVICE_SECRET` is in lab mode.
pub(super) const LAB_SECRET: &str = "lab-service-secret";
/// The field key of lab mode, which everybody can read.
fn lab_field_key() -> &'static str {
    FieldKeys::LAB.trim_start_matches("lab:")
}

/// Characters of a secret: 128 random bits in hex.
const SHORTEST_SECRET: usize = 32;
/// What people write where a secret should be.
const PLACEHOLDERS: [&str; 6] = [
    LAB_SECRET,
    "test-secret",
    "secret",
    "changeme",
    "change-me",
    "dev-secret",
];

/// Notes all of it at once.
pub(super) fn check(env: &mut Env) {
    if let Some(other) = env.text("APP_ENV")
        && other != "production"
        && other != "development"
    {
        env.problem(format!(
            "APP_ENV={other:?} can't be read: it is production or development"
        ));
    }
    if env.production() {
        production(env);
    }
    if !env.lab_mode() {
        defaults(env);
    }
}

fn production(env: &mut Env) {
    if env.lab_mode() {
        env.problem(
            "LAB_MODE is on in production: remove it, since it opens the control API, takes known \
             secrets and makes sample accounts",
        );
    }
    if env.text("LAB_CONTROL_PORT").is_some() || env.text("LAB_TOKEN").is_some() {
        env.problem("LAB_CONTROL_PORT and LAB_TOKEN are set in production: remove them");
    }
    if matches!(env.text("SEED_SAMPLE_DATA").as_deref(), Some("1" | "true")) {
        env.problem(
            "SEED_SAMPLE_DATA is on in production: remove it, since everybody knows the sample \
             accounts' password",
        );
    }
    let short = env.text("SERVICE_SECRET").map(|secret| secret.len());
    if short.is_some_and(|length| length < SHORTEST_SECRET) {
        env.problem(format!(
            "SERVICE_SECRET is shorter than {SHORTEST_SECRET} characters: set it to random ones \
             (openssl rand -hex 32)"
        ));
    }
}

fn defaults(env: &mut Env) {
    let secret = env.text("SERVICE_SECRET");
    if secret.is_some_and(|secret| PLACEHOLDERS.contains(&&*secret.to_ascii_lowercase())) {
        env.problem(
            "SERVICE_SECRET is a placeholder that everybody knows: set it to random characters \
             (openssl rand -hex 32)",
        );
    }
    for name in ["FIELD_ENCRYPTION_KEYS", "FIELD_ENCRYPTION_KEY"] {
        if env
            .text(name)
            .is_some_and(|keys| keys.contains(lab_field_key()))
        {
            env.problem(format!(
                "{name} has the lab's own key, which everybody knows: set it to random bytes \
                 (id:$(openssl rand -base64 32))"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut env = Env::from_pairs(pairs);
        check(&mut env);
        env.finish().map_or_else(|error| error.0, |()| Vec::new())
    }

    #[test]
    fn production_names_everything_that_must_not_be_so() {
        let all = problems(&[
            ("APP_ENV", "production"),
            ("LAB_MODE", "1"),
            ("LAB_TOKEN", "t"),
            ("SEED_SAMPLE_DATA", "1"),
            ("SERVICE_SECRET", "s"),
        ]);
        for name in [
            "LAB_MODE",
            "LAB_TOKEN",
            "SEED_SAMPLE_DATA",
            "SERVICE_SECRET",
        ] {
            assert!(all.iter().any(|p| p.contains(name)), "{name}: {all:?}");
        }
        let keys = format!("k:{}", lab_field_key());
        let secret = "0123456789abcdef0123456789abcdef";
        let ours = [("APP_ENV", "production"), ("SERVICE_SECRET", secret)];
        assert_eq!(problems(&ours), Vec::<String>::new());
        let known = [ours[0], ours[1], ("FIELD_ENCRYPTION_KEYS", &keys)];
        assert_eq!(problems(&known).len(), 1);
    }

    #[test]
    fn a_known_secret_is_none_outside_of_the_lab() {
        assert_eq!(problems(&[("SERVICE_SECRET", LAB_SECRET)]).len(), 1);
        assert!(problems(&[("SERVICE_SECRET", LAB_SECRET), ("LAB_MODE", "1")]).is_empty());
        assert_eq!(problems(&[("APP_ENV", "prod")]).len(), 1);
    }
}
