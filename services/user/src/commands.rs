//! Commands of the binary beside those every service has.

use std::io::BufRead;

use anyhow::{Context as _, bail};
use kit::auth::Roles;

use crate::{
    accounts::Registration,
    core::Core,
    domain::{Account, password, profile},
};

/// Makes an admin.
pub const CREATE_ADMIN: &str = "create-admin";

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
    Ok(core.register(registration, admin).await?)
}
