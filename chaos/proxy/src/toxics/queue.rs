//! What a stage holds: chunks in order, and the end behind them.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Chunk, End, Piece, Pull};

/// Enough not to slow anything down.
const CAPACITY: usize = 256 * 1024;

#[derive(Default)]
pub(super) struct Queue {
    chunks: VecDeque<Chunk>,
    /// In [`Chunk::cost`].
    held: usize,
    end: Option<(End, Instant)>,
}

impl Queue {
    pub(super) fn push(&mut self, piece: Piece, now: Instant) {
        self.held += piece.cost();
        match piece {
            Piece::Chunk(chunk) => self.chunks.push_back(chunk),
            Piece::End(end) => self.end = Some((end, now)),
        }
    }

    pub(super) fn front(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    /// The first chunk, or its first `most` bytes; the rest of it stays in front.
    pub(super) fn take(&mut self, most: usize) -> Option<Chunk> {
        let first = self.chunks.front_mut()?;
        if most < first.data.len() {
            self.held -= most;
            let data = first.data.split_to(most);
            return Some(Chunk { data, at: first.at });
        }
        let whole = self.chunks.pop_front()?;
        self.held -= whole.cost();
        Some(whole)
    }

    /// The end and when it came, once no chunk lies before it.
    pub(super) fn end(&self) -> Option<(End, Instant)> {
        self.end.filter(|_| self.chunks.is_empty())
    }

    /// Gives out the end, if nothing lies before it.
    pub(super) fn pull_end(&mut self) -> Pull {
        match self.end() {
            Some((end, _)) => {
                self.end = None;
                Pull::Piece(Piece::End(end))
            }
            None => Pull::Nothing,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.held < CAPACITY
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// All of it, in order.
    pub(super) fn into_pieces(self) -> Vec<Piece> {
        let chunks = self.chunks.into_iter().map(Piece::Chunk);
        chunks
            .chain(self.end.map(|(end, _)| Piece::End(end)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{chunk, text};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_taken_leaves_the_rest_in_its_place() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(chunk(b"abc", now), now);
        queue.push(chunk(b"de", now), now);
        queue.push(Piece::End(End::HalfClose), now);
        assert_eq!(queue.held(), 5 + 2 * 64);
        assert_eq!(&queue.take(2).unwrap().data[..], b"ab");
        assert_eq!(queue.held(), 3 + 2 * 64);
        assert!(queue.end().is_none() && matches!(queue.pull_end(), Pull::Nothing));
        assert_eq!(&queue.take(9).unwrap().data[..], b"c");
        assert_eq!(&queue.take(2).unwrap().data[..], b"de");
        assert!(matches!(
            queue.pull_end(),
            Pull::Piece(Piece::End(End::HalfClose))
        ));
        assert!(matches!(queue.pull_end(), Pull::Nothing));
        assert_eq!(queue.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_comes_out_in_order() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(chunk(b"abc", now), now);
        queue.push(chunk(b"de", now), now);
        queue.push(Piece::End(End::Close), now);
        queue.take(1);
        let pieces = queue.into_pieces();
        assert_eq!(text(&pieces), "bcde");
        assert!(matches!(pieces.last(), Some(Piece::End(End::Close))));
    }
}
