//! A client of the control API: policies, faults, resets, and the stream of events.

mod defects;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use loadtest::clock;
use reqwest::Client;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::EngineError;
use crate::event::{Event, Kind};
use crate::target::{Target, innermost, join, read, send, send_if_there, send_json};

/// The control API of one part.
#[derive(Clone)]
pub struct Control {
    client: Client,
    part: String,
    base: Url,
    token: String,
}

#[derive(Deserialize)]
struct Policies {
    slots: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Faults {
    faults: Vec<Value>,
}

/// What a service counted of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FaultCounts {
    /// Requests that it was for.
    pub matched: u64,
    /// Requests that it acted on.
    pub acted: u64,
}

/// What the event stream of a part delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An event.
    Event(Event),
    /// Events were lost, at this time, for this reason.
    Gap {
        /// `CLOCK_MONOTONIC`, nanoseconds.
        t_ns: u64,
        /// Whose.
        service: String,
        /// Why.
        why: String,
    },
}

/// An open event stream; dropping it closes the stream.
#[derive(Debug)]
pub struct Events(JoinHandle<()>);

impl Drop for Events {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Control {
    /// Every control of a target.
    #[must_use]
    pub fn all(client: &Client, target: &Target) -> Vec<Self> {
        let one = |(part, base): (&String, &Url)| Self {
            client: client.clone(),
            part: part.clone(),
            base: base.clone(),
            token: target.lab_token.clone(),
        };
        target.control.iter().map(one).collect()
    }

    /// The part's name.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    fn url(&self, path: &str) -> String {
        join(&self.base, path)
    }

    fn what(&self, doing: &str) -> String {
        format!("{doing} {} at {}", self.part, self.base)
    }

    /// Its slots with the policies in them.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn policies(&self) -> Result<BTreeMap<String, Value>, EngineError> {
        let request = self
            .client
            .get(self.url("/lab/policies"))
            .bearer_auth(&self.token);
        let answer: Policies = send_json(&self.what("reading the policies of"), request).await?;
        Ok(answer.slots)
    }

    /// Puts a policy into a slot; returns the policy in effect.
    ///
    /// # Errors
    /// [`EngineError::Http`], with the service's own words.
    pub async fn put_policy(&self, slot: &str, spec: &Value) -> Result<Value, EngineError> {
        let request = self
            .client
            .put(self.url(&format!("/lab/policies/{slot}")))
            .bearer_auth(&self.token)
            .json(spec);
        send_json(
            &self.what(&format!("setting the policy of `{slot}` in")),
            request,
        )
        .await
    }

    /// Where a slot stands: its breaker, budget or limit.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn state(&self, slot: &str) -> Result<Value, EngineError> {
        let url = self.url(&format!("/lab/policies/{slot}/state"));
        let request = self.client.get(url).bearer_auth(&self.token);
        send_json(
            &self.what(&format!("reading the state of `{slot}` in")),
            request,
        )
        .await
    }

    /// The faults that are in force here, as the control API tells them.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn faults(&self) -> Result<Vec<Value>, EngineError> {
        let request = self.client.get(self.url("/lab/faults"));
        let request = request.bearer_auth(&self.token);
        let answer: Faults = send_json(&self.what("reading the faults of"), request).await?;
        Ok(answer.faults)
    }

    /// Puts a fault in force, as the control API takes it.
    ///
    /// # Errors
    /// [`EngineError::Http`], with the service's own words.
    pub async fn add_fault(&self, fault: &Value) -> Result<(), EngineError> {
        let request = self.client.post(self.url("/lab/faults"));
        let request = request.bearer_auth(&self.token).json(fault);
        send(&self.what("putting a fault on"), request)
            .await
            .map(drop)
    }

    /// Renews the lease of a fault; whether it was still there.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn renew_fault(&self, id: &str, lease: &str) -> Result<bool, EngineError> {
        let request = self.client.put(self.url(&format!("/lab/faults/{id}")));
        let request = request.bearer_auth(&self.token);
        let request = request.json(&serde_json::json!({ "lease": lease }));
        let answer = send_if_there(&self.what("renewing a fault on"), request).await?;
        Ok(answer.is_some())
    }

    /// Removes a fault; its counters, or `None` if it wasn't there any more.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn remove_fault(&self, id: &str) -> Result<Option<FaultCounts>, EngineError> {
        let what = self.what("removing a fault from");
        let request = self.client.delete(self.url(&format!("/lab/faults/{id}")));
        let answer = send_if_there(&what, request.bearer_auth(&self.token)).await?;
        answer.map(|body| read(&what, &body)).transpose()
    }

    /// Removes every fault.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn remove_faults(&self) -> Result<(), EngineError> {
        let request = self.client.delete(self.url("/lab/faults"));
        let request = request.bearer_auth(&self.token);
        send_if_there(&self.what("removing the faults from"), request)
            .await
            .map(drop)
    }

    /// Fresh breakers, budgets, limiters and caches.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn reset(&self) -> Result<(), EngineError> {
        let request = self
            .client
            .post(self.url("/lab/reset"))
            .bearer_auth(&self.token);
        send(
            &self.what("resetting"),
            request.json(&serde_json::json!({})),
        )
        .await
        .map(drop)
    }

    /// Opens the event stream and returns once its first line has come; from then
    /// on everything goes into `sink`, losses included. With `planned_ends` the part
    /// is stopped and started in between: its stream is opened again then, and that
    /// is no loss.
    ///
    /// # Errors
    /// [`EngineError::Http`] if the stream does not begin.
    pub async fn events(
        &self,
        sink: mpsc::Sender<Told>,
        planned_ends: bool,
    ) -> Result<Events, EngineError> {
        let lines = self.open_events().await?;
        let follower = Follower {
            control: self.clone(),
            sink,
            planned_ends,
        };
        Ok(Events(tokio::spawn(follower.follow(lines))))
    }

    async fn open_events(&self) -> Result<Lines, EngineError> {
        let what = self.what("following the events of");
        let request = self
            .client
            .get(self.url("/lab/events"))
            .bearer_auth(&self.token);
        let opening = async {
            let answer = request
                .send()
                .await
                .map_err(|e| EngineError::http(&what, innermost(&e)))?;
            if !answer.status().is_success() {
                return Err(EngineError::http(&what, answer.status()));
            }
            let mut lines = Lines::new(answer);
            let first = lines.next().await;
            match first.as_deref().map(Event::parse) {
                Some(Ok(Event {
                    kind: Kind::Hello, ..
                })) => Ok(lines),
                other => Err(EngineError::http(&what, format!("no hello, but {other:?}"))),
            }
        };
        // The whole opening is bounded; the stream itself is not.
        let opened = tokio::time::timeout(Duration::from_secs(10), opening).await;
        opened.map_err(|_| EngineError::http(&what, "no hello within 10 s"))?
    }
}

