//! What lies between the socket and hyper. hyper reads HTTP/1 as leniently as the web needs: lines
//! that end with LF alone, `Content-Length` beside `Transfer-Encoding`, chunk extensions. Behind a
//! gateway each of these is a way to smuggle a request past it, so nothing reaches hyper that does
//! not have exactly one reading. Also here: the times in which heads must come and answers go.

mod chunks;
#[cfg(test)]
mod fuzz;
mod head;

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::io::poll_read_buf;

pub use head::{Bounds, Refusal};

use chunks::Chunks;
use head::Framing;

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What hyper is given in place of a request that is refused; [`Verdict`] says why.
const IN_PLACE: &[u8] = b"GET /-/refused HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
/// The path of [`IN_PLACE`].
const IN_PLACE_PATH: &str = "/-/refused";
/// Read from the socket at a time.
const READ: usize = 16 * 1024;
/// After a refusal this much more is read and dropped, so that the answer is not lost to a reset.
const LINGER: usize = 256 * 1024;

/// Why the request that hyper is about to see was refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<Refusal>>>);

impl Verdict {
    /// The refusal, if `path` is that of the request that stands in for the refused one.
    pub(super) fn of(&self, path: &str) -> Option<Refusal> {
        if path == IN_PLACE_PATH {
            *self.0.lock()
        } else {
            None
        }
    }
}

/// The times of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// From a head's first byte (for the first one, from the connection's begin) to its last.
    pub(super) head: Duration,
    /// In which some of an answer must be taken.
    pub(super) write: Duration,
}

#[derive(Debug)]
enum State {
    /// Before the first byte.
    Start,
    /// In a head, of which so much has been looked at.
    Head {
        scanned: usize,
    },
    Length {
        left: u64,
    },
    Chunked(Chunks),
    /// HTTP/2: h2 has framing of its own, without two readings.
    Pass,
    /// So much has been dropped since.
    Refused {
        dropped: usize,
    },
}

/// A connection, sieved.
pub(super) struct Sieve<S> {
    inner: S,
    /// Read, not yet looked at.
    raw: BytesMut,
    /// Looked at, not yet handed over.
    clean: BytesMut,
    state: State,
    bounds: Bounds,
    times: Times,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
    /// What hyper hears of a body that is refused.
    broken: Option<io::Error>,
}

impl<S> Sieve<S> {
    pub(super) fn new(inner: S, bounds: Bounds, times: Times) -> Self {
        Self {
            inner,
            raw: BytesMut::new(),
            clean: BytesMut::new(),
            state: State::Start,
            bounds,
            times,
            head: Some(Box::pin(sleep(times.head))),
            write: None,
            verdict: Verdict::default(),
            broken: None,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Moves what can be told clean; false when more has to be read first.
    fn sort(&mut self) -> bool {
        while !self.raw.is_empty() && self.clean.len() < READ {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(refusal) => self.refuse(refusal),
            }
        }
        !self.clean.is_empty()
    }

    fn step(&mut self) -> Result<bool, Refusal> {
        match &mut self.state {
            State::Start => {
                let known = self.raw.len().min(PREFACE.len());
                self.state = match self.raw[..known] == PREFACE[..known] {
                    true if known < PREFACE.len() => return Ok(false),
                    true => State::Pass,
                    false => State::Head { scanned: 0 },
                };
            }
            State::Head { scanned } => {
                let Some((length, framing)) = head::scan(&self.raw, *scanned, self.bounds)? else {
                    *scanned = self.raw.len();
                    return Ok(false);
                };
                self.head = None;
                self.hand_over(length);
                self.state = match framing {
                    Framing::Length(0) => State::Head { scanned: 0 },
                    Framing::Length(left) => State::Length { left },
                    Framing::Chunked => State::Chunked(Chunks::START),
                };
            }
            State::Length { left } => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(self.raw.len());
                *left -= u64::try_from(here).unwrap_or(u64::MAX);
                if *left == 0 {
                    self.state = State::Head { scanned: 0 };
                }
                self.hand_over(here);
            }
            State::Chunked(chunks) => {
                let here = chunks.take(&self.raw)?;
                if *chunks == Chunks::Done {
                    self.state = State::Head { scanned: 0 };
                }
                self.hand_over(here);
            }
            State::Pass => {
                self.head = None;
                self.hand_over(self.raw.len());
            }
            State::Refused { dropped } => {
                *dropped += self.raw.len();
                self.raw.clear();
            }
        }
        Ok(true)
    }

    fn hand_over(&mut self, n: usize) {
        let part = self.raw.split_to(n);
        if self.clean.is_empty() {
            self.clean = part;
        } else {
            self.clean.extend_from_slice(&part);
        }
    }

    /// A head is replaced; a body breaks off, which the handler that reads it answers.
    fn refuse(&mut self, refusal: Refusal) {
        let in_body = matches!(self.state, State::Chunked(_));
        self.state = State::Refused { dropped: 0 };
        self.head = None;
        self.raw.clear();
        if in_body {
            let why = "the body's framing is malformed";
            self.broken = Some(io::Error::new(io::ErrorKind::InvalidData, why));
        } else {
            *self.verdict.0.lock() = Some(refusal);
            self.clean.extend_from_slice(IN_PLACE);
        }
    }
}

impl<S: AsyncRead + Unpin> Sieve<S> {
    /// The head's time runs from its first byte.
    fn head_in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let in_head = matches!(self.state, State::Start)
            || (matches!(self.state, State::Head { .. }) && !self.raw.is_empty());
        if !in_head {
            return Ok(());
        }
        let time = self.times.head;
        let timer = self.head.get_or_insert_with(|| Box::pin(sleep(time)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request's head did not come in time",
            )),
            Poll::Pending => Ok(()),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.raw.reserve(READ);
        poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.raw)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sieve<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.clean.is_empty() || this.sort() {
                let n = this.clean.len().min(buffer.remaining());
                buffer.put_slice(&this.clean[..n]);
                this.clean.advance(n);
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.broken.take() {
                return Poll::Ready(Err(error));
            }
            if matches!(this.state, State::Pass) {
                return Pin::new(&mut this.inner).poll_read(cx, buffer);
            }
            let read = match this.poll_fill(cx)? {
                Poll::Ready(n) => n,
                Poll::Pending => {
                    this.head_in_time(cx)?;
                    return Poll::Pending;
                }
            };
            // After a refusal hyper answers and closes by itself: an end would stop the answer.
            match this.state {
                State::Refused { dropped } if read == 0 || dropped > LINGER => {
                    return Poll::Pending;
                }
                _ if read == 0 => return Poll::Ready(Ok(())),
                _ => {}
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Sieve<S> {
    /// Somebody who does not take his answer must not hold it for ever.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write = None;
            return polled;
        }
        let time = self.times.write;
        let timer = self.write.get_or_insert_with(|| Box::pin(sleep(time)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the answer was not taken in time",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sieve<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.in_time(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.in_time(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.in_time(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.in_time(cx, polled)
    }
}
