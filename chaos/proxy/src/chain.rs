//! The chain of stages that one direction of one connection runs through.
//!
//! The chain is a plain value driven by [`crate::pipe`]: pieces are pushed in at
//! the front, [`Chain::advance`] moves along what is due, and what comes out
//! waits in a short queue to be written. Toxics come and go at any time; what a
//! removed one held moves on to the next stage, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use crate::acted::Counted;
use crate::draw::Draws;
use crate::toxics::{Acts, Chunk, Direction, End, Piece, Pull, Stage, Toxic};

/// Written queue: beyond this, stages keep what they hold.
const OUT_CAPACITY: usize = 256 * 1024;

/// The most pieces in it, should they be small.
const OUT_PIECES: usize = 1024;

/// Everything a direction may hold, whatever the number of stages and however
/// often toxics come and go while the receiver doesn't read.
const CAPACITY: usize = 16 * 1024 * 1024;

/// A toxic of this direction, and its stage if it acts on this connection.
struct Slot {
    toxic: Arc<Toxic>,
    stage: Option<Box<dyn Stage>>,
    /// The stream ended here: no stage is made again.
    spent: bool,
    counted: Counted,
}

impl Slot {
    /// Something comes to the stage; what the toxic acts on is counted.
    fn push(&mut self, connection: u64, piece: Piece, now: Instant) {
        match (self.toxic.kind.acts, &piece) {
            (Acts::Data, Piece::Chunk(chunk)) => self.acted(connection, 1, chunk.data.len()),
            (Acts::End, Piece::End(_)) => self.acted(connection, 0, 0),
            _ => {}
        }
        if let Some(stage) = &mut self.stage {
            stage.push(piece, now);
        }
    }

    fn acted(&mut self, connection: u64, chunks: u64, bytes: usize) {
        let ledger = &self.toxic.ledger;
        ledger.record(connection, &mut self.counted, chunks, bytes);
    }
}

/// The stages of one direction, and what waits behind them to be written.
pub(crate) struct Chain {
    direction: Direction,
    /// The connection's: decide which toxics act on it.
    draws: Draws,
    slots: Vec<Slot>,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// An end went in.
    input_over: bool,
    /// An end came out.
    end: Option<End>,
}

impl Chain {
    pub(crate) fn new(direction: Direction, draws: Draws) -> Self {
        Self {
            direction,
            draws,
            slots: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            input_over: false,
            end: None,
        }
    }

    /// Nothing acts and nothing is held: bytes may be copied past the chain.
    pub(crate) fn is_plain(&self) -> bool {
        self.out.is_empty()
            && !self.input_over
            && self.end.is_none()
            && self.slots.iter().all(|slot| slot.stage.is_none())
    }

    /// May another chunk be read for it?
    pub(crate) fn wants_input(&self) -> bool {
        !self.input_over && self.end.is_none() && self.room_at(0) && self.held() < CAPACITY
    }

    /// The next bytes to write; empty if there are none.
    pub(crate) fn front(&self) -> &[u8] {
        self.out.front().map_or(&[], |bytes| bytes)
    }

    /// That many bytes of the front were written.
    pub(crate) fn written(&mut self, n: usize) {
        self.out_bytes -= n;
        if let Some(front) = self.out.front_mut() {
            front.advance(n);
            if front.is_empty() {
                self.out.pop_front();
            }
        }
    }

    /// How the stream ends, once that has passed the last stage. What is still
    /// to be written comes before it.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Takes in what was read, or how reading ended.
    pub(crate) fn push(&mut self, piece: Piece, now: Instant) {
        if self.input_over {
            // Read just before a toxic ended the stream: it lies behind the end.
            return;
        }
        self.input_over |= matches!(piece, Piece::End(_));
        self.give(0, piece, now);
    }

    /// Makes the stages match the proxy's list of toxics.
    pub(crate) fn reconcile(&mut self, list: &[Arc<Toxic>], now: Instant) {
        self.drop_removed(list, now);
        let direction = self.direction;
        let wanted = list.iter().filter(|toxic| toxic.direction == direction);
        // Toxics are only ever appended, so the slots that stayed are a prefix
        // of the wanted list, in its order.
        for (index, toxic) in wanted.enumerate() {
            match self.slots.get(index) {
                None => self.append(toxic, now),
                Some(slot) if !Arc::ptr_eq(&slot.toxic, toxic) => self.retune(index, toxic, now),
                Some(_) => {}
            }
        }
    }

