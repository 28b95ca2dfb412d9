//! `slow_close`: data passes, but the end of the stream comes `delay`
//! milliseconds later than it was sent.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::Queue;
use super::{Acts, Attributes, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "slow_close",
    attributes: &["delay"],
    acts: Acts::End,
    stage,
};

fn stage(attributes: &Attributes, _seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(SlowClose {
        delay: attributes.millis("delay"),
        queue: Queue::default(),
    })
}

struct SlowClose {
    delay: Duration,
    queue: Queue,
}

impl Stage for SlowClose {
    fn ready(&self) -> bool {
        self.queue.has_room()
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        self.queue.push(piece, now);
    }

    fn pull(&mut self, now: Instant, room: bool) -> Pull {
        if let Some((_, came)) = self.queue.end() {
            let due = came + self.delay;
            return if due > now {
                Pull::Until(due)
            } else {
                self.queue.pull_end()
            };
        }
        let next = if room {
            self.queue.take(usize::MAX)
        } else {
            None
        };
        next.map_or(Pull::Nothing, |chunk| Pull::Piece(Piece::Chunk(chunk)))
    }

    fn retune(&mut self, attributes: &Attributes, _now: Instant) {
        self.delay = attributes.millis("delay");
    }

    fn release(self: Box<Self>) -> Vec<Piece> {
        self.queue.into_pieces()
    }

    fn held(&self) -> usize {
        self.queue.held()
    }
}

#[cfg(test)]
mod tests {
    use super::super::End;
    use super::super::testing::{attributes, chunk, drain, sizes, stage};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_end_is_late_and_the_data_is_not() {
        let start = Instant::now();
        let mut slow = stage(&KIND, r#"{"delay":300}"#);
        slow.push(chunk(b"data", start), start);
        slow.push(Piece::End(End::HalfClose), start + 50 * MS);
        let out = drain(slow.as_mut(), start + 50 * MS);
        assert_eq!(sizes(&out), [(start + 50 * MS, 4)]);
        assert!(
            matches!(out.last(), Some((at, Pull::Piece(Piece::End(End::HalfClose)))) if *at == start + 350 * MS)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_delay_counts_from_when_the_end_came() {
        let start = Instant::now();
        let mut slow = stage(&KIND, r#"{"delay":60000}"#);
        slow.push(Piece::End(End::Close), start);
        assert!(matches!(slow.pull(start, true), Pull::Until(_)));
        slow.retune(&attributes(&KIND, r#"{"delay":100}"#), start + 70 * MS);
        assert!(
            matches!(slow.pull(start + 70 * MS, true), Pull::Until(t) if t == start + 100 * MS)
        );
        let out = slow.pull(start + 100 * MS, false);
        assert!(matches!(out, Pull::Piece(Piece::End(End::Close))));
    }

    #[tokio::test(start_paused = true)]
    async fn removed_it_closes_at_once() {
        let start = Instant::now();
        let mut slow = stage(&KIND, r#"{"delay":60000}"#);
        slow.push(chunk(b"x", start), start);
        slow.push(Piece::End(End::HalfClose), start);
        assert!(matches!(slow.pull(start, false), Pull::Nothing));
        assert!(matches!(
            slow.release()[..],
            [Piece::Chunk(_), Piece::End(End::HalfClose)]
        ));
    }
}
