//! A request's body on its way in: it comes within a time, and a flood of nothing is no body.

use std::{
    error::Error as StdError,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::StatusCode;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};

use crate::{ApiError, json};

/// Frames without data in one body; a sender has a reason for one at the end, perhaps.
const EMPTY_FRAMES: u32 = 64;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It did not come in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// Frame after frame without data (HTTP/2: DATA frames cost the sender nothing).
    #[error("the body is a flood of empty frames")]
    Flood,
    /// The connection's.
    #[error(transparent)]
    Wire(#[from] hyper::Error),
}

/// A body with a time in which it must come.
pub(super) struct Timely {
    inner: Incoming,
    within: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    empty: u32,
    /// Told when the connection is better ended.
    misused: Arc<Notify>,
}

impl Timely {
    pub(super) fn new(inner: Incoming, within: Duration, misused: Arc<Notify>) -> Self {
        Self {
            inner,
            within,
            timer: None,
            empty: 0,
            misused,
        }
    }

    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        let within = self.within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(within)));
        timer.as_mut().poll(cx).is_ready()
    }

    fn counted(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        if frame.data_ref().is_some_and(Bytes::is_empty) {
            self.empty += 1;
        }
        if self.empty > EMPTY_FRAMES {
            self.misused.notify_one();
            return Err(BodyError::Flood);
        }
        Ok(())
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Also while frames come: a byte a second is no body.
        if !self.inner.is_end_stream() && self.late(cx) {
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = self.counted(&frame);
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a body that could not be read is answered: 413 over the limit, 408 too slow, else 400.
pub fn body_error(error: &(dyn StdError + 'static)) -> ApiError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return json::too_large();
        }
        if let Some(BodyError::TooSlow | BodyError::Flood) = error.downcast_ref() {
            let message = "The body did not come in time.";
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
                .header(::http::header::CONNECTION, "close");
        }
        cause = error.source();
    }
    ApiError::bad_request("parse_error", "The body could not be read.")
}
