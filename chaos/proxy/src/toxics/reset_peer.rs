//! `reset_peer`: the first data, or the end of the stream, sets a clock of
//! `timeout` milliseconds, after which both sides get a TCP reset.
//!
//! What arrived meanwhile is held (the sender feels back-pressure at once): if
//! the toxic goes before the clock has run out, it passes and nothing is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::{Acts, Attributes, End, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "reset_peer",
    attributes: &["timeout"],
    acts: Acts::Cut,
    stage,
};

fn stage(attributes: &Attributes, _seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(ResetPeer {
        after: attributes.millis("timeout"),
        armed: None,
        held: Vec::new(),
    })
}

struct ResetPeer {
    after: Duration,
    /// When the first piece came.
    armed: Option<Instant>,
    held: Vec<Piece>,
}

impl Stage for ResetPeer {
    fn ready(&self) -> bool {
        self.armed.is_none()
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        self.armed.get_or_insert(now);
        self.held.push(piece);
    }

    fn pull(&mut self, now: Instant, _room: bool) -> Pull {
        let Some(armed) = self.armed else {
            return Pull::Nothing;
        };
        let due = armed + self.after;
        if due > now {
            Pull::Until(due)
        } else {
            Pull::Cut(End::Reset)
        }
    }

    fn retune(&mut self, attributes: &Attributes, _now: Instant) {
        self.after = attributes.millis("timeout");
    }

    fn release(self: Box<Self>) -> Vec<Piece> {
        self.held
    }

    fn held(&self) -> usize {
        self.held.iter().map(Piece::cost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chunk;
    use super::*;
    use crate::decode::Fields;
    use bytes::Bytes;

    fn reset_after(millis: i64) -> Box<dyn Stage> {
        let body = format!(r#"{{"timeout":{millis}}}"#);
        let body = Fields::of_body(body.as_bytes(), "attributes").unwrap();
        let set = Attributes::zero(KIND.attributes)
            .changed_by(Some(&body))
            .unwrap();
        stage(&set, Seed::new(0), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_happens_before_data_comes() {
        let start = Instant::now();
        let mut stage = reset_after(50);
        assert!(matches!(
            stage.pull(start + Duration::from_secs(9), true),
            Pull::Nothing
        ));
        stage.push(
            Piece::Chunk(Chunk {
                data: Bytes::from_static(b"x"),
                at: start,
            }),
            start,
        );
        assert!(!stage.ready());
        let due = start + Duration::from_millis(50);
        assert!(matches!(stage.pull(start, true), Pull::Until(t) if t == due));
        assert!(matches!(stage.pull(due, false), Pull::Cut(End::Reset)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_stream_arms_it_too() {
        let start = Instant::now();
        let mut stage = reset_after(0);
        stage.push(Piece::End(End::HalfClose), start);
        assert!(matches!(stage.pull(start, true), Pull::Cut(End::Reset)));
    }

    #[tokio::test(start_paused = true)]
    async fn removed_in_time_it_lets_everything_pass() {
        let start = Instant::now();
        let mut stage = reset_after(1_000);
        stage.push(
            Piece::Chunk(Chunk {
                data: Bytes::from_static(b"x"),
                at: start,
            }),
            start,
        );
        stage.push(Piece::End(End::HalfClose), start);
        assert_eq!(stage.held(), 65);
        let released = stage.release();
        assert!(matches!(
            &released[..],
            [Piece::Chunk(_), Piece::End(End::HalfClose)]
        ));
    }
}
