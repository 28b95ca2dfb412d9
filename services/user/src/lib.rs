//! The user service: accounts, passwords, tokens and second factors.
//!
//! REST for the shop and its clients, gRPC for the other services, a database
//! behind a store trait. [`App`] assembles it; a test starts the whole of it on
//! port 0.

#![warn(missing_docs)]

mod accounts;
pub mod audit;
mod clock;
mod commands;
mod config;
mod core;
pub mod domain;
pub mod error;
mod fixtures;
mod grpc;
mod hashing;
pub mod keyring;
pub mod keys;
mod pool;
mod rest;
mod revocations;
mod second_factor;
pub mod seed;
mod sessions;
pub mod store;
mod throttle;

use std::{convert::identity, sync::Arc, time::Duration};

use anyhow::Context as _;
use kit::{Running, Server, Slots, auth::Verifier, crypto::FieldCipher, db::Db, health::Health};
use proto::user::user_service_server::UserServiceServer;

use crate::{audit::Rows, core::Core, hashing::Hasher, keyring::Keyring, store::SqlStore};

pub use clock::Clock;
pub use config::Config;

/// The service's label.
const NAME: &str = "user";
/// Routes whose POST tries a password or a code.
const LOGINS: [&str; 2] = ["/api/token/", "/api/users/2fa/verify-login/"];
/// Between two sweeps of expired sessions.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// Between two looks at the folder of signing keys.
const KEYS_EVERY: Duration = Duration::from_secs(2);

/// How long security events are still written when the end has begun.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// The user service.
pub struct App;

