//! Accounts for the lab's runs, with tokens, so that a load needs no log-in first.

use kit::{ApiResult, auth::Roles, crypto::random_token, form::Form};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    core::Core,
    domain::{Account, NewAccount},
    error::{Error, Result},
};

/// Most accounts a request may ask for.
const MOST: i64 = 10_000;

/// What a run asks for.
struct Wanted {
    customers: usize,
    staff: usize,
    admins: usize,
    run: String,
}

/// One made account.
#[derive(Serialize)]
struct Made {
    user_id: i64,
    username: String,
    access: String,
}

/// Carries out `POST /lab/fixtures`.
///
/// # Errors
/// 400 for a body that asks for nothing sensible.
pub async fn make(core: &Core, body: Value) -> ApiResult<Value> {
    let wanted = read(body)?;
    // One hash for all: the lab needs accounts by the thousand.
    let password = random_token::<16>();
    let password_hash = core.hasher.hash(&password).await?;
    let mark = random_token::<4>();
    let roles = |staff, admin| Roles { staff, admin };
    let mut new = Vec::with_capacity(wanted.customers + wanted.staff + wanted.admins);
    for (kind, roles, count) in [
        ("c", Roles::default(), wanted.customers),
        ("s", roles(true, false), wanted.staff),
        ("a", roles(true, true), wanted.admins),
    ] {
        for n in 0..count {
            let username = format!("{}-{mark}-{kind}{n}", wanted.run);
            new.push(account(
                username,
                roles,
                &password_hash,
                core.clock.now_ms(),
            ));
        }
    }
    let mut made = add(core, new).await?;
    let admins = made.split_off(wanted.customers + wanted.staff);
    let staff = made.split_off(wanted.customers);
    Ok(json!({ "customers": made, "staff": staff, "admins": admins, "password": password }))
}

fn read(body: Value) -> ApiResult<Wanted> {
    let Value::Object(map) = body else {
        return Err(Error::Fixture("the body must be a JSON object".into()).into());
    };
    let mut form = Form::of(map);
    let customers = form.opt_int("customers", 0..=MOST).unwrap_or(0);
    let staff = form.opt_int("staff", 0..=MOST).unwrap_or(0);
    let admins = form.opt_int("admins", 0..=MOST).unwrap_or(0);
    let run = form.opt_text("run", 1..=40).unwrap_or_else(|| "run".into());
    if !run
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    {
        form.error(
            "run",
            "It may contain letters, digits and the characters .-_ only.",
        );
    }
    if let Some((field, problem)) = form.problems().first() {
        return Err(Error::Fixture(format!("{field}: {problem}")).into());
    }
    Ok(Wanted {
        customers: usize::try_from(customers).unwrap_or(0),
        staff: usize::try_from(staff).unwrap_or(0),
        admins: usize::try_from(admins).unwrap_or(0),
        run,
    })
}

fn account(username: String, roles: Roles, password_hash: &str, joined_ms: i64) -> NewAccount {
    NewAccount {
        email: format!("{username}@lab.example"),
        username,
        first_name: "Lab".into(),
        last_name: "Fixture".into(),
        password_hash: password_hash.to_owned(),
        roles,
        joined_ms,
    }
}

async fn add(core: &Core, new: Vec<NewAccount>) -> Result<Vec<Made>> {
    let ids = core.store.add_accounts(&new).await?;
    let accounts: Vec<Account> = ids
        .into_iter()
        .zip(new)
        .map(|(id, new)| new.with_id(id))
        .collect();
    let grants: Vec<_> = accounts
        .iter()
        .map(|account| core.new_grant(account))
        .collect();
    let grants = core.store.open_sessions(&grants, None).await?;
    let tokens = core.sign_access(&grants).await?;
    let made = accounts.into_iter().zip(tokens);
    Ok(made
        .map(|(account, access)| Made {
            user_id: account.id,
            username: account.username,
            access,
        })
        .collect())
}
