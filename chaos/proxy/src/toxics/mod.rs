//! Toxics: what they are called, what can be set on them, and the stage that
//! each becomes on a live connection.
//!
//! A toxic type is one file here: a [`Kind`] with its attribute names and a
//! constructor for its [`Stage`], listed in [`KINDS`]. Stages do no I/O and own
//! no clock; the chain hands them pieces and the time, so that all of them can
//! be tested on a paused clock.

mod attributes;
mod bandwidth;
mod latency;
mod limit_data;
mod line;
mod list;
mod noop;
mod queue;
mod reset_peer;
mod slicer;
mod slow_close;
#[cfg(test)]
mod testing;
mod timeout;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use attributes::Attributes;
pub(crate) use list::{ToxicList, Toxics};

use crate::acted::Ledger;
use crate::draw::Seed;

/// Every type that can be added, by the name it has in the API.
const KINDS: &[Kind] = &[
    bandwidth::KIND,
    latency::KIND,
    limit_data::KIND,
    noop::KIND,
    reset_peer::KIND,
    slicer::KIND,
    slow_close::KIND,
    timeout::KIND,
];

/// A type of toxic.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name in the API.
    pub name: &'static str,
    /// Its attributes, whole numbers all, in the order the API shows them.
    pub attributes: &'static [&'static str],
    /// What counts as its having acted.
    pub acts: Acts,
    /// Makes the stage for one connection.
    pub stage: fn(&Attributes, Seed, Instant) -> Box<dyn Stage>,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}

/// What a toxic does its work on. Beside this, ending a stream itself
/// ([`Pull::Cut`]) always counts as having acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acts {
    /// Every chunk that reaches it.
    Data,
    /// The end of a stream.
    End,
    /// Nothing but what it cuts.
    Cut,
}

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// From the client to the server behind the proxy.
    Upstream,
    /// From the server to the client.
    Downstream,
}

impl Direction {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }

    /// Reads the API's `stream`, whatever its case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Upstream, Self::Downstream]
            .into_iter()
            .find(|direction| text.eq_ignore_ascii_case(direction.label()))
    }
}

/// A toxic as it is set on a proxy. A change makes a new value with the same
/// `id`, which is how connections tell an update from a replacement.
#[derive(Debug)]
pub(crate) struct Toxic {
    pub id: u64,
    pub name: String,
    pub kind: &'static Kind,
    /// As it was written; `direction` is what it means.
    pub stream: String,
    pub direction: Direction,
    /// Share of connections it acts on, 0 to 1.
    pub toxicity: f32,
    pub attributes: Attributes,
    /// What it acted on. A change of the toxic goes on with the same one.
    pub ledger: Arc<Ledger>,
}

impl Toxic {
    /// Does it act on the connection of this seed? The draw belongs to the
    /// connection and the toxic's name: raising the toxicity later only adds
    /// connections, lowering it only takes some away.
    pub(crate) fn acts_on(&self, connection: Seed) -> bool {
        connection.with(&self.name).unit() < self.toxicity
    }

    pub(crate) fn stage(&self, connection: Seed, now: Instant) -> Box<dyn Stage> {
        (self.kind.stage)(
            &self.attributes,
            connection.with(&self.name).with("stage"),
            now,
        )
    }

    pub(crate) fn view(self: &Arc<Self>) -> ToxicView {
        ToxicView(Arc::clone(self))
    }
}

/// A toxic as the API shows it.
#[derive(Clone, Debug)]
pub(crate) struct ToxicView(Arc<Toxic>);

impl Serialize for ToxicView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let toxic = &self.0;
        let mut out = serializer.serialize_struct("Toxic", 5)?;
        out.serialize_field("attributes", &toxic.attributes)?;
        out.serialize_field("name", &toxic.name)?;
        out.serialize_field("type", toxic.kind.name)?;
        out.serialize_field("stream", &toxic.stream)?;
        if toxic.toxicity.fract() == 0.0 {
            // Toxiproxy writes 1, not 1.0.
            out.serialize_field("toxicity", &(toxic.toxicity as i64))?;
        } else {
            out.serialize_field("toxicity", &toxic.toxicity)?;
        }
        out.end()
    }
}

/// Bytes that arrived together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub data: Bytes,
    /// When they reached this point: the proxy, or the end of the last stage
    /// that held them. Delays count from here, so that chunks don't add up.
    pub at: Instant,
}

impl Chunk {
    /// What holding it costs: its bytes and the bookkeeping, so that a flood of
    /// one-byte chunks is bounded too.
    pub(crate) fn cost(&self) -> usize {
        self.data.len() + 64
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender is done; the other direction goes on.
    HalfClose,
    /// The connection is to be closed, both ways, after what came before.
    Close,
    /// The connection is to be reset, both ways.
    Reset,
}

/// What moves through a stage, in order.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Chunk(Chunk),
    End(End),
}

impl Piece {
    /// What holding it costs; ends are free.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.cost(),
            Self::End(_) => 0,
        }
    }
}

/// A stage's answer to [`Stage::pull`].
#[derive(Debug)]
pub(crate) enum Pull {
    /// This goes on to the next stage.
    Piece(Piece),
    /// The toxic itself ends the stream here, like this.
    Cut(End),
    /// Nothing before this instant, which lies in the future.
    Until(Instant),
    /// Nothing until something is pushed, or room is made.
    Nothing,
}

/// One toxic at work in one direction of one connection.
///
/// Pieces go in and come out in order. After an [`End`] nothing is pushed.
pub(crate) trait Stage: Send {
    /// May a chunk be pushed? (An end may be, always.)
    fn ready(&self) -> bool;

    /// Takes in the next piece.
    fn push(&mut self, piece: Piece, now: Instant);

    /// Gives out what is due. Chunks only if there is `room` behind; ends
    /// need none.
    fn pull(&mut self, now: Instant, room: bool) -> Pull;

    /// The toxic's attributes changed.
    fn retune(&mut self, attributes: &Attributes, now: Instant);

    /// The toxic was removed: what goes on, at once and in order.
    fn release(self: Box<Self>) -> Vec<Piece>;

    /// What it holds, in [`Chunk::cost`].
    fn held(&self) -> usize;
}
