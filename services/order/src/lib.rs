//! The order service: quotes, orders, and their history.
//!
//! An order is validated across the services (the user's account, the catalogue,
//! the stock), priced by the catalogue, paid, and stored with its owner encrypted. It
//! calls the user, the product and (where there is one) the payment service over the links
//! `order-user`, `order-product` and `order-payment`, and its database over `order-database`, each
//! behind a policy in its slot. What spans services is a saga ([`saga`]), whose state is in the
//! order's own database.

#![warn(missing_docs)]

mod books;
pub mod checkout;
pub mod clients;
pub mod config;
pub mod domain;
pub mod error;
mod health;
pub mod outbox;
mod rest;
pub mod saga;
pub mod seed;
pub mod store;

use std::sync::Arc;

use futures_util::future::join_all;
use kit::{
    Common, Env, Running, Server, Slots,
    auth::Verifier,
    cli::Service,
    crypto::FieldCipher,
    db::Db,
    grpc::Link,
    lab::{Defects, Failpoints},
};
use resilience::{observe::Fanout, preset, slot::Slot, slot::SlotName};
use tokio_util::sync::CancellationToken;

use crate::{
    books::Books,
    checkout::Checkout,
    clients::{PaymentClient, Products, Users},
    config::Config,
    outbox::{FolderMailer, Mailer, Outbox, SmtpMailer},
    rest::Shared,
    saga::{Journal, Payments, Recovery, Saga, Settings, Stock, tidy},
    seed::{Sampler, Seeding},
    store::{
        BookStore, DEFECTS, FAILPOINTS, Guarded, GuardedJournal, MIGRATIONS, OrderStore, SqlStore,
        guarded,
    },
};

const USER_RPC: &str = "user.UserService";
const PRODUCT_RPC: &str = "product.ProductService";
const PAYMENT_RPC: &str = "payment.PaymentService";

/// The service, as its binary runs it.
pub struct App;

