//! The payment service, a simulator: it remembers what was authorised, captured and voided, and
//! moves no money. It is here so that an order has a step whose outcome can be unknown.
//!
//! gRPC for the order service (link `order-payment`), a SQLite file of its own.

#![warn(missing_docs)]

mod config;
pub mod domain;
mod grpc;
pub mod store;

use std::sync::Arc;

use anyhow::Context as _;
use kit::{ApiError, Running, Server, Slots, db::Db, health::Health};
use proto::payment::payment_service_server::PaymentServiceServer;
use serde_json::json;

use crate::store::{DEFECTS, FAILPOINTS, MIGRATIONS, SqlStore, Store as _, StoreError};

pub use config::Config;

/// The service's label.
const NAME: &str = "payment";

/// The payment service.
pub struct App;

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
        let Config {
            common,
            limit_cents,
        } = config;
        let slots = Slots::new(&common);
        let (points, defects) = (slots.failpoints(), slots.defects());
        points.declare(FAILPOINTS);
        defects.declare(DEFECTS);
        let db = slots.database(open(&common).await?);
        let store = Arc::new(SqlStore::new(db.clone(), points.clone(), defects));
        let books = Arc::clone(&store);
        let grpc = PaymentServiceServer::with_interceptor(
            grpc::Grpc::new(store, points, limit_cents),
            kit::grpc::secret(&common.service_secret),
        );
        let health = Health::new(NAME).critical("database", move || ping(db.clone()));
        let running = Server::new(&common)
            .grpc(tonic::service::Routes::new(grpc), &[grpc::NAME])
            .health(health)
            .slots(slots)
            .books(&[], move |_| {
                let store = Arc::clone(&books);
                async move { Ok(json!(store.books().await?)) }
            })
            .start()
            .await?;
        Ok(running)
    }

    async fn migrate(config: Config) -> anyhow::Result<()> {
        open(&config.common).await.map(drop)
    }

    /// There is no sample data: the sample orders were paid long ago.
    async fn seed(config: Config) -> anyhow::Result<()> {
        open(&config.common).await.map(drop)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            other @ StoreError::UnknownState { .. } => Self::internal(other),
        }
    }
}

async fn open(common: &kit::Common) -> anyhow::Result<Db> {
    let url = common
        .database_url
        .as_deref()
        .context("DATABASE_URL is missing")?;
    let db = Db::open(NAME, url).await.context("opening the database")?;
    db.migrate(MIGRATIONS)
        .await
        .context("migrating the database")?;
    Ok(db)
}

async fn ping(db: Db) -> Result<(), String> {
    db.ping().await.map_err(|error| error.to_string())
}