impl kit::cli::Service for App {
    const NAME: &'static str = NAME;
    const COMMANDS: &'static [(&'static str, &'static str)] = &[
        (
            commands::CREATE_ADMIN,
            "NAME [EMAIL]: makes an admin; the password comes from standard input",
        ),
        (
            commands::SET_ROLE,
            "NAME none|staff|admin: gives an account another role",
        ),
        (
            commands::KEYS,
            "rotate [--lead SECONDS]: makes a signing key; rotate-fields: seals secrets with the first field key",
        ),
    ];
    type Config = Config;

    fn config(env: &mut kit::Env) -> Config {
        Config::read(env)
    }

    fn common(config: &Config) -> &kit::Common {
        &config.common
    }

    async fn start(config: Config) -> anyhow::Result<Running> {
        start_at(config, Clock::default()).await
    }

    async fn migrate(config: Config) -> anyhow::Result<()> {
        open(&config, identity).await.map(drop)
    }

    async fn seed(config: Config) -> anyhow::Result<()> {
        anyhow::ensure!(
            config.sample_accounts,
            "sample accounts are for LAB_MODE=1 alone: everybody knows their password"
        );
        let (_, store) = open(&config, identity).await?;
        let (core, _) = assemble(&config, store, Clock::default()).await?;
        let made = seed::run(&core)
            .await
            .context("making the sample accounts")?;
        tracing::info!(made, "sample accounts");
        Ok(())
    }

    async fn command(args: &[String], config: Config) -> anyhow::Result<bool> {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        match words[..] {
            [commands::CREATE_ADMIN, ..] => {
                let (core, rows) = prepare(&config).await?;
                let made =
                    commands::create_admin(&core, &args[1..], std::io::stdin().lock()).await?;
                rows.flush(&*core.store).await;
                println!("admin {} has id {}", made.username, made.id);
            }
            [commands::SET_ROLE, ..] => {
                let (core, rows) = prepare(&config).await?;
                let (account, role) = commands::set_role(&core, &args[1..]).await?;
                rows.flush(&*core.store).await;
                println!("{} (id {}) has role {role}", account.username, account.id);
            }
            [commands::KEYS, "rotate", ..] => rotate_keys(&config, &args[2..]).await?,
            [commands::KEYS, "rotate-fields"] => {
                let (core, rows) = prepare(&config).await?;
                let resealed = core.reseal_secrets().await?;
                rows.flush(&*core.store).await;
                println!("{resealed} secrets were sealed anew");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

async fn rotate_keys(config: &Config, args: &[String]) -> anyhow::Result<()> {
    let rotated = commands::rotate_keys(&config.private_key_path, args).await?;
    let from = kit::time::iso(rotated.from_ms);
    println!("key {} signs from {from} on", rotated.kid);
    for file in &rotated.removed {
        println!("{} is needed no more and was removed", file.display());
    }
    let (core, rows) = prepare(config).await?;
    commands::record_rotation(&core, &rotated);
    rows.flush(&*core.store).await;
    Ok(())
}

/// All parts, for a command.
async fn prepare(config: &Config) -> anyhow::Result<(Core, Rows)> {
    let (_, store) = open(config, identity).await?;
    assemble(config, store, Clock::default()).await
}

/// Starts the service with a clock of the caller's; returns when it answers.
///
/// # Errors
/// When the database, the key file or a port can't be used.
pub async fn start_at(config: Config, clock: Clock) -> anyhow::Result<Running> {
    let slots = Slots::new(&config.common);
    let (db, store) = open(&config, |db| slots.database(db)).await?;
    let (core, rows) = assemble(&config, store, clock).await?;
    let core = Arc::new(core);
    if config.production {
        refuse_sample_accounts(&core).await?;
    }
    if config.common.seed_sample_data {
        seed::run(&core)
            .await
            .context("making the sample accounts")?;
    }
    let (rest, document) = rest::router(Arc::clone(&core));
    let grpc = UserServiceServer::with_interceptor(
        grpc::Grpc(Arc::clone(&core)),
        kit::grpc::secret(&config.common.service_secret),
    );
    let (fixtures, keeper) = (Arc::clone(&core), Arc::clone(&core));
    let events = Arc::clone(&core.store);
    let counts = kit::http::limits::DatabaseCounts::new(db.clone()).await?;
    let running = Server::new(&config.common)
        .logins(&LOGINS)
        .shared_counts(Arc::new(counts))
        .rest(rest.merge(kit::docs::router(NAME, document)))
        .internal(rest::internal(Arc::clone(&core)))
        .auth(Arc::clone(&core.verifier))
        .grpc(tonic::service::Routes::new(grpc), &[grpc::NAME])
        .health(health(db, Arc::clone(&core.verifier)))
        .slots(slots)
        .fixtures(move |body| {
            let core = Arc::clone(&fixtures);
            async move { fixtures::make(&core, body).await }
        })
        .task("keys", move |shutdown| async move {
            shutdown.run_until_cancelled_owned(keep_keys(keeper)).await;
        })
        .task("audit", move |shutdown| async move {
            // Requests that are under way still leave events when the end has begun.
            let ended = async {
                shutdown.cancelled_owned().await;
                tokio::time::sleep(LAST_EVENTS).await;
            };
            rows.write(events, ended).await;
        })
        .task("sweep", move |shutdown| async move {
            shutdown.run_until_cancelled_owned(sweep(core)).await;
        })
        .start()
        .await?;
    Ok(running)
}

/// A production that was tried out first must not go on with accounts that everybody can log in to.
async fn refuse_sample_accounts(core: &Core) -> anyhow::Result<()> {
    let left = seed::left(core)
        .await
        .context("looking for sample accounts")?;
    anyhow::ensure!(
        left.is_empty(),
        "the database has sample accounts, whose password everybody knows ({}): start production \
         on a database of its own, or change their passwords first",
        left.join(", ")
    );
    Ok(())
}

/// The database, brought up to date and then as `guard` has it, and the store on it.
async fn open(config: &Config, guard: impl FnOnce(Db) -> Db) -> anyhow::Result<(Db, SqlStore)> {
    let url = config
        .common
        .database_url
        .as_deref()
        .context("DATABASE_URL is missing")?;
    let db = Db::open(NAME, url).await.context("opening the database")?;
    let migrating = SqlStore::new(db.clone()).migrate().await;
    migrating.context("migrating the database")?;
    let db = guard(db);
    Ok((db.clone(), SqlStore::new(db)))
}

async fn assemble(config: &Config, store: SqlStore, clock: Clock) -> anyhow::Result<(Core, Rows)> {
    let path = config.private_key_path.clone();
    let keys = tokio::task::spawn_blocking(move || Keyring::open(&path)).await??;
    let now_ms = clock.now_ms();
    let verifier = Verifier::local(keys.key_set(now_ms)?);
    tracing::info!(kid = keys.signing(now_ms).kid(), "signing key ready");
    let (audit, rows) = audit::audit();
    let core = Core {
        store: Arc::new(store),
        hasher: Hasher::new().await?,
        keys: Arc::new(keys),
        verifier,
        cipher: FieldCipher::new(&config.field_keys),
        clock,
        signing: core::signing_pool(),
        audit,
        sample_accounts: config.sample_accounts,
    };
    Ok((core, rows))
}

/// Follows the folder of signing keys, which `keys rotate` and other replicas add to.
async fn keep_keys(core: Arc<Core>) {
    let mut every = tokio::time::interval(KEYS_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = core.reload_keys().await {
            tracing::warn!(%error, "the signing keys could not be read again: those at hand stay");
        }
    }
}

fn health(db: Db, verifier: Arc<Verifier>) -> Health {
    let ping = move || {
        let db = db.clone();
        async move {
            db.ping()
                .await
                .map_err(|_| "the database does not answer".to_owned())
        }
    };
    let keys = move || {
        let ready = verifier.is_ready();
        std::future::ready(if ready {
            Ok(())
        } else {
            Err("no signing key".to_owned())
        })
    };
    Health::new(NAME)
        .critical("database", ping)
        .critical("keys", keys)
}

async fn sweep(core: Arc<Core>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        match core.sweep().await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "expired sessions swept"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be swept"),
        }
    }
}