impl Service for App {
    const NAME: &'static str = "order";
    const COMMANDS: &'static [(&'static str, &'static str)] = &[(
        "keys rotate",
        "encrypts anew, with the first of FIELD_ENCRYPTION_KEYS, what another one encrypted",
    )];
    type Config = Config;

    fn config(env: &mut Env) -> Config {
        Config::read(env)
    }

    fn common(config: &Config) -> &Common {
        &config.common
    }

    async fn start(config: Config) -> anyhow::Result<Running> {
        let slots = Slots::new(&config.common);
        slots.failpoints().declare(FAILPOINTS);
        slots.defects().declare(DEFECTS);
        let db = slots.database(open(&config).await?);
        let sql = store(&config, &db, slots.failpoints(), slots.defects());
        let parts = Parts::new(&config, &slots, &sql)?;
        let verifier = Verifier::remote(&config.user_url);
        let seeding = Seeding::new(config.common.seed_sample_data);
        let health = health::checks(&db, &verifier, &parts.links, &seeding);
        let sampler = config
            .common
            .seed_sample_data
            .then(|| sampler(&config, &sql))
            .transpose()?;
        let mailer = mailer(&config)?;
        let books = Books::new(Arc::clone(&sql) as Arc<dyn BookStore>, Arc::clone(&mailer));
        let outbox = Outbox::new(sql, mailer, slots.failpoints());
        let (checkout, recovery) = (parts.checkout.clone(), parts.recovery);
        let links = parts.links;
        // Dropped with the last connection: no order can begin after that.
        let serving = CancellationToken::new();
        let shared = Shared {
            checkout: parts.checkout,
            store: parts.store,
            _serving: serving.clone().drop_guard(),
        };
        let (tidied, keep_keys) = (parts.saga, config.keep_keys);
        let counts = kit::http::limits::DatabaseCounts::new(db.clone()).await?;
        let mut server = Server::new(&config.common)
            .shared_counts(Arc::new(counts))
            .rest(rest::router(Arc::new(shared)))
            .auth(verifier)
            .health(health)
            .slots(slots)
            .books(books::PARTS, move |only| {
                let books = books.clone();
                async move { books.tell(only.is_some()).await }
            })
            .task("orders", move |_| async move {
                serving.cancelled().await;
                checkout.finished().await;
                db.close().await;
            })
            .task("replicas", move |shutdown| async move {
                let following = links.iter().map(|(_, link)| link.follow());
                shutdown.run_until_cancelled(join_all(following)).await;
            })
            .task("recovery", move |shutdown| async move {
                shutdown.run_until_cancelled(recovery.run()).await;
            })
            .task("outbox", move |shutdown| async move {
                shutdown.run_until_cancelled(outbox.run()).await;
            })
            .task("tidying up", move |shutdown| async move {
                shutdown.run_until_cancelled(tidy(tidied, keep_keys)).await;
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
        let sql = store(&config, &db, Failpoints::off(), Defects::off());
        Ok(sampler(&config, &sql)?.run().await?)
    }

    async fn command(args: &[String], config: Config) -> anyhow::Result<bool> {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        if words != ["keys", "rotate"] {
            return Ok(false);
        }
        let db = open(&config).await?;
        let sql = store(&config, &db, Failpoints::off(), Defects::off());
        let count = sql.rotate().await?;
        println!("{count} values encrypted anew");
        Ok(true)
    }
}

/// What requests and recovery work with.
struct Parts {
    store: Guarded,
    checkout: Checkout,
    /// The requests' saga.
    saga: Saga,
    recovery: Recovery,
    /// For the health page.
    links: Vec<(&'static str, Link)>,
}

impl Parts {
    fn new(config: &Config, slots: &Slots, sql: &Arc<SqlStore>) -> anyhow::Result<Self> {
        let (user, product) = (Peer::User, Peer::Product);
        let users = link(config, slots.client("order-user", "user"), user)?;
        let products = link(config, slots.client("order-product", "product"), product)?;
        let payment_url = config.payment_grpc_url.as_ref();
        let payment = payment_url.map(|url| {
            let slot = slots.client("order-payment", "payment");
            link_to(config, slot, url, PAYMENT_RPC)
        });
        let payment = payment.transpose()?;
        let slot = slots.with_policy(guarded::LINK, guarded::DEPENDENCY, guarded::no_policy());
        let journal: Arc<dyn Journal> = Arc::new(GuardedJournal::new(
            Arc::clone(sql) as Arc<dyn Journal>,
            slot.clone(),
        ));
        let store = Guarded::new(Arc::clone(sql) as Arc<dyn OrderStore>, slot);
        let settings = settings(config, slots);
        let stock = Products::new(products.clone());
        let saga = Saga::new(
            Arc::clone(&journal),
            Arc::new(stock.clone()),
            payment.clone().map(paying),
            settings.clone(),
        );
        let recovery = Recovery::new(recovering(config, sql, settings)?);
        let mut links = vec![
            ("user-service", users.clone()),
            ("product-service", products),
        ];
        links.extend(payment.map(|link| ("payment-service", link)));
        let checkout = Checkout::new(
            store.clone(),
            journal,
            Users::new(users),
            stock,
            saga.clone(),
        );
        Ok(Self {
            store,
            checkout,
            saga,
            recovery,
            links,
        })
    }
}

fn settings(config: &Config, slots: &Slots) -> Settings {
    // Names this run of the process: what a former one held is waited for.
    let owner = kit::crypto::random_token::<8>();
    Settings {
        points: slots.failpoints(),
        defects: slots.defects(),
        ..Settings::new(owner, config.saga_ttl, rest::body_of)
    }
}

fn paying(link: Link) -> Arc<dyn Payments> {
    Arc::new(PaymentClient::new(link))
}

/// Recovery's saga: past the slots of requests, whose breakers it must neither open nor wait for.
fn recovering(config: &Config, sql: &Arc<SqlStore>, settings: Settings) -> anyhow::Result<Saga> {
    let products: Arc<dyn Stock> = Arc::new(Products::new(link(
        config,
        unwatched("recovery"),
        Peer::Product,
    )?));
    let payment_url = config.payment_grpc_url.as_ref();
    let payment = payment_url
        .map(|url| link_to(config, unwatched("recovery"), url, PAYMENT_RPC).map(paying))
        .transpose()?;
    let journal = Arc::clone(sql) as Arc<dyn Journal>;
    Ok(Saga::new(journal, products, payment, settings))
}

/// By SMTP where that is configured, else into a folder.
fn mailer(config: &Config) -> anyhow::Result<Arc<dyn Mailer>> {
    Ok(match &config.smtp {
        Some(smtp) => Arc::new(SmtpMailer::new(smtp)?),
        None => Arc::new(FolderMailer::new(
            config.outbox_dir.clone(),
            config.sender.clone(),
        )),
    })
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

fn store(config: &Config, db: &Db, points: Failpoints, defects: Defects) -> Arc<SqlStore> {
    let cipher = FieldCipher::new(&config.field_keys);
    Arc::new(SqlStore::new(db.clone(), cipher).in_lab(points, defects))
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    User,
    Product,
}

fn link(config: &Config, slot: Slot, peer: Peer) -> anyhow::Result<Link> {
    let (url, rpc_service) = match peer {
        Peer::User => (&config.user_grpc_url, USER_RPC),
        Peer::Product => (&config.product_grpc_url, PRODUCT_RPC),
    };
    link_to(config, slot, url, rpc_service)
}

fn link_to(
    config: &Config,
    slot: Slot,
    url: &str,
    rpc_service: &'static str,
) -> anyhow::Result<Link> {
    let secret = &config.common.service_secret;
    let tls = config.common.grpc_tls.as_ref();
    Ok(Link::new(url, tls, slot, secret, App::NAME, rpc_service)?)
}

/// A slot that nobody watches: its waiting opens no breaker and counts as no attempt.
fn unwatched(what: &'static str) -> Slot {
    let name = SlotName::new(what, App::NAME, what);
    Slot::new(name, preset::none(), Arc::new(Fanout::default()), 0)
}

/// Waits for the other services over links of its own.
fn sampler(config: &Config, sql: &Arc<SqlStore>) -> anyhow::Result<Sampler> {
    let own = |peer| link(config, unwatched("sample-data"), peer);
    let (users, products) = (
        Users::new(own(Peer::User)?),
        Products::new(own(Peer::Product)?),
    );
    let store = Arc::clone(sql) as Arc<dyn OrderStore>;
    Ok(Sampler::new(store, users, products))
}
