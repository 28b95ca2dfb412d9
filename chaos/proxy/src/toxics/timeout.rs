//! `timeout`: nothing gets through, and the connection is closed `timeout`
//! milliseconds after the last data, or never if that is 0.
//!
//! Data is dropped, not held: whoever waits for an answer waits in vain. When
//! the toxic is removed the connection is closed, since its stream has a hole.

use std::time::Duration;

use tokio::time::Instant;

use super::{Acts, Attributes, End, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "timeout",
    attributes: &["timeout"],
    acts: Acts::Data,
    stage,
};

fn stage(attributes: &Attributes, _seed: Seed, now: Instant) -> Box<dyn Stage> {
    let after = attributes.millis("timeout");
    Box::new(Timeout {
        after,
        since: now,
        end: None,
    })
}

struct Timeout {
    /// Zero: never.
    after: Duration,
    /// The last data, or the toxic's coming into force.
    since: Instant,
    end: Option<End>,
}

impl Stage for Timeout {
    fn ready(&self) -> bool {
        true
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        match piece {
            Piece::Chunk(_) => self.since = now,
            Piece::End(end) => self.end = Some(end),
        }
    }

    fn pull(&mut self, now: Instant, _room: bool) -> Pull {
        if let Some(end) = self.end.take() {
            return Pull::Piece(Piece::End(end));
        }
        if self.after.is_zero() {
            return Pull::Nothing;
        }
        let due = self.since + self.after;
        if due > now {
            Pull::Until(due)
        } else {
            Pull::Cut(End::Close)
        }
    }

    fn retune(&mut self, attributes: &Attributes, now: Instant) {
        self.after = attributes.millis("timeout");
        self.since = now;
    }

    fn release(self: Box<Self>) -> Vec<Piece> {
        vec![Piece::End(End::Close)]
    }

    fn held(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chunk;
    use super::*;
    use crate::decode::Fields;
    use bytes::Bytes;

    fn attributes(millis: i64) -> Attributes {
        let body = format!(r#"{{"timeout":{millis}}}"#);
        let body = Fields::of_body(body.as_bytes(), "attributes").unwrap();
        Attributes::zero(KIND.attributes)
            .changed_by(Some(&body))
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn data_is_dropped_and_puts_the_close_off() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut stage = stage(&attributes(100), Seed::new(0), start);
        assert!(matches!(stage.pull(start, true), Pull::Until(t) if t == start + ms(100)));
        let at = start + ms(60);
        stage.push(
            Piece::Chunk(Chunk {
                data: Bytes::from_static(b"x"),
                at,
            }),
            at,
        );
        assert!(
            matches!(stage.pull(start + ms(100), true), Pull::Until(t) if t == start + ms(160))
        );
        let over = stage.pull(start + ms(160), false);
        assert!(matches!(over, Pull::Cut(End::Close)));
    }

    #[tokio::test(start_paused = true)]
    async fn zero_hangs_until_the_peer_is_done_or_the_toxic_gone() {
        let start = Instant::now();
        let mut hanging = stage(&attributes(0), Seed::new(0), start);
        let later = start + Duration::from_secs(3600);
        assert!(matches!(hanging.pull(later, true), Pull::Nothing));
        hanging.push(Piece::End(End::HalfClose), later);
        assert!(matches!(
            hanging.pull(later, true),
            Pull::Piece(Piece::End(End::HalfClose))
        ));
        let removed = stage(&attributes(0), Seed::new(0), start).release();
        assert!(matches!(removed[..], [Piece::End(End::Close)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_starts_the_wait_again() {
        let start = Instant::now();
        let mut stage = stage(&attributes(0), Seed::new(0), start);
        let later = start + Duration::from_secs(9);
        stage.retune(&attributes(50), later);
        let due = later + Duration::from_millis(50);
        assert!(matches!(stage.pull(later, true), Pull::Until(t) if t == due));
    }
}
