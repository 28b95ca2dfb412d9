//! How this service is, and those it leans on.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use kit::{auth::Verifier, cli::Service as _, db::Db, grpc::Link, health::Health};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::seed::Seeding;

/// A dependency that takes longer to say how it is counts as down.
const PATIENCE: Duration = Duration::from_secs(1);

/// Its own database and the keys of tokens are critical; the services that an
/// order needs are not, since history is there without them.
pub fn checks(
    db: &Db,
    verifier: &Arc<Verifier>,
    links: &[(&'static str, Link)],
    seeding: &Seeding,
) -> Health {
    let (db, verifier, samples) = (db.clone(), Arc::clone(verifier), seeding.clone());
    let health = Health::new(crate::App::NAME)
        .critical("database", move || {
            let db = db.clone();
            async move {
                db.ping()
                    .await
                    .map_err(|_| "the database does not answer".to_owned())
            }
        })
        .critical("keys", move || {
            let ready = verifier.is_ready();
            async move {
                if ready {
                    Ok(())
                } else {
                    Err("no verification keys yet".to_owned())
                }
            }
        });
    let health = links.iter().fold(health, |health, (name, link)| {
        health.optional(name, probe(link))
    });
    if !seeding.wanted() {
        return health;
    }
    health.optional("sample-data", move || {
        let state = samples.state();
        async move { state }
    })
}

/// Asks the gRPC health service of every replica past the link's policy: a question of ours must
/// neither count for the breaker nor be refused by it. One that serves is enough.
fn probe(
    link: &Link,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync + use<>
{
    let channels = link.channels();
    move || {
        let asked = channels
            .iter()
            .cloned()
            .map(|channel| Box::pin(ask(channel)));
        let first_well = select_ok(asked);
        Box::pin(async move { first_well.await.map(drop) })
    }
}

async fn ask(channel: Channel) -> Result<(), String> {
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = timeout(PATIENCE, HealthClient::new(channel).check(request)).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?;
    // The code alone: messages carry addresses.
    let status = answer
        .map_err(|status| format!("{:?}", status.code()))?
        .into_inner();
    match status.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(other.as_str_name().to_ascii_lowercase()),
    }
}
