//! The product service: the catalogue, its stock, and reservations of it.
//!
//! REST for the shop, gRPC for the order service, SQLite behind a store trait.
//! [`App`] assembles it; a test starts the whole of it on port 0.

#![warn(missing_docs)]

mod catalogue;
mod config;
pub mod domain;
mod fixtures;
mod gauges;
mod grpc;
mod rest;
pub mod seed;
pub mod store;
mod sweep;

use std::{convert::identity, sync::Arc};

use anyhow::Context as _;
use kit::{Running, Server, Slots, cache::MemoryCache, db::Db, health::Health};
use proto::product::product_service_server::ProductServiceServer;
use serde_json::json;

use crate::{
    catalogue::Catalogue,
    store::{DEFECTS, FAILPOINTS, Lab, SqlStore, Store},
};

pub use config::Config;

/// The service's label.
const NAME: &str = "product";
/// Bytes that the cache may hold.
const CACHE_BYTES: u64 = 32 << 20;

/// The product service.
pub struct App;

/// What the handlers share.
pub(crate) struct Shared {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The truth, up to ten seconds ago.
    pub catalogue: Catalogue,
}

impl kit::cli::Service for App {
    const NAME: &'static str = NAME;
    type Config = Config;

    fn config(env: &mut kit::Env) -> Config {
        Config::read(env)
    }

    fn common(config: &Config) -> &kit::Common {
        &config.common
    }

    async fn start(config: Config) -> anyhow::Result<Running> {
        let Config { common, verifier } = config;
        let slots = Slots::new(&common);
        let lab = Lab {
            points: slots.failpoints(),
            defects: slots.defects(),
        };
        lab.points.declare(FAILPOINTS);
        lab.defects.declare(DEFECTS);
        let (db, store) = open(&common, |db| slots.database(db), lab.clone()).await?;
        if common.seed_sample_data {
            seed::run(store.as_ref())
                .await
                .context("making the sample data")?;
        }
        let cache = slots.cache(Arc::new(MemoryCache::new(CACHE_BYTES)));
        let catalogue = Catalogue::new(Arc::clone(&store), cache, NAME);
        let shared = Arc::new(Shared {
            store: Arc::clone(&store),
            catalogue,
        });

        let counts = kit::http::limits::DatabaseCounts::new(db.clone()).await?;
        let (rest, document) = rest::router(Arc::clone(&shared));
        let grpc = ProductServiceServer::with_interceptor(
            grpc::Grpc::new(Arc::clone(&shared), lab.points),
            kit::grpc::secret(&common.service_secret),
        );
        let health = Health::new(NAME)
            .critical("database", move || ping(db.clone()))
            .critical("keys", {
                let verifier = Arc::clone(&verifier);
                move || {
                    std::future::ready(if verifier.is_ready() {
                        Ok(())
                    } else {
                        Err("no keys yet".to_owned())
                    })
                }
            });
        let (fixtures, reset, sweep) = (Arc::clone(&shared), Arc::clone(&shared), shared);
        let books = Arc::clone(&store);
        let running = Server::new(&common)
            .shared_counts(Arc::new(counts))
            .rest(rest.merge(kit::docs::router(NAME, document)))
            .auth(verifier)
            .grpc(tonic::service::Routes::new(grpc), &[grpc::NAME])
            .health(health)
            .slots(slots)
            .fixtures(move |body| Box::pin(fixtures::make(Arc::clone(&fixtures), body)))
            .books(&["stock"], move |only| {
                let store = Arc::clone(&books);
                async move { Ok(json!(store.books(only.is_none()).await?)) }
            })
            .on_reset(move || {
                let shared = Arc::clone(&reset);
                Box::pin(async move { shared.catalogue.clear().await })
            })
            .task("stock gauges", |shutdown| async move {
                shutdown.run_until_cancelled_owned(gauges::run(store)).await;
            })
            .task("expiry sweep", |shutdown| async move {
                shutdown.run_until_cancelled_owned(sweep::run(sweep)).await;
            })
            .start()
            .await?;
        Ok(running)
    }

    async fn migrate(config: Config) -> anyhow::Result<()> {
        open(&config.common, identity, Lab::default())
            .await
            .map(drop)
    }

    async fn seed(config: Config) -> anyhow::Result<()> {
        let (_, store) = open(&config.common, identity, Lab::default()).await?;
        let made = seed::run(store.as_ref()).await?;
        tracing::info!(made, "sample products");
        Ok(())
    }
}

/// The database, brought up to date and then as `guard` has it, and the store on it.
async fn open(
    common: &kit::Common,
    guard: impl FnOnce(Db) -> Db,
    lab: Lab,
) -> anyhow::Result<(Db, Arc<dyn Store>)> {
    let url = common
        .database_url
        .as_deref()
        .context("DATABASE_URL is missing")?;
    let db = Db::open(NAME, url).await.context("opening the database")?;
    store::migrate(&db)
        .await
        .context("migrating the database")?;
    let db = guard(db);
    let store = SqlStore::new(db.clone())?.in_lab(lab);
    Ok((db, Arc::new(store)))
}

async fn ping(db: Db) -> Result<(), String> {
    db.ping().await.map_err(|error| error.to_string())
}
