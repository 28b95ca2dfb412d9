//! `latency`: every chunk is delayed by `latency` ± `jitter` milliseconds.
//!
//! The delay counts from the chunk's arrival, so that a burst arrives `latency`
//! later as the same burst, and order is kept: a chunk never overtakes one that
//! drew a longer delay. The end of a stream waits for the data before it, but
//! is not delayed itself, as in Toxiproxy.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::time::Instant;

use super::{Acts, Attributes, Chunk, End, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

/// What one direction of one connection may hold back. A link carries at most
/// this much per `latency` of time, about what a window-scaled TCP does.
const CAPACITY: usize = 8 * 1024 * 1024;

pub(super) const KIND: Kind = Kind {
    name: "latency",
    attributes: &["latency", "jitter"],
    acts: Acts::Data,
    stage,
};

fn stage(attributes: &Attributes, seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(Latency {
        delay: Delay::of(attributes),
        rng: seed.rng(),
        queue: VecDeque::new(),
        held: 0,
        end: None,
    })
}

#[derive(Clone, Copy)]
struct Delay {
    latency: Duration,
    jitter: Duration,
}

impl Delay {
    fn of(attributes: &Attributes) -> Self {
        Self {
            latency: attributes.millis("latency"),
            jitter: attributes.millis("jitter"),
        }
    }

    /// Uniform over `latency - jitter ..= latency + jitter`, cut off at zero.
    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX / 2);
        if jitter == 0 {
            return self.latency;
        }
        let added = Duration::from_micros(rng.random_range(0..=2 * jitter));
        (self.latency + added).saturating_sub(self.jitter)
    }
}

struct Held {
    chunk: Chunk,
    due: Instant,
}

struct Latency {
    delay: Delay,
    rng: Xoshiro256PlusPlus,
    queue: VecDeque<Held>,
    held: usize,
    end: Option<End>,
}

impl Stage for Latency {
    fn ready(&self) -> bool {
        self.held < CAPACITY
    }

    fn push(&mut self, piece: Piece, _now: Instant) {
        match piece {
            Piece::Chunk(chunk) => {
                self.held += chunk.cost();
                let due = chunk.at + self.delay.draw(&mut self.rng);
                self.queue.push_back(Held { chunk, due });
            }
            Piece::End(end) => self.end = Some(end),
        }
    }

    fn pull(&mut self, now: Instant, room: bool) -> Pull {
        let Some(first) = self.queue.front() else {
            return self
                .end
                .take()
                .map_or(Pull::Nothing, |end| Pull::Piece(Piece::End(end)));
        };
        if !room {
            return Pull::Nothing;
        }
        if first.due > now {
            return Pull::Until(first.due);
        }
        let Some(Held { mut chunk, due }) = self.queue.pop_front() else {
            return Pull::Nothing;
        };
        self.held -= chunk.cost();
        // A second delay behind this one counts from when this one was over.
        chunk.at = due.max(chunk.at);
        Pull::Piece(Piece::Chunk(chunk))
    }

    fn retune(&mut self, attributes: &Attributes, _now: Instant) {
        self.delay = Delay::of(attributes);
        for held in &mut self.queue {
            held.due = held.chunk.at + self.delay.draw(&mut self.rng);
        }
    }

    fn release(self: Box<Self>) -> Vec<Piece> {
        let chunks = self.queue.into_iter().map(|held| Piece::Chunk(held.chunk));
        chunks.chain(self.end.map(Piece::End)).collect()
    }

    fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Fields;
    use bytes::Bytes;

    fn latency(latency: i64, jitter: i64) -> Box<dyn Stage> {
        let body = format!(r#"{{"latency":{latency},"jitter":{jitter}}}"#);
        let body = Fields::of_body(body.as_bytes(), "attributes").unwrap();
        let set = Attributes::zero(KIND.attributes)
            .changed_by(Some(&body))
            .unwrap();
        stage(&set, Seed::new(1), Instant::now())
    }

    fn chunk(data: &'static str, at: Instant) -> Piece {
        Piece::Chunk(Chunk {
            data: Bytes::from_static(data.as_bytes()),
            at,
        })
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[tokio::test(start_paused = true)]
    async fn delays_count_from_arrival() {
        let start = Instant::now();
        let mut stage = latency(100, 0);
        stage.push(chunk("a", start), start);
        stage.push(chunk("b", start + millis(10)), start + millis(10));
        assert!(
            matches!(stage.pull(start + millis(99), true), Pull::Until(t) if t == start + millis(100))
        );
        let first = stage.pull(start + millis(100), true);
        assert!(matches!(first, Pull::Piece(Piece::Chunk(c)) if c.at == start + millis(100)));
        assert!(
            matches!(stage.pull(start + millis(100), true), Pull::Until(t) if t == start + millis(110))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_stays_within_its_bounds_and_keeps_the_order() {
        let start = Instant::now();
        let mut stage = latency(100, 40);
        for name in ["a", "b", "c", "d", "e", "f"] {
            stage.push(chunk(name, start), start);
        }
        stage.push(Piece::End(End::HalfClose), start);
        assert!(matches!(
            stage.pull(start + millis(59), true),
            Pull::Until(_)
        ));
        let mut seen = String::new();
        loop {
            match stage.pull(start + millis(140), true) {
                Pull::Piece(Piece::Chunk(c)) => {
                    seen.push_str(std::str::from_utf8(&c.data).unwrap());
                }
                Pull::Piece(Piece::End(End::HalfClose)) => break,
                other => panic!("{other:?} after {seen}"),
            }
        }
        assert_eq!(seen, "abcdef");
        assert_eq!(stage.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_the_data_and_no_longer() {
        let start = Instant::now();
        let mut stage = latency(100, 0);
        stage.push(chunk("a", start), start);
        stage.push(Piece::End(End::HalfClose), start);
        assert!(matches!(stage.pull(start, true), Pull::Until(_)));
        let later = start + millis(100);
        assert!(matches!(
            stage.pull(later, true),
            Pull::Piece(Piece::Chunk(_))
        ));
        assert!(matches!(
            stage.pull(later, true),
            Pull::Piece(Piece::End(End::HalfClose))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_latency_acts_on_what_is_held() {
        let start = Instant::now();
        let mut stage = latency(10_000, 0);
        stage.push(chunk("a", start), start);
        stage.retune(&Attributes::zero(KIND.attributes), start);
        assert!(matches!(
            stage.pull(start, true),
            Pull::Piece(Piece::Chunk(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_taking_when_full_and_gives_nothing_without_room() {
        let start = Instant::now();
        let mut stage = latency(0, 0);
        let block = Bytes::from(vec![0; 1024 * 1024]);
        while stage.ready() {
            stage.push(
                Piece::Chunk(Chunk {
                    data: block.clone(),
                    at: start,
                }),
                start,
            );
        }
        assert!(stage.held() <= CAPACITY + block.len() + 64);
        assert!(matches!(stage.pull(start, false), Pull::Nothing));
        assert!(matches!(
            stage.pull(start, true),
            Pull::Piece(Piece::Chunk(_))
        ));
        assert!(stage.ready());
    }

    #[tokio::test(start_paused = true)]
    async fn absurd_values_neither_panic_nor_pass() {
        let start = Instant::now();
        let mut stage = latency(i64::MAX, i64::MAX);
        stage.push(chunk("a", start), start);
        let _ = stage.pull(start, true);
        let mut stage = latency(-5, -5);
        stage.push(chunk("a", start), start);
        assert!(matches!(
            stage.pull(start, true),
            Pull::Piece(Piece::Chunk(_))
        ));
    }
}
