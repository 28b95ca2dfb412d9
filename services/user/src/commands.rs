//! Commands of the binary beside those every service has.

use std::{io::BufRead, path::Path};

use anyhow::{Context as _, bail};
use kit::auth::Roles;

use crate::{
    accounts::Registration,
    audit::{Event, Kind, Source},
    core::Core,
    domain::{Account, password, profile},
    keyring::{LEAD_S, Rotated, rotate},
};

/// Makes an admin.
pub const CREATE_ADMIN: &str = "create-admin";
/// Gives an account other roles.
pub const SET_ROLE: &str = "set-role";
/// Signing keys and field keys.
pub const KEYS: &str = "keys";
/// Longest time between a key's making and its first signature, in seconds.
const LONGEST_LEAD_S: i64 = 24 * 60 * 60;

/// `set-role NAME none|staff|admin`. Tokens that tell of the old role end everywhere
/// within 5 s.
///
/// # Errors
/// When there is no such account or role.
pub async fn set_role(core: &Core, args: &[String]) -> anyhow::Result<(Account, String)> {
    let [name, role] = args else {
        bail!("usage: user-service {SET_ROLE} NAME none|staff|admin");
    };
    let roles = match role.as_str() {
        "none" => Roles::default(),
        "staff" => Roles {
            staff: true,
            admin: false,
        },
        "admin" => Roles {
            staff: true,
            admin: true,
        },
        other => bail!("{other:?} is no role: none, staff or admin"),
    };
    let changed = core.change_roles(name, roles).await;
    let account = changed.with_context(|| format!("changing the role of {name:?}"))?;
    Ok((account, role.clone()))
}

/// `keys rotate [--lead SECONDS]`: makes a signing key, which all replicas that share the
/// key folder publish within seconds and sign with after the lead.
///
/// # Errors
/// When the folder can't be used, or the lead can't be read.
pub async fn rotate_keys(path: &Path, args: &[String]) -> anyhow::Result<Rotated> {
    let lead_s = match args {
        [] => LEAD_S,
        [flag, seconds] if flag == "--lead" => seconds
            .parse()
            .ok()
            .filter(|seconds| (0..=LONGEST_LEAD_S).contains(seconds))
            .with_context(|| format!("--lead is 0 to {LONGEST_LEAD_S} seconds"))?,
        _ => bail!("usage: user-service {KEYS} rotate [--lead SECONDS]"),
    };
    let path = path.to_owned();
    let rotate = move || rotate(&path, kit::time::now_ms(), lead_s * 1000);
    Ok(tokio::task::spawn_blocking(rotate).await??)
}

/// Records a rotation of the signing key.
pub fn record_rotation(core: &Core, rotated: &Rotated) {
    let event = Event::new(Kind::SigningKeyRotated, &Source::command(), core.now_ms());
    core.audit
        .record(event.detail(format!("kid {}", rotated.kid)));
}

/// `create-admin NAME [EMAIL]`, the password in the first line of `input`.
///
/// # Errors
/// When the name, the e-mail address or the password is refused, or taken.
pub async fn create_admin(
    core: &Core,
    args: &[String],
    mut input: impl BufRead,
) -> anyhow::Result<Account> {
    let (name, email) = match args {
        [name] => (name.clone(), format!("{name}@localhost.localdomain")),
        [name, email] => (name.clone(), email.clone()),
        _ => bail!("usage: user-service {CREATE_ADMIN} NAME [EMAIL]"),
    };
    let problem = profile::username_problem(&name).or_else(|| profile::email_problem(&email));
    if let Some(problem) = problem {
        bail!("{problem}");
    }
    let mut password = String::new();
    input
        .read_line(&mut password)
        .context("reading the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let problems = password::problems(&password, &[&name, &email]);
    if !problems.is_empty() {
        bail!("{}", problems.join(" "));
    }
    let registration = Registration {
        username: name,
        email,
        password,
        first_name: String::new(),
        last_name: String::new(),
    };
    let admin = Roles {
        staff: true,
        admin: true,
    };
    Ok(core
        .register(registration, admin, &Source::command())
        .await?)
}
