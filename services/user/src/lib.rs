//! The user service: accounts, passwords, tokens and second factors.
//!
//! REST for the shop and its clients, gRPC for the other services, a database
//! behind a store trait. [`App`] assembles it; a test starts the whole of it on
//! port 0.

#![warn(missing_docs)]

mod accounts;
mod clock;
mod commands;
mod config;
mod core;
pub mod domain;
pub mod error;
mod fixtures;
mod grpc;
mod hashing;
pub mod keys;
mod pool;
mod rest;
mod second_factor;
pub mod seed;
mod sessions;
pub mod store;

use std::{convert::identity, sync::Arc, time::Duration};

use anyhow::Context as _;
use kit::{
    Running, Server, Slots,
    auth::{KeySet, Verifier},
    crypto::FieldCipher,
    db::Db,
    health::Health,
};
use proto::user::user_service_server::UserServiceServer;

use crate::{core::Core, hashing::Hasher, keys::SigningKey, store::SqlStore};

pub use clock::Clock;
pub use config::Config;

/// The service's label.
const NAME: &str = "user";
/// Routes whose POST tries a password or a code.
const LOGINS: [&str; 2] = ["/api/token/", "/api/users/2fa/verify-login/"];
/// Between two sweeps of expired sessions.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// The user service.
pub struct App;

impl kit::cli::Service for App {
    const NAME: &'static str = NAME;
    const COMMANDS: &'static [(&'static str, &'static str)] = &[(
        commands::CREATE_ADMIN,
        "NAME [EMAIL]: makes an admin; the password comes from standard input",
    )];
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
        let core = assemble(&config, store, Clock::default()).await?;
        let made = seed::run(&core)
            .await
            .context("making the sample accounts")?;
        tracing::info!(made, "sample accounts");
        Ok(())
    }

    async fn command(args: &[String], config: Config) -> anyhow::Result<bool> {
        if args.first().map(String::as_str) != Some(commands::CREATE_ADMIN) {
            return Ok(false);
        }
        let (_, store) = open(&config, identity).await?;
        let core = assemble(&config, store, Clock::default()).await?;
        let made = commands::create_admin(&core, &args[1..], std::io::stdin().lock()).await?;
        println!("admin {} has id {}", made.username, made.id);
        Ok(true)
    }
}

/// Starts the service with a clock of the caller's; returns when it answers.
///
/// # Errors
/// When the database, the key file or a port can't be used.
pub async fn start_at(config: Config, clock: Clock) -> anyhow::Result<Running> {
    let slots = Slots::new(&config.common);
    let (db, store) = open(&config, |db| slots.database(db)).await?;
    let core = Arc::new(assemble(&config, store, clock).await?);
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
    let fixtures = Arc::clone(&core);
    let counts = kit::http::limits::DatabaseCounts::new(db.clone()).await?;
    let running = Server::new(&config.common)
        .logins(&LOGINS)
        .shared_counts(Arc::new(counts))
        .rest(rest.merge(kit::docs::router(NAME, document)))
        .auth(Arc::clone(&core.verifier))
        .grpc(tonic::service::Routes::new(grpc), &[grpc::NAME])
        .health(health(db, Arc::clone(&core.verifier)))
        .slots(slots)
        .fixtures(move |body| {
            let core = Arc::clone(&fixtures);
            async move { fixtures::make(&core, body).await }
        })
        .task("sweep", move |shutdown| async move {
            shutdown.run_until_cancelled_owned(sweep(core)).await;
        })
        .start()
        .await?;
    Ok(running)
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

async fn assemble(config: &Config, store: SqlStore, clock: Clock) -> anyhow::Result<Core> {
    let path = config.private_key_path.clone();
    let key = tokio::task::spawn_blocking(move || SigningKey::load_or_make(&path)).await??;
    let verifier = Verifier::local(KeySet::from_pem(key.kid(), key.public_pem())?);
    tracing::info!(kid = key.kid(), "signing key ready");
    Ok(Core {
        store: Arc::new(store),
        hasher: Hasher::new().await?,
        key: Arc::new(key),
        verifier,
        cipher: FieldCipher::new(&config.field_keys),
        clock,
        signing: core::signing_pool(),
        sample_accounts: config.sample_accounts,
    })
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
