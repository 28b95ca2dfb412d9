//! The order service: quotes, orders, and their history.
//!
//! An order is validated across the services (the user's account, the catalogue,
//! the stock), priced by the catalogue, and stored with its owner encrypted. It
//! calls the user and the product service over the links `order-user` and
//! `order-product`, and its database over `order-database`, each behind a policy in its slot.

#![warn(missing_docs)]

pub mod checkout;
pub mod clients;
pub mod config;
pub mod domain;
pub mod error;
mod health;
mod rest;
pub mod seed;
pub mod store;

use std::sync::Arc;

use kit::{
    Common, Env, Running, Server, Slots, auth::Verifier, cli::Service, crypto::FieldCipher, db::Db,
    grpc::Link,
};
use resilience::{observe::Fanout, preset, slot::Slot, slot::SlotName};
use tokio_util::sync::CancellationToken;

use crate::{
    checkout::Checkout,
    clients::{Products, Users},
    config::Config,
    rest::Shared,
    seed::{Sampler, Seeding},
    store::{Guarded, MIGRATIONS, OrderStore, SqlStore, guarded},
};

const USER_RPC: &str = "user.UserService";
const PRODUCT_RPC: &str = "product.ProductService";

/// The service, as its binary runs it.
pub struct App;

impl Service for App {
    const NAME: &'static str = "order";
    type Config = Config;

    fn config(env: &mut Env) -> Config {
        Config::read(env)
    }

    fn common(config: &Config) -> &Common {
        &config.common
    }

    async fn start(config: Config) -> anyhow::Result<Running> {
        let slots = Slots::new(&config.common);
        let db = slots.database(open(&config).await?);
        let store = store(&config, &db);
        let user_link = link(&config, slots.client("order-user", "user"), Peer::User)?;
        let product_link = link(
            &config,
            slots.client("order-product", "product"),
            Peer::Product,
        )?;
        let verifier = Verifier::remote(&config.user_url);
        let seeding = Seeding::new(config.common.seed_sample_data);
        let health = health::checks(&db, &verifier, &user_link, &product_link, &seeding);
        let sampler = config
            .common
            .seed_sample_data
            .then(|| sampler(&config, &store))
            .transpose()?;
        let slot = slots.with_policy(guarded::LINK, guarded::DEPENDENCY, guarded::no_policy());
        let store = Guarded::new(store, slot);
        let checkout = Checkout::new(
            store.clone(),
            Users::new(user_link),
            Products::new(product_link),
        );
        // Dropped with the last connection: no order can begin after that.
        let serving = CancellationToken::new();
        let shared = Shared {
            checkout: checkout.clone(),
            store,
            _serving: serving.clone().drop_guard(),
        };
        let counts = kit::http::limits::DatabaseCounts::new(db.clone()).await?;
        let mut server = Server::new(&config.common)
            .shared_counts(Arc::new(counts))
            .rest(rest::router(Arc::new(shared)))
            .auth(verifier)
            .health(health)
            .slots(slots)
            .task("orders", move |_| async move {
                serving.cancelled().await;
                checkout.finished().await;
                db.close().await;
            });
        if let Some(sampler) = sampler {
            server = server.task("sample orders", move |shutdown| async move {
                shutdown.run_until_cancelled(seeding.run(&sampler)).await;
            });
        }
        Ok(server.start().await?)
    }

    async fn migrate(config: Config) -> anyhow::Result<()> {
        open(&config).await.map(drop)
    }

    async fn seed(config: Config) -> anyhow::Result<()> {
        let db = open(&config).await?;
        Ok(sampler(&config, &store(&config, &db))?.run().await?)
    }
}

/// The database, its schema up to date.
async fn open(config: &Config) -> anyhow::Result<Db> {
    let url = config
        .common
        .database_url
        .as_deref()
        .unwrap_or(config::DATABASE);
    let db = Db::open(App::NAME, url).await?;
    db.migrate(MIGRATIONS).await?;
    Ok(db)
}

fn store(config: &Config, db: &Db) -> Arc<dyn OrderStore> {
    Arc::new(SqlStore::new(
        db.clone(),
        FieldCipher::new(&config.field_keys),
    ))
}

#[derive(Clone, Copy)]
enum Peer {
    User,
    Product,
}

fn link(config: &Config, slot: Slot, peer: Peer) -> anyhow::Result<Link> {
    let (url, rpc_service) = match peer {
        Peer::User => (&config.user_grpc_url, USER_RPC),
        Peer::Product => (&config.product_grpc_url, PRODUCT_RPC),
    };
    let secret = &config.common.service_secret;
    let link = Link::new(url, slot, secret, App::NAME, rpc_service)?;
    Ok(link.with_tls(config.common.grpc_tls.as_ref())?)
}

/// Over links of its own, whose slots nobody watches: waiting for the other
/// services must not open a breaker or count as attempts.
fn sampler(config: &Config, store: &Arc<dyn OrderStore>) -> anyhow::Result<Sampler> {
    let policy = preset::get("none").ok_or_else(|| anyhow::anyhow!("there is no preset none"))?;
    let own = |peer| {
        let name = SlotName::new("sample-data", App::NAME, "sample-data");
        let slot = Slot::new(name, policy.clone(), Arc::new(Fanout::default()), 0);
        link(config, slot, peer)
    };
    let (users, products) = (
        Users::new(own(Peer::User)?),
        Products::new(own(Peer::Product)?),
    );
    Ok(Sampler::new(Arc::clone(store), users, products))
}
