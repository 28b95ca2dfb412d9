//! A shop: all parts started in order, watched, and stopped in the reverse order.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use tokio::time::{Instant, interval, sleep};

use crate::compile::Programs;
use crate::health::{self, Health};
use crate::holder;
use crate::links;
use crate::logs;
use crate::parts::{self, Part};
use crate::place::Place;
use crate::ports::Layout;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::state::{Lock, PartState, State};
use crate::supervisor::{GRACE, Running, Spawner, describe};

/// How long a part may take to become healthy; the first start makes an RSA-4096 key.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a starting part is asked for its health.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long all parts together may take from healthy to complete.
const SETTLING: Duration = Duration::from_secs(15);

/// How long the children of a lab that was killed may still hold its ports.
const AFTER_A_CRASH: Duration = Duration::from_secs(5);

/// How often the logs are looked at.
const BOUND_LOGS_EVERY: Duration = Duration::from_secs(5);

/// All parts of a shop, and the right to its data folder.
pub struct Shop {
    /// What the other commands read.
    pub state: State,
    /// The bearer token of its control API.
    pub token: String,
    place: Place,
    layout: Layout,
    programs: Programs,
    pub(crate) parts: Vec<Part>,
    pub(crate) running: Vec<Process>,
    client: Client,
    _lock: Lock,
}

/// A part's process.
pub(crate) struct Process {
    pub(crate) running: Running,
    /// Its end is wanted: it is no crash.
    pub(crate) ends_on_purpose: bool,
}

impl From<Running> for Process {
    fn from(running: Running) -> Self {
        Self {
            running,
            ends_on_purpose: false,
        }
    }
}

impl Shop {
    /// Takes the data folder and checks the ports; starts nothing yet.
    ///
    /// # Errors
    /// When a lab runs there, a port is taken, or the folder can't be written.
    pub async fn prepare(
        place: &Place,
        layout: Layout,
        programs: &Programs,
        fresh: bool,
    ) -> Result<Self> {
        make_folders(place)?;
        let lock = Lock::take(place)?;
        free_ports(place, layout).await?;
        if fresh {
            remove_databases(place)?;
        }
        let secrets = Secrets::load_or_create(&place.secrets())?;
        let parts = parts::all(layout, place, programs, &secrets);
        for part in &parts {
            logs::rotate(&place.log(&part.name))?;
        }
        let state = State {
            pid: std::process::id(),
            port_base: layout.base(),
            ready: false,
            orders: None,
            parts: parts
                .iter()
                .map(|part| PartState::planned(part, place))
                .collect(),
        };
        state.write(&place.state())?;
        Ok(Self {
            state,
            token: secrets.lab_token,
            place: place.clone(),
            layout,
            programs: programs.clone(),
            parts,
            running: Vec::new(),
            client: health::client()?,
            _lock: lock,
        })
    }

    /// Starts the parts one after the other, each healthy before the next.
    ///
    /// # Errors
    /// When a part can't be started, ends, or does not become healthy; what runs by then goes on
    /// running until [`Shop::stop`].
    pub async fn start(&mut self, spawner: &Spawner, progress: &Progress) -> Result<()> {
        for index in 0..self.parts.len() {
            let part = self.parts[index].clone();
            progress.step(&format!("starting {}", part.name));
            if is_replica(&part.name) {
                // The first makes the tables and the sample data that they share.
                self.settle(&self.parts[..index]).await;
            }
            let running = spawner.start(&part, &self.place)?;
            self.state.parts[index].pid = Some(running.pid);
            self.running.push(running.into());
            self.write_state()?;
            self.until_healthy(index, &part).await?;
            if part.name == "toxiproxy" {
                links::make(&self.client, &part.address.url, &self.links()).await?;
            }
        }
        progress.step("waiting until nothing is degraded");
        self.settle(&self.parts).await;
        self.state.ready = true;
        self.write_state()
    }

    /// Tells the other commands how things are.
    ///
    /// # Errors
    /// When the state can't be written.
    pub(crate) fn write_state(&self) -> Result<()> {
        self.state.write(&self.place.state())
    }

    /// The proxies of all links.
    pub(crate) fn links(&self) -> serde_json::Value {
        links::proxies(self.layout)
    }

    /// Reads the secrets again, so that a part that is started again has those that are there now:
    /// keys are changed so. The token of the lab itself stays as long as it runs.
    ///
    /// # Errors
    /// When they can't be read.
    pub(crate) fn read_secrets(&mut self) -> Result<()> {
        let mut secrets = Secrets::load(&self.place.secrets())?;
        secrets.lab_token = self.token.clone();
        self.parts = parts::all(self.layout, &self.place, &self.programs, &secrets);
        Ok(())
    }

