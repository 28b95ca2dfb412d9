//! What the stages' tests share.

use bytes::Bytes;
use tokio::time::Instant;

use super::{Attributes, Chunk, Kind, Piece, Pull, Stage};
use crate::decode::Fields;
use crate::draw::Seed;

/// Attributes of that kind from the API's JSON.
pub(super) fn attributes(kind: &Kind, json: &str) -> Attributes {
    let body = Fields::of_body(json.as_bytes(), "attributes").unwrap();
    Attributes::zero(kind.attributes)
        .changed_by(Some(&body))
        .unwrap()
}

/// A stage of that kind, made now.
pub(super) fn stage(kind: &Kind, json: &str) -> Box<dyn Stage> {
    (kind.stage)(&attributes(kind, json), Seed::new(1), Instant::now())
}

pub(super) fn chunk(data: &[u8], at: Instant) -> Piece {
    let data = Bytes::copy_from_slice(data);
    Piece::Chunk(Chunk { data, at })
}

/// The bytes of all chunks.
pub(super) fn text(pieces: &[Piece]) -> String {
    let data = pieces.iter().filter_map(|piece| match piece {
        Piece::Chunk(chunk) => Some(String::from_utf8_lossy(&chunk.data)),
        Piece::End(_) => None,
    });
    data.collect()
}

/// What comes out, and when, with a receiver that always has room, until
/// nothing more is a matter of time.
pub(super) fn drain(stage: &mut dyn Stage, mut now: Instant) -> Vec<(Instant, Pull)> {
    let mut out = Vec::new();
    loop {
        match stage.pull(now, true) {
            Pull::Nothing => return out,
            Pull::Until(due) => {
                assert!(due > now, "it would be asked for ever");
                now = due;
            }
            Pull::Cut(end) => {
                out.push((now, Pull::Cut(end)));
                return out;
            }
            piece => out.push((now, piece)),
        }
    }
}

/// How many bytes of each chunk came when.
pub(super) fn sizes(out: &[(Instant, Pull)]) -> Vec<(Instant, usize)> {
    let chunks = out.iter().filter_map(|(at, pull)| match pull {
        Pull::Piece(Piece::Chunk(chunk)) => Some((*at, chunk.data.len())),
        _ => None,
    });
    chunks.collect()
}

/// All bytes that came.
pub(super) fn bytes(out: &[(Instant, Pull)]) -> Vec<u8> {
    let chunks = out.iter().filter_map(|(_, pull)| match pull {
        Pull::Piece(Piece::Chunk(chunk)) => Some(&chunk.data[..]),
        _ => None,
    });
    chunks.collect::<Vec<_>>().concat()
}
