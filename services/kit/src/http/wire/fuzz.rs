//! Whatever comes, and however it is cut: no panic, and the same request or refusal.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Bounds, IN_PLACE, Sieve, Times};

const BOUNDS: Bounds = Bounds {
    line: 200,
    headers: 400,
    lines: 10,
};

/// `CASES` raises them, to a million for a night.
fn config() -> ProptestConfig {
    let cases = std::env::var("CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Gives its pieces, one a read, and then waits.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(piece) => {
                buffer.put_slice(&piece);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

#[derive(Debug, PartialEq)]
struct Sieved {
    clean: Vec<u8>,
    refused: bool,
    broken: bool,
}

fn sieved(pieces: VecDeque<Vec<u8>>) -> Sieved {
    let minute = Duration::from_secs(60);
    let times = Times {
        head: minute,
        write: minute,
    };
    let mut sieve = Sieve::new(Pieces(pieces), BOUNDS, times);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut clean, mut broken) = (Vec::new(), false);
    loop {
        let mut space = [0; 512];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut sieve).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(Ok(())) => clean.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => broken = true,
            Poll::Pending => break,
        }
    }
    let refused = sieve.verdict.0.lock().is_some();
    Sieved {
        clean,
        refused,
        broken,
    }
}

/// Parts of requests, good and bad.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ]);
    let splinters = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        "0\r\n\r\n",
        ";x",
        ": ",
        "Content-Length: 7\r\n",
        "\0",
        "PRI * HTTP/2.0",
        "Transfer-Encoding: chunked\r\n",
        "POST /y HTTP/1.1\r\nHost: b\r\n",
        "5\r\n",
    ]);
    prop_oneof![
        6 => good.prop_map(|text| text.as_bytes().to_vec()),
        2 => splinters.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn cut(bytes: &[u8], lengths: &[usize]) -> VecDeque<Vec<u8>> {
    let mut rest = bytes;
    let mut pieces = VecDeque::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        pieces.push_back(piece.to_vec());
        rest = after;
    }
    pieces
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        parts in prop::collection::vec(part(), 1..8),
        lengths in prop::collection::vec(1..40_usize, 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let bytes = parts.concat();
        let whole = sieved(cut(&bytes, &[usize::MAX]));
        let pieces = sieved(cut(&bytes, &lengths));
        prop_assert_eq!(whole.refused, pieces.refused);
        prop_assert_eq!(whole.broken, pieces.broken);
        if !whole.broken {
            // Of a body that breaks off, more or less may have been handed over.
            prop_assert_eq!(&whole.clean, &pieces.clean);
        }
        let passed = whole.clean.strip_suffix(IN_PLACE).unwrap_or(&whole.clean);
        prop_assert!(bytes.starts_with(passed), "nothing is made up but what stands in place");
    }
}
