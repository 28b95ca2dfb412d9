//! `lab status`: what runs, where, how healthy.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::exit::Exit;
use crate::health::{self, Health};
use crate::place::Place;
use crate::state::{PartState, State};
use crate::text;

/// `lab status`: exit 0 when a lab runs, however healthy, and 3 when none does.
///
/// # Errors
/// When the state can't be read.
pub async fn run(place: &Place, as_json: bool) -> Result<Exit> {
    let state = State::of_running(place)?;
    if as_json {
        let parts = match &state {
            Some(state) => describe(state).await?,
            None => Vec::new(),
        };
        let text = serde_json::to_string_pretty(&Document { parts }).context("JSON")?;
        println!("{text}");
    }
    let Some(state) = state else {
        eprintln!("{}", State::none_runs(place));
        return Ok(Exit::CannotRun);
    };
    if !as_json {
        print!("{}", table(&state).await?);
        println!("\nlab pid {}, data {}", state.pid, place.data.display());
        if !state.ready {
            println!("it is still starting");
        }
    }
    Ok(Exit::Held)
}

async fn describe(state: &State) -> Result<Vec<Described>> {
    let parts = ask_all(state).await?;
    Ok(parts
        .into_iter()
        .map(|(part, health)| Described::new(part, &health))
        .collect())
}

/// What `--json` prints. A struct, because its keys keep their order.
#[derive(Serialize)]
struct Document {
    parts: Vec<Described>,
}

/// A part as `--json` shows it.
#[derive(Serialize)]
struct Described {
    name: String,
    kind: String,
    url: String,
    grpc: Option<String>,
    metrics: Option<String>,
    control: Option<String>,
    pid: Option<u32>,
    healthy: bool,
}

impl Described {
    fn new(part: PartState, health: &Health) -> Self {
        Self {
            name: part.name,
            kind: part.kind,
            url: part.url,
            grpc: part.grpc,
            metrics: part.metrics,
            control: part.control,
            pid: part.pid,
            healthy: health.serves(),
        }
    }
}

/// The parts with their addresses and health, for people.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn table(state: &State) -> Result<String> {
    let mut rows = vec![text::row(["part", "url", "gRPC", "pid", "health"])];
    for (part, health) in ask_all(state).await? {
        let pid = part
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let grpc = part.grpc.as_deref().unwrap_or("-");
        rows.push(text::row([
            &part.name,
            &part.url,
            grpc,
            &pid,
            &health.text(),
        ]));
    }
    Ok(text::table(&rows))
}

/// Asks all parts at once; the gateway first, as the one that users meet.
async fn ask_all(state: &State) -> Result<Vec<(PartState, Health)>> {
    let client = health::client()?;
    let asked: Vec<_> = state
        .parts
        .iter()
        .rev()
        .cloned()
        .map(|part| {
            let client = client.clone();
            tokio::spawn(async move {
                let health = ask(&client, &part).await;
                (part, health)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.context("health check")?);
    }
    Ok(answers)
}

async fn ask(client: &reqwest::Client, part: &PartState) -> Health {
    match (&part.ended, part.pid) {
        (Some(how), _) => Health::Unhealthy(how.clone()),
        (None, None) => Health::Unhealthy("not started yet".to_owned()),
        (None, Some(_)) => health::probe(client, &part.alive).await,
    }
}