/// How often a part that is down is asked for its events again: what it tells between
/// its start and the opening is lost.
const AGAIN: Duration = Duration::from_millis(20);

struct Follower {
    control: Control,
    sink: mpsc::Sender<Told>,
    planned_ends: bool,
}

impl Follower {
    async fn follow(self, mut lines: Lines) {
        loop {
            if self.read(&mut lines).await.is_err() {
                return;
            }
            if !self.planned_ends {
                // The reader has gone when the trial is over, so a failure is no news.
                let _ = self.sink.send(self.gap("the event stream ended")).await;
                return;
            }
            lines = loop {
                tokio::time::sleep(AGAIN).await;
                match self.control.open_events().await {
                    Ok(lines) => break lines,
                    Err(_) if self.sink.is_closed() => return,
                    Err(_) => {}
                }
            };
        }
    }

    fn gap(&self, why: impl Into<String>) -> Told {
        Told::Gap {
            t_ns: clock::now_ns(),
            service: self.control.part.clone(),
            why: why.into(),
        }
    }

    /// Hands on what the stream says until it ends; an error when nothing that follows
    /// matters any more.
    ///
    /// The numbers of the events are no proof of a loss: every reader's `hello` takes
    /// one, so another reader makes them jump. The part itself tells a loss.
    async fn read(&self, lines: &mut Lines) -> Result<(), ()> {
        while let Some(line) = lines.next().await {
            let told = match Event::parse(&line) {
                Ok(Event {
                    kind: Kind::Gap { missed },
                    ..
                }) => self.gap(format!("{missed} events missed")),
                Ok(event) => Told::Event(event),
                Err(why) => self.gap(format!("an event that can't be read: {why}")),
            };
            let over = matches!(told, Told::Gap { .. });
            // One gap voids the trial; whatever follows it changes nothing.
            if self.sink.send(told).await.is_err() || over {
                return Err(());
            }
        }
        Ok(())
    }
}

/// The lines of a body.
struct Lines {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
    searched: usize,
}

impl Lines {
    fn new(answer: reqwest::Response) -> Self {
        Self {
            body: answer.bytes_stream().boxed(),
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// The next line without its end; `None` when the stream has ended or broken.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
            {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.buffer.len();
            let chunk = self.body.next().await?.ok()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
