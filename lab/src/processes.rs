//! The shop's parts as processes to break: killed, paused, started again.
//!
//! Children die with the thread that spawned them, so only the main thread's loop, which owns the
//! shop, may start one. Whoever breaks a part holds a [`Remote`], which sends it orders over a
//! channel; the loop obeys at once ([`Shop::obey`]), and all waiting (for an end, for health) is
//! done on the remote's side, so that the run that is measured is never held up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use async_trait::async_trait;
use chaos_engine::target::{ProcessResult, Processes};
use parking_lot::Mutex;
use reqwest::Client;
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::health::{self, Health};
use crate::links;
use crate::shop::{PATIENCE, Shop};
use crate::supervisor::{Ending, GRACE, Spawner, describe};

/// How often a part that is to change is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a signal may take to show.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(5);

/// What can be done to a process without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Send it a signal that ends it.
    End(Signal),
    /// Send it another.
    Send(Signal),
    /// Start it, if it does not run.
    Start,
    /// Nothing.
    Look,
}

/// How long the two halves of a restart took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From being told to end until it had ended.
    pub ended: Duration,
    /// From its start until it was healthy.
    pub healthy: Duration,
}

/// What the shop's owner is asked to do.
pub struct Order {
    part: String,
    act: Act,
    answer: oneshot::Sender<Result<Child>>,
}

/// The process that an order was about.
struct Child {
    pid: u32,
    ending: Ending,
}

/// Where a part's health is asked.
struct Ready {
    url: String,
    /// The links that it needs once it runs, if it is the fault proxy.
    links: Option<(String, Value)>,
}

/// Breaks the parts of a shop from anywhere.
pub struct Remote {
    orders: mpsc::Sender<Order>,
    client: Client,
    parts: BTreeMap<String, Ready>,
    pids: Mutex<BTreeMap<String, u32>>,
}

/// A remote for the shop, and the orders to pass to [`Shop::obey`].
///
/// # Errors
/// When no HTTP client can be made.
pub fn remote(shop: &Shop) -> Result<(Arc<Remote>, mpsc::Receiver<Order>)> {
    let (orders, received) = mpsc::channel(16);
    let ready = |part: &crate::parts::Part| Ready {
        url: part.address.ready.clone(),
        links: (part.name == "toxiproxy").then(|| (part.address.url.clone(), shop.links())),
    };
    let parts = shop.parts.iter().map(|p| (p.name.clone(), ready(p)));
    let pids = shop.state.parts.iter();
    let pids = pids.filter_map(|part| Some((part.name.clone(), part.pid?)));
    let remote = Remote {
        orders,
        client: health::client()?,
        parts: parts.collect(),
        pids: Mutex::new(pids.collect()),
    };
    Ok((Arc::new(remote), received))
}

impl Shop {
    /// Does what is ordered, without waiting for what comes of it.
    pub fn obey(&mut self, spawner: &Spawner, order: Order) {
        let done = self.act(spawner, &order.part, order.act);
        // Who asked may have left: a run that was cancelled.
        let _ = order.answer.send(done);
    }

    fn act(&mut self, spawner: &Spawner, part: &str, act: Act) -> Result<Child> {
        let index = self.parts.iter().position(|p| p.name == part);
        let index = index.with_context(|| format!("the shop has no part {part:?}"))?;
        match act {
            Act::Start => self.start_again(spawner, index)?,
            Act::Look => {}
            Act::Send(signal) => self.signal(index, signal)?,
            Act::End(signal) => {
                self.running[index].ends_on_purpose = true;
                self.signal(index, signal)?;
                self.state.parts[index].pid = None;
                self.state.parts[index].ended = Some("ended on purpose".to_owned());
                self.write_state()?;
            }
        }
        let running = &self.running[index].running;
        Ok(Child {
            pid: running.pid,
            ending: running.ending(),
        })
    }

    fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        let running = &self.running[index].running;
        if let Some(status) = running.exit() {
            bail!("it does not run: it {}", describe(status));
        }
        if !running.send(signal) {
            bail!("it takes no signal");
        }
        Ok(())
    }

    fn start_again(&mut self, spawner: &Spawner, index: usize) -> Result<()> {
        if self.running[index].running.exit().is_none() {
            return Ok(());
        }
        self.read_secrets()?;
        let part = &self.parts[index];
        self.running[index] = spawner.start(part, self.place())?.into();
        self.state.parts[index].pid = Some(self.running[index].running.pid);
        self.state.parts[index].ended = None;
        self.write_state()
    }
}

