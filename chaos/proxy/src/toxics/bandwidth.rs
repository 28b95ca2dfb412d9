//! `bandwidth`: the direction carries `rate` kilobytes (1000 bytes) a second.
//!
//! A line of that rate in store-and-forward: a piece leaves when its last byte
//! would have been sent. Pieces are cut so that none takes longer than
//! [`SLICE`]; over any stretch of time no more than `rate` for that stretch and
//! two slices gets through. At a rate of 0 nothing does, until that changes.

use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;
use super::queue::Queue;
use super::{Acts, Attributes, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "bandwidth",
    attributes: &["rate"],
    acts: Acts::Data,
    stage,
};

/// The longest that one piece takes to send.
const SLICE: Duration = Duration::from_millis(10);

/// What may wait for the line: the sender is to feel the rate, not a queue.
const CAPACITY: usize = 64 * 1024;

fn stage(attributes: &Attributes, _seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(Bandwidth {
        rate: attributes.count("rate"),
        line: Line::default(),
        queue: Queue::default(),
    })
}

struct Bandwidth {
    /// In bytes a millisecond, which is KB a second. Zero: nothing passes.
    rate: u64,
    line: Line,
    queue: Queue,
}

impl Bandwidth {
    /// The most bytes that leave as one piece.
    fn slice(&self) -> usize {
        let slice = self.rate.saturating_mul(SLICE.as_millis() as u64);
        usize::try_from(slice).unwrap_or(usize::MAX)
    }

    /// How long that many bytes, at least one, take to send.
    fn time_of(&self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(1_000_000) / self.rate)
    }
}

impl Stage for Bandwidth {
    fn ready(&self) -> bool {
        self.queue.held() < CAPACITY
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        self.queue.push(piece, now);
    }

    fn pull(&mut self, now: Instant, room: bool) -> Pull {
        let Some(first) = self.queue.front() else {
            return self.queue.pull_end();
        };
        if !room || self.rate == 0 {
            return Pull::Nothing;
        }
        let size = first.data.len().min(self.slice());
        let due = self.line.start(first.at) + self.time_of(size);
        if due > now {
            return Pull::Until(due);
        }
        self.line.busy(due, due, now);
        let Some(mut chunk) = self.queue.take(size) else {
            return Pull::Nothing;
        };
        // A delay behind this one counts from when the line was done with it.
        chunk.at = due;
        Pull::Piece(Piece::Chunk(chunk))
    }