    /// Where it keeps its things.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Gives what starts late (sample data, keys fetched from the user service) a moment. What is
    /// still degraded then serves all the same, and the table says what it lacks.
    async fn settle(&self, parts: &[Part]) {
        let deadline = Instant::now() + SETTLING;
        for part in parts {
            while health::probe(&self.client, &part.address.ready).await != Health::Healthy {
                if Instant::now() > deadline {
                    return;
                }
                sleep(ASK_EVERY).await;
            }
        }
    }

    async fn until_healthy(&self, index: usize, part: &Part) -> Result<()> {
        let running = &self.running[index].running;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let health = tokio::select! {
                health = health::probe(&self.client, &part.address.ready) => health,
                status = running.ended() => return Err(self.ended_early(part, status)),
            };
            match health {
                Health::Unhealthy(why) if Instant::now() > deadline => bail!(
                    "{} is not healthy after {} s: {why}\n{}",
                    part.name,
                    PATIENCE.as_secs(),
                    self.last_words(&part.name)
                ),
                Health::Unhealthy(_) => sleep(ASK_EVERY).await,
                Health::Healthy | Health::Degraded(_) => return Ok(()),
            }
        }
    }

    fn ended_early(&self, part: &Part, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!(
            "{} {} while it started\n{}",
            part.name,
            describe(status),
            self.last_words(&part.name)
        )
    }

    /// The end of a part's log, and where the rest is.
    pub fn last_words(&self, part: &str) -> String {
        let path = self.place.log(part);
        let lines = logs::tail(&path, 12);
        if lines.is_empty() {
            return format!("it wrote nothing to its log ({})", path.display());
        }
        format!(
            "the end of its log ({}):\n  {}",
            path.display(),
            lines.join("\n  ")
        )
    }

    /// Waits for the next part that ends by itself, and notes it; meanwhile keeps the logs short.
    pub async fn next_crash(&mut self) -> Result<(String, ExitStatus)> {
        let mut tick = interval(BOUND_LOGS_EVERY);
        let (index, status) = loop {
            let noted = &self.state.parts;
            let pending: Vec<_> = self
                .running
                .iter()
                .enumerate()
                .filter(|(index, process)| {
                    noted[*index].ended.is_none() && !process.ends_on_purpose
                })
                .map(|(index, process)| {
                    Box::pin(async move { (index, process.running.ended().await) })
                })
                .collect();
            tokio::select! {
                end = first_of(pending) => break end,
                _ = tick.tick() => self.bound_logs(),
            }
        };
        let part = &mut self.state.parts[index];
        part.pid = None;
        part.ended = Some(describe(status));
        let name = part.name.clone();
        self.write_state()?;
        Ok((name, status))
    }

    fn bound_logs(&self) {
        for part in &self.parts {
            // A log that can't be cut (a full disk) is no reason to stop the shop.
            let _ = logs::bound(&self.place.log(&part.name));
        }
    }

    /// Whether a part has ended by itself.
    pub fn has_crashed(&self) -> bool {
        self.running
            .iter()
            .any(|process| !process.ends_on_purpose && process.running.exit().is_some())
    }

    /// Stops what runs, last started first, and forgets the state.
    pub async fn stop(&mut self, progress: &Progress) {
        for Process { running, .. } in self.running.iter().rev() {
            progress.step(&format!("stopping {}", running.name));
            running.stop(GRACE).await;
        }
        // A state file that stays is known to be stale, since the lock is free.
        let _ = std::fs::remove_file(self.place.state());
    }
}

/// Whether it is a second or further process of a service.
fn is_replica(part: &str) -> bool {
    part.contains('.')
}

/// The first of the futures to end; never, when there are none.
async fn first_of<T, F: Future<Output = T> + Unpin>(mut futures: Vec<F>) -> T {
    std::future::poll_fn(|context| {
        for future in &mut futures {
            if let std::task::Poll::Ready(value) = std::pin::Pin::new(future).poll(context) {
                return std::task::Poll::Ready(value);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

fn make_folders(place: &Place) -> Result<()> {
    let keys = place.jwt_key();
    let keys = keys.parent().unwrap_or(Path::new("."));
    for dir in [&place.data, &place.databases(), &place.logs(), keys] {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    Ok(())
}

/// Requires the ports; after a crash it waits a moment for the last children to go.
async fn free_ports(place: &Place, layout: Layout) -> Result<()> {
    let crashed = State::left_behind(place).is_ok_and(|state| state.is_some());
    let deadline = Instant::now()
        + if crashed {
            AFTER_A_CRASH
        } else {
            Duration::ZERO
        };
    loop {
        match holder::require_free(layout) {
            Err(_) if Instant::now() < deadline => sleep(ASK_EVERY).await,
            verdict => return verdict,
        }
    }
}

fn remove_databases(place: &Place) -> Result<()> {
    let (dir, outbox) = (place.databases(), place.outbox());
    let empty = |dir: &Path| {
        std::fs::remove_dir_all(dir)
            .or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
            .with_context(|| format!("cannot empty {}", dir.display()))
    };
    empty(&dir)?;
    empty(&outbox)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))
}