impl Remote {
    async fn order(&self, part: &str, act: Act) -> Result<Child> {
        let (answer, answered) = oneshot::channel();
        let order = Order {
            part: part.to_owned(),
            act,
            answer,
        };
        let gone = || anyhow!("the shop is being stopped");
        self.orders.send(order).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Ends it with the signal, and by force if it takes longer than it may.
    async fn end(&self, part: &str, signal: Signal) -> Result<()> {
        let child = self.order(part, Act::End(signal)).await?;
        self.pids.lock().remove(part);
        if tokio::time::timeout(GRACE, child.ending.wait())
            .await
            .is_err()
        {
            self.order(part, Act::End(Signal::KILL)).await?;
            child.ending.wait().await;
        }
        Ok(())
    }

    /// Stops or continues it, and waits until it shows.
    async fn hold(&self, part: &str, signal: Signal, stopped: bool) -> Result<()> {
        let child = self.order(part, Act::Send(signal)).await?;
        let deadline = Instant::now() + SIGNAL_PATIENCE;
        while is_stopped(child.pid).is_some_and(|is| is != stopped) {
            if Instant::now() > deadline {
                bail!("it does not react to {signal:?}");
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Starts it, and returns when it is healthy.
    async fn begin(&self, part: &str) -> Result<()> {
        let child = self.order(part, Act::Start).await?;
        self.pids.lock().insert(part.to_owned(), child.pid);
        let ready = self.parts.get(part).context("it has no address")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let health = tokio::select! {
                health = health::probe(&self.client, &ready.url) => health,
                status = child.ending.wait() => bail!("it {} while it started", describe(status)),
            };
            match health {
                Health::Unhealthy(why) if Instant::now() > deadline => {
                    bail!("it is not healthy after {} s: {why}", PATIENCE.as_secs())
                }
                Health::Unhealthy(_) => sleep(LOOK_EVERY).await,
                Health::Healthy | Health::Degraded(_) => break,
            }
        }
        match &ready.links {
            Some((api, proxies)) => links::make(&self.client, api, proxies).await,
            None => Ok(()),
        }
    }

    async fn again(&self, part: &str) -> Result<()> {
        self.end(part, Signal::TERM).await?;
        self.begin(part).await
    }

    /// Ends the part, if it runs, lets it finish what it has, and starts it again; how long both
    /// took. Returns when it is healthy.
    ///
    /// # Errors
    /// When there is no such part, or it does not become healthy.
    pub async fn restart_if_it_runs(&self, part: &str) -> Result<Took> {
        let begun = Instant::now();
        if self.pids.lock().contains_key(part) {
            // It may have crashed meanwhile: then there is nothing to end.
            let child = self.order(part, Act::Look).await?;
            if child.ending.has_ended() {
                self.pids.lock().remove(part);
            } else {
                self.end(part, Signal::TERM).await?;
            }
        }
        let ended = begun.elapsed();
        self.begin(part).await?;
        Ok(Took {
            ended,
            healthy: begun.elapsed() - ended,
        })
    }
}

/// Whether the process is stopped, as far as `/proc` tells (proc(5): `T`).
fn is_stopped(pid: u32) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    Some(state == 'T')
}

/// In words, with the causes.
fn told(done: Result<()>) -> ProcessResult {
    done.map_err(|error| format!("{error:#}").into())
}

#[async_trait]
impl Processes for Remote {
    fn parts(&self) -> Vec<String> {
        self.parts.keys().cloned().collect()
    }

    fn pids(&self) -> BTreeMap<String, u32> {
        self.pids.lock().clone()
    }

    async fn kill(&self, part: &str) -> ProcessResult {
        told(self.end(part, Signal::KILL).await)
    }

    async fn pause(&self, part: &str) -> ProcessResult {
        told(self.hold(part, Signal::STOP, true).await)
    }

    async fn resume(&self, part: &str) -> ProcessResult {
        told(self.hold(part, Signal::CONT, false).await)
    }

    async fn start(&self, part: &str) -> ProcessResult {
        told(self.begin(part).await)
    }

    async fn restart(&self, part: &str) -> ProcessResult {
        told(self.again(part).await)
    }
}