    fn retune(&mut self, attributes: &Attributes, _now: Instant) {
        self.rate = attributes.count("rate");
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
    use super::super::line::CATCH_UP;
    use super::super::testing::{attributes, bytes, chunk, drain, sizes, stage};
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_kilobyte_is_a_thousand_bytes() {
        let start = Instant::now();
        let mut line = stage(&KIND, r#"{"rate":20}"#);
        line.push(chunk(&[7; 10_000], start), start);
        line.push(Piece::End(End::HalfClose), start);
        let out = drain(line.as_mut(), start);
        assert_eq!(bytes(&out).len(), 10_000);
        let last = sizes(&out).last().unwrap().0;
        assert_eq!(last, start + 500 * MS);
        assert_eq!(out.last().unwrap().0, last, "the end is not delayed itself");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_line_saves_nothing_up() {
        let start = Instant::now();
        let mut line = stage(&KIND, r#"{"rate":1}"#);
        line.push(chunk(b"x", start), start);
        drain(line.as_mut(), start);
        let later = start + Duration::from_secs(60);
        line.push(chunk(&[0; 30], later), later);
        assert_eq!(
            sizes(&drain(line.as_mut(), later)).last().unwrap().0,
            later + 30 * MS
        );
    }

    #[tokio::test(start_paused = true)]
    async fn at_zero_nothing_passes_until_it_is_changed_or_removed() {
        let start = Instant::now();
        let later = start + Duration::from_secs(3600);
        for absent in ["{}", r#"{"rate":-3}"#] {
            let mut line = stage(&KIND, absent);
            line.push(chunk(b"held", start), start);
            line.push(Piece::End(End::HalfClose), start);
            assert!(matches!(line.pull(later, true), Pull::Nothing), "{absent}");
            line.retune(&attributes(&KIND, r#"{"rate":1000}"#), later);
            assert_eq!(bytes(&drain(line.as_mut(), later)), b"held");
            let mut removed = stage(&KIND, absent);
            removed.push(chunk(b"held", start), start);
            assert_eq!(removed.release().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_rate_is_no_limit() {
        let start = Instant::now();
        let mut line = stage(&KIND, &format!(r#"{{"rate":{}}}"#, i64::MAX));
        line.push(chunk(&[0; 100_000], start), start);
        assert_eq!(sizes(&drain(line.as_mut(), start)), [(start, 100_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_paused_gets_no_burst() {
        let start = Instant::now();
        let mut line = stage(&KIND, r#"{"rate":10}"#);
        line.push(chunk(&[0; 5_000], start), start);
        assert!(matches!(line.pull(start + 400 * MS, false), Pull::Nothing));
        let out = sizes(&drain(line.as_mut(), start + 400 * MS));
        assert!(out.last().unwrap().0 >= start + 880 * MS, "{out:?}");
    }

    /// One chunk: how long after the one before it came, its size, whether the
    /// receiver then refuses for a while.
    fn traffic() -> impl Strategy<Value = Vec<(u64, usize, u64)>> {
        prop::collection::vec((0..30_u64, 1..3_000_usize, 0..20_u64), 1..40)
    }

    proptest! {
        /// Whatever comes when, and however the receiver dawdles: over no window
        /// does more than the rate get through, and all of it does in the end.
        #[test]
        fn the_rate_holds_over_any_window(traffic in traffic(), rate in 1..200_u64) {
            let start = Instant::now();
            let mut line = stage(&KIND, &format!(r#"{{"rate":{rate}}}"#));
            let (mut now, mut sent, mut out) = (start, Vec::new(), Vec::new());
            for (gap, size, pause) in traffic {
                now += gap as u32 * MS;
                let data: Vec<u8> = (0..size).map(|i| (sent.len() + i) as u8).collect();
                line.push(chunk(&data, now), now);
                sent.extend(data);
                now += pause as u32 * MS;
                while let Pull::Piece(piece) = line.pull(now, true) {
                    out.push((now, Pull::Piece(piece)));
                }
            }
            out.extend(drain(line.as_mut(), now));
            prop_assert_eq!(bytes(&out), sent);
            let left = sizes(&out);
            for (i, (from, _)) in left.iter().enumerate() {
                let mut within = 0;
                for (to, size) in &left[i..] {
                    within += *size as u64;
                    let window = *to - *from + CATCH_UP + SLICE;
                    // Rounding of the instants: a nanosecond's worth a piece.
                    let most = rate as f64 * window.as_secs_f64() * 1000.0 + 1.0;
                    prop_assert!(within as f64 <= most, "{} in {:?}", within, window);
                }
            }
        }

        /// A line that is never idle is no slower than its rate.
        #[test]
        fn a_busy_line_carries_its_rate(sizes_in in prop::collection::vec(1..5_000_usize, 1..12), rate in 1..500_u64) {
            let start = Instant::now();
            let mut line = stage(&KIND, &format!(r#"{{"rate":{rate}}}"#));
            for size in &sizes_in {
                line.push(chunk(&vec![1; *size], start), start);
            }
            let total: usize = sizes_in.iter().sum();
            let took = sizes(&drain(line.as_mut(), start)).last().unwrap().0 - start;
            let ideal = total as f64 / (rate as f64 * 1000.0);
            prop_assert!((took.as_secs_f64() - ideal).abs() < 1e-4, "{took:?} for {ideal}");
        }
    }
}
