//! One direction of one connection: reads, runs the bytes through the toxics,
//! writes.
//!
//! Without toxics it is a plain copy through one buffer. When toxics appear or
//! go, the pipe changes over between two reads; bytes that were read but not
//! written yet stay in their place in the order.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::chain::Chain;
use crate::metrics::DirectionMetrics;
use crate::toxics::{Chunk, End, Piece, ToxicList};

/// A connection that is mostly idle keeps no more than this, a direction.
const SMALL: usize = 8 * 1024;

/// A busy one reads this much at a time.
const LARGE: usize = 128 * 1024;

/// How long a connection that a toxic closes may take to write what came before.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The sender was done; everything was written and the receiver told so.
    HalfClosed,
    /// The receiver no longer takes anything. What it has sent itself may still
    /// be on its way through the other direction.
    ReceiverGone,
    /// Close both sides.
    Close,
    /// Reset both sides.
    Reset,
}

/// What made a loop stop.
enum Step {
    /// The toxics changed, or none is left.
    Again,
    Ended(Ended),
}

/// One direction of one connection.
pub(crate) struct Pipe<R, W> {
    reader: R,
    writer: W,
    toxics: watch::Receiver<ToxicList>,
    chain: Chain,
    /// Read, but neither written nor in the chain yet.
    pending: BytesMut,
    /// How much the next read may take.
    read_size: usize,
    metrics: DirectionMetrics,
}

impl<R, W> Pipe<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    pub(crate) fn new(
        reader: R,
        writer: W,
        chain: Chain,
        toxics: watch::Receiver<ToxicList>,
        metrics: DirectionMetrics,
    ) -> Self {
        let pending = BytesMut::new();
        Self {
            reader,
            writer,
            toxics,
            chain,
            pending,
            read_size: SMALL,
            metrics,
        }
    }

    /// Runs until the direction ends. Dropping it drops what is on its way.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            let list = self.toxics.borrow_and_update().clone();
            self.chain.reconcile(&list, Instant::now());
            let step = if self.chain.is_plain() {
                self.copy().await
            } else {
                self.run_chain().await
            };
            if let Step::Ended(ended) = step {
                return ended;
            }
        }
    }

    /// The fast path: no toxic acts.
    async fn copy(&mut self) -> Step {
        let Self {
            reader,
            writer,
            toxics,
            pending,
            read_size,
            metrics,
            ..
        } = self;
        loop {
            if pending.is_empty() {
                pending.reserve(*read_size);
                let read = tokio::select! {
                    biased;
                    () = changed(toxics) => return Step::Again,
                    read = reader.read_buf(pending) => read,
                };
                match read {
                    Ok(0) => return Step::Ended(shut_down(writer).await),
                    Err(_) => return Step::Ended(Ended::Close),
                    Ok(n) if n >= *read_size => *read_size = (*read_size * 2).min(LARGE),
                    Ok(_) => {}
                }
                // A toxic that was set before these bytes came must act on them.
                if toxics.has_changed().unwrap_or(false) {
                    return Step::Again;
                }
            } else {
                let written = tokio::select! {
                    biased;
                    () = changed(toxics) => return Step::Again,
                    written = writer.write(pending) => written,
                };
                let Some(n) = delivered(written, metrics) else {
                    return Step::Ended(Ended::ReceiverGone);
                };
                pending.advance(n);
            }
        }
    }

    /// The way through the stages.
    async fn run_chain(&mut self) -> Step {
        self.take_pending();
        let mut give_up: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let wake = self.chain.advance(now);
            if let Some(step) = self.finish().await {
                return step;
            }
            if self.chain.end() == Some(End::Close) {
                give_up.get_or_insert(now + CLOSE_GRACE);
            }
            let Self {
                reader,
                writer,
                toxics,
                chain,
                pending,
                metrics,
                ..
            } = self;
            let wake = wake.into_iter().chain(give_up).min();
            if chain.wants_input() && pending.capacity() < SMALL {
                // Small chunks share a block until it is used up.
                pending.reserve(4 * SMALL);
            }
            let read = tokio::select! {
                biased;
                () = changed(toxics) => return Step::Again,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {
                    if give_up.is_some_and(|at| at <= Instant::now()) {
                        return Step::Ended(Ended::Close);
                    }
                    continue;
                }
                written = writer.write(chain.front()), if !chain.front().is_empty() => {
                    match delivered(written, metrics) {
                        Some(n) => chain.written(n),
                        None => return Step::Ended(Ended::ReceiverGone),
                    }
                    continue;
                }
                read = reader.read_buf(pending), if chain.wants_input() => read,
            };
            if toxics.has_changed().unwrap_or(false) && !matches!(read, Ok(0) | Err(_)) {
                return Step::Again;
            }
            self.take(&read);
        }
    }

    /// Is there nothing left to do here?
    async fn finish(&mut self) -> Option<Step> {
        let all_written = self.chain.front().is_empty();
        match self.chain.end() {
            // A receiver that doesn't read must not put the reset off.
            Some(End::Reset) => Some(Step::Ended(Ended::Reset)),
            Some(End::Close) if all_written => Some(Step::Ended(Ended::Close)),
            Some(End::HalfClose) if all_written => {
                Some(Step::Ended(shut_down(&mut self.writer).await))
            }
            None if self.chain.is_plain() => Some(Step::Again),
            _ => None,
        }
    }

    fn take(&mut self, read: &io::Result<usize>) {
        let now = Instant::now();
        match read {
            Ok(0) => self.chain.push(Piece::End(End::HalfClose), now),
            // The peer is gone, both ways; what it had sent is delivered first.
            Err(_) => self.chain.push(Piece::End(End::Close), now),
            Ok(_) => self.take_pending(),
        }
    }

    fn take_pending(&mut self) {
        if !self.pending.is_empty() {
            let (data, at) = (self.pending.split().freeze(), Instant::now());
            self.chain.push(Piece::Chunk(Chunk { data, at }), at);
        }
    }
}

/// Counts a write. `None`: the receiver is gone.
fn delivered(written: io::Result<usize>, metrics: &DirectionMetrics) -> Option<usize> {
    let n = written.ok().filter(|n| *n > 0)?;
    metrics.sent(n);
    Some(n)
}

async fn shut_down<W: AsyncWrite + Unpin>(writer: &mut W) -> Ended {
    match writer.shutdown().await {
        Ok(()) => Ended::HalfClosed,
        Err(_) => Ended::ReceiverGone,
    }
}

/// Waits for news of the toxics; for ever once the proxy is gone, since then
/// the connection is about to be closed anyway.
async fn changed(toxics: &mut watch::Receiver<ToxicList>) {
    if toxics.changed().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
