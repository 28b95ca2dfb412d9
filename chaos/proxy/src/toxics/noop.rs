//! `noop`: changes nothing. Toxiproxy has it, so its clients may ask for it.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Acts, Attributes, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "noop",
    attributes: &[],
    acts: Acts::Data,
    stage,
};

/// Enough not to slow anything down.
const CAPACITY: usize = 256 * 1024;

fn stage(_attributes: &Attributes, _seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(Noop {
        queue: VecDeque::new(),
        held: 0,
    })
}

struct Noop {
    queue: VecDeque<Piece>,
    held: usize,
}

impl Stage for Noop {
    fn ready(&self) -> bool {
        self.held < CAPACITY
    }

    fn push(&mut self, piece: Piece, _now: Instant) {
        self.held += piece.cost();
        self.queue.push_back(piece);
    }

    fn pull(&mut self, _now: Instant, room: bool) -> Pull {
        let Some(piece) = self
            .queue
            .pop_front_if(|next| room || matches!(next, Piece::End(_)))
        else {
            return Pull::Nothing;
        };
        self.held -= piece.cost();
        Pull::Piece(piece)
    }

    fn retune(&mut self, _attributes: &Attributes, _now: Instant) {}

    fn release(self: Box<Self>) -> Vec<Piece> {
        self.queue.into()
    }

    fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Chunk, End};
    use super::*;
    use bytes::Bytes;

    #[tokio::test(start_paused = true)]
    async fn what_goes_in_comes_out_where_there_is_room() {
        let now = Instant::now();
        let mut stage = stage(&Attributes::zero(&[]), Seed::new(0), now);
        stage.push(
            Piece::Chunk(Chunk {
                data: Bytes::from_static(b"x"),
                at: now,
            }),
            now,
        );
        stage.push(Piece::End(End::HalfClose), now);
        assert!(matches!(stage.pull(now, false), Pull::Nothing));
        assert!(matches!(
            stage.pull(now, true),
            Pull::Piece(Piece::Chunk(_))
        ));
        assert!(matches!(
            stage.pull(now, false),
            Pull::Piece(Piece::End(End::HalfClose))
        ));
        assert_eq!(stage.held(), 0);
    }
}
