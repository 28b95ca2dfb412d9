//! The sample accounts, the same on every machine. They are made past the
//! password rules, which would refuse their password; production makes none.

use futures_util::future::try_join_all;
use kit::auth::Roles;

use crate::{
    core::Core,
    domain::{NewAccount, account::unique_key},
    error::{Error, Result},
};

/// Password of all sample accounts.
pub const PASSWORD: &str = "password123";

/// Sample customers: `user0` … `user9`.
const CUSTOMERS: usize = 10;

/// Makes those sample accounts that are not there yet; gives back how many.
///
/// On an empty database their ids are 1 (`admin`), 2 (`staff`) and 3 … 12
/// (`user0` … `user9`).
///
/// # Errors
/// When the database does, or hashing.
pub async fn run(core: &Core) -> Result<usize> {
    let mut missing = Vec::new();
    for (name, roles) in names() {
        let (name_taken, email_taken) = core.taken(&name, &email(&name)).await?;
        if !name_taken && !email_taken {
            missing.push((name, roles));
        }
    }
    let now_ms = core.clock.now_ms();
    let made = missing.into_iter().map(|(username, roles)| async move {
        let password_hash = core.hasher.hash(PASSWORD).await?;
        let email = email(&username);
        let (first_name, last_name) = (capital(&username), "Sample".to_owned());
        Ok::<_, Error>(NewAccount {
            username,
            email,
            first_name,
            last_name,
            password_hash,
            roles,
            joined_ms: now_ms,
        })
    });
    let new = try_join_all(made).await?;
    Ok(core.store.add_accounts(&new).await?.len())
}

/// The sample accounts that are there and still have the sample password.
///
/// # Errors
/// When the database does, or hashing.
pub async fn left(core: &Core) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (name, _) in names() {
        let Some(found) = core.store.credentials(&unique_key(&name)).await? else {
            continue;
        };
        let hash = Some(found.password_hash.as_str());
        if core.hasher.verify(PASSWORD, hash).await? {
            left.push(name);
        }
    }
    Ok(left)
}

fn names() -> Vec<(String, Roles)> {
    let special = [
        (
            "admin".to_owned(),
            Roles {
                staff: true,
                admin: true,
            },
        ),
        (
            "staff".to_owned(),
            Roles {
                staff: true,
                admin: false,
            },
        ),
    ];
    let customers = (0..CUSTOMERS).map(|n| (format!("user{n}"), Roles::default()));
    special.into_iter().chain(customers).collect()
}

fn email(name: &str) -> String {
    format!("{}@example.com", unique_key(name))
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
