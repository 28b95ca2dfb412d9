//! A client of the control API: policies, resets, and the stream of events.

use std::collections::BTreeMap;

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
use crate::target::{Target, innermost, join, send, send_json};

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
    /// on everything goes into `sink`, losses included.
    ///
    /// # Errors
    /// [`EngineError::Http`] if the stream does not begin.
    pub async fn events(&self, sink: mpsc::Sender<Told>) -> Result<Events, EngineError> {
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
        let opened = tokio::time::timeout(std::time::Duration::from_secs(10), opening).await;
        let lines = opened.map_err(|_| EngineError::http(&what, "no hello within 10 s"))??;
        Ok(Events(tokio::spawn(follow(lines, self.part.clone(), sink))))
    }
}

/// The numbers of the events are no proof of a loss: every reader's `hello` takes
/// one, so another reader makes them jump. The part itself tells a loss.
async fn follow(mut lines: Lines, part: String, sink: mpsc::Sender<Told>) {
    let gap = |why: String| Told::Gap {
        t_ns: clock::now_ns(),
        service: part.clone(),
        why,
    };
    while let Some(line) = lines.next().await {
        let told = match Event::parse(&line) {
            Ok(Event {
                kind: Kind::Gap { missed },
                ..
            }) => gap(format!("{missed} events missed")),
            Ok(event) => Told::Event(event),
            Err(why) => gap(format!("an event that can't be read: {why}")),
        };
        let over = matches!(told, Told::Gap { .. });
        // One gap voids the trial; whatever follows it changes nothing.
        if sink.send(told).await.is_err() || over {
            return;
        }
    }
    // The reader has gone when the trial is over, so a failure here is no news.
    let _ = sink.send(gap("the event stream ended".to_owned())).await;
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
