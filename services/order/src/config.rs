//! What this service is configured with: the only reader of its environment.

use std::{path::PathBuf, time::Duration};

use kit::{Common, Env, crypto::FieldKeys};
use lettre::message::Mailbox;

use crate::outbox::Smtp;

/// Where the database is unless `DATABASE_URL` says otherwise.
pub const DATABASE: &str = "sqlite://order-service.db?mode=rwc";
/// Where mails go unless `OUTBOX_DIR` or `OUTBOX_SMTP_URL` says otherwise.
const OUTBOX: &str = "order-outbox";
const SENDER: &str = "Faultline shop <shop@localhost>";
/// Within this and five seconds a saga ends.
const SAGA_TTL_MS: u64 = 30_000;
/// How long a repeat of a key gets the first answer.
const KEY_HOURS: u64 = 24;

/// Everything that `order-service` reads from its environment.
#[derive(Clone)]
pub struct Config {
    /// What all services share.
    pub common: Common,
    /// Base address of the user service's REST side, for its keys.
    pub user_url: String,
    /// The user service's gRPC side (link `order-user`).
    pub user_grpc_url: String,
    /// The product service's gRPC side (link `order-product`).
    pub product_grpc_url: String,
    /// The payment service's gRPC side (link `order-payment`); without it an order has no payment
    /// step.
    pub payment_grpc_url: Option<String>,
    /// Keys of the encrypted fields; the first encrypts.
    pub field_keys: FieldKeys,
    /// How long a saga may take.
    pub saga_ttl: Duration,
    /// How long an idempotency key is kept.
    pub keep_keys: Duration,
    /// Where mails are sent; none, they are written into `outbox_dir`.
    pub smtp: Option<Smtp>,
    /// Where mails are written.
    pub outbox_dir: PathBuf,
    /// The sender of mails.
    pub sender: Mailbox,
}

impl Config {
    /// Reads the environment; problems are collected in `env`.
    pub fn read(env: &mut Env) -> Self {
        let common = Common::read(env, "order", 8003, None, Some(DATABASE));
        let sender: Mailbox = env.parse("OUTBOX_FROM").unwrap_or_else(Self::sender);
        let url = env.text("OUTBOX_SMTP_URL");
        let smtp = url.map(|url| Smtp {
            url,
            from: sender.clone(),
        });
        Self {
            common,
            user_url: env.required_unless_lab("USER_SERVICE_URL", "http://127.0.0.1:8001"),
            user_grpc_url: env
                .required_unless_lab("USER_SERVICE_GRPC_URL", "http://127.0.0.1:50051"),
            product_grpc_url: env
                .required_unless_lab("PRODUCT_SERVICE_GRPC_URL", "http://127.0.0.1:50052"),
            payment_grpc_url: env.text("PAYMENT_SERVICE_GRPC_URL"),
            field_keys: FieldKeys::read(env),
            saga_ttl: saga_ttl(env),
            keep_keys: Duration::from_secs(
                3600 * env
                    .parse_or("ORDER_KEY_HOURS", KEY_HOURS)
                    .clamp(1, 24 * 366),
            ),
            smtp,
            outbox_dir: env
                .text("OUTBOX_DIR")
                .unwrap_or_else(|| OUTBOX.to_owned())
                .into(),
            sender,
        }
    }

    /// The sender unless `OUTBOX_FROM` says otherwise.
    pub fn sender() -> Mailbox {
        SENDER
            .parse()
            .unwrap_or_else(|_| unreachable!("an address of ours"))
    }
}

fn saga_ttl(env: &mut Env) -> Duration {
    let ms = env.parse_or("ORDER_SAGA_TTL_MS", SAGA_TTL_MS);
    if !(1_000..=3_600_000).contains(&ms) {
        env.problem("ORDER_SAGA_TTL_MS must be 1000 to 3600000 (a second to an hour)");
    }
    Duration::from_millis(ms)
}