    fn drop_removed(&mut self, list: &[Arc<Toxic>], now: Instant) {
        let mut index = 0;
        while let Some(slot) = self.slots.get(index) {
            if list.iter().any(|toxic| toxic.id == slot.toxic.id) {
                index += 1;
                continue;
            }
            self.release(index, now);
            self.slots.remove(index);
        }
    }

    fn append(&mut self, toxic: &Arc<Toxic>, now: Instant) {
        let stage = toxic
            .acts_on(self.draws.seed)
            .then(|| toxic.stage(self.draws.seed, now));
        self.slots.push(Slot {
            toxic: Arc::clone(toxic),
            stage,
            spent: false,
            counted: Counted::default(),
        });
    }

    fn retune(&mut self, index: usize, toxic: &Arc<Toxic>, now: Instant) {
        let acts = toxic.acts_on(self.draws.seed);
        let slot = &mut self.slots[index];
        slot.toxic = Arc::clone(toxic);
        match &mut slot.stage {
            Some(stage) if acts => stage.retune(&toxic.attributes, now),
            Some(_) => self.release(index, now),
            None if acts && !slot.spent => slot.stage = Some(toxic.stage(self.draws.seed, now)),
            None => {}
        }
    }

    /// Ends the stage at `index`; what it held goes on.
    fn release(&mut self, index: usize, now: Instant) {
        let Some(stage) = self.slots[index].stage.take() else {
            return;
        };
        for piece in stage.release() {
            self.pass(index, piece, now);
        }
    }

    /// Moves along everything that is due. Returns when more will be, if that
    /// is a matter of time.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let mut moved = false;
            let mut wake: Option<Instant> = None;
            // Back to front, so that room opens up before it is asked for.
            for index in (0..self.slots.len()).rev() {
                let (progress, until) = self.drain(index, now);
                moved |= progress;
                wake = match (wake, until) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            if !moved {
                return wake;
            }
        }
    }

    /// Pulls from one stage until it has no more for now.
    fn drain(&mut self, index: usize, now: Instant) -> (bool, Option<Instant>) {
        let mut moved = false;
        loop {
            let room = self.room_at(index + 1);
            let Some(stage) = &mut self.slots[index].stage else {
                return (moved, None);
            };
            match stage.pull(now, room) {
                Pull::Nothing => return (moved, None),
                Pull::Until(due) => return (moved, Some(due)),
                Pull::Piece(piece) => {
                    moved = true;
                    self.pass(index, piece, now);
                }
                Pull::Cut(end) => {
                    moved = true;
                    self.slots[index].acted(self.draws.connection, 0, 0);
                    self.pass(index, Piece::End(end), now);
                }
            }
        }
    }

    /// Passes on what came out of the stage at `index`.
    fn pass(&mut self, index: usize, piece: Piece, now: Instant) {
        let over = matches!(piece, Piece::End(_));
        self.give(index + 1, piece, now);
        if over {
            self.spend(index);
        }
    }

    /// Hands a piece to the first stage at or after `index`, or to the output.
    fn give(&mut self, index: usize, piece: Piece, now: Instant) {
        let mut behind = self.slots.iter_mut().skip(index);
        let next = behind.find(|slot| slot.stage.is_some());
        match (next, piece) {
            (Some(slot), piece) => slot.push(self.draws.connection, piece, now),
            (None, Piece::End(end)) => self.end = Some(end),
            (None, Piece::Chunk(Chunk { data, .. })) => {
                self.out_bytes += data.len();
                self.out.push_back(data);
            }
        }
    }

    /// The stream ended behind this stage: what lies before it no longer counts.
    fn spend(&mut self, index: usize) {
        self.input_over = true;
        for slot in &mut self.slots[..=index] {
            slot.stage = None;
            slot.spent = true;
        }
    }

    fn room_at(&self, index: usize) -> bool {
        let next = self
            .slots
            .iter()
            .skip(index)
            .find_map(|slot| slot.stage.as_ref());
        let out = self.out_bytes < OUT_CAPACITY && self.out.len() < OUT_PIECES;
        next.map_or(out, |stage| stage.ready())
    }

    fn held(&self) -> usize {
        let stages = self.slots.iter().filter_map(|slot| slot.stage.as_ref());
        self.out_bytes + stages.map(|stage| stage.held()).sum::<usize>()
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
