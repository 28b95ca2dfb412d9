//! `limit_data`: closes the connection once `bytes` bytes have passed in its
//! direction; what lies beyond them is dropped. The first data closes it if
//! `bytes` is 0.

use tokio::time::Instant;

use super::queue::Queue;
use super::{Acts, Attributes, End, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "limit_data",
    attributes: &["bytes"],
    acts: Acts::Cut,
    stage,
};

fn stage(attributes: &Attributes, _seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(LimitData {
        limit: attributes.count("bytes"),
        passed: 0,
        reached: false,
        queue: Queue::default(),
    })
}

struct LimitData {
    limit: u64,
    /// Bytes so far. A change of the limit leaves them as they are.
    passed: u64,
    /// The last byte that may pass has.
    reached: bool,
    queue: Queue,
}

impl Stage for LimitData {
    fn ready(&self) -> bool {
        self.queue.has_room()
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        self.queue.push(piece, now);
    }

    fn pull(&mut self, _now: Instant, room: bool) -> Pull {
        if self.reached {
            return Pull::Cut(End::Close);
        }
        if self.queue.front().is_none() {
            return self.queue.pull_end();
        }
        let left = self.limit.saturating_sub(self.passed);
        if left == 0 {
            return Pull::Cut(End::Close);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let next = if room { self.queue.take(most) } else { None };
        let Some(chunk) = next else {
            return Pull::Nothing;
        };
        self.passed += chunk.data.len() as u64;
        self.reached = self.passed >= self.limit;
        Pull::Piece(Piece::Chunk(chunk))
    }

    fn retune(&mut self, attributes: &Attributes, _now: Instant) {
        self.limit = attributes.count("bytes");
        self.reached &= self.passed >= self.limit;
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
    use super::super::testing::{attributes, bytes, chunk, drain, stage};
    use super::*;
    use proptest::prelude::*;

    fn is_cut(pull: &Pull) -> bool {
        matches!(pull, Pull::Cut(End::Close))
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_byte_that_may_pass_closes() {
        let now = Instant::now();
        for (limit, closes) in [(3, true), (4, true), (5, false)] {
            let mut stage = stage(&KIND, &format!(r#"{{"bytes":{limit}}}"#));
            stage.push(chunk(b"ab", now), now);
            stage.push(chunk(b"cd", now), now);
            let out = drain(stage.as_mut(), now);
            assert_eq!(bytes(&out), b"abcd"[..limit.min(4)]);
            assert_eq!(is_cut(&out.last().unwrap().1), closes, "{limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_zero_the_first_data_closes_and_an_idle_stream_may_end() {
        let now = Instant::now();
        for none in ["{}", r#"{"bytes":-1}"#] {
            let mut idle = stage(&KIND, none);
            assert!(matches!(idle.pull(now, true), Pull::Nothing));
            idle.push(chunk(b"x", now), now);
            assert!(is_cut(&idle.pull(now, true)));
            let mut ending = stage(&KIND, none);
            ending.push(Piece::End(End::HalfClose), now);
            assert!(matches!(
                ending.pull(now, true),
                Pull::Piece(Piece::End(End::HalfClose))
            ));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_goes_on_counting() {
        let now = Instant::now();
        let mut stage = stage(&KIND, r#"{"bytes":4}"#);
        stage.push(chunk(b"ab", now), now);
        assert_eq!(bytes(&drain(stage.as_mut(), now)), b"ab");
        stage.retune(&attributes(&KIND, r#"{"bytes":3}"#), now);
        stage.push(chunk(b"cd", now), now);
        let out = drain(stage.as_mut(), now);
        assert_eq!(bytes(&out), b"c");
        assert!(is_cut(&out.last().unwrap().1));
    }

    proptest! {
        /// What passes is exactly the beginning of what was sent.
        #[test]
        fn what_passes_is_a_prefix(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 1..20),
            limit in 0..600_usize,
        ) {
            let now = Instant::now();
            let mut stage = stage(&KIND, &format!(r#"{{"bytes":{limit}}}"#));
            for data in &chunks {
                stage.push(chunk(data, now), now);
            }
            stage.push(Piece::End(End::HalfClose), now);
            let sent = chunks.concat();
            let out = drain(stage.as_mut(), now);
            prop_assert_eq!(&bytes(&out)[..], &sent[..limit.min(sent.len())]);
            prop_assert_eq!(is_cut(&out.last().unwrap().1), limit <= sent.len());
        }
    }
}
