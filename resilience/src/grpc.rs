//! What a gRPC status says about the attempt.
//!
//! The code alone doesn't tell whether a request was processed, and some broken connections come
//! out as UNKNOWN or CANCELLED. The causes behind a status do tell, so its source chain is walked
//! and matched by type; messages are for people and never read.

use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::failure::{Classify, FailureKind, Pushback};

/// The metadata key by which a server says when to retry (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What the wire did, as opposed to what the server answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// The request did not reach a handler.
    Unprocessed,
    /// The connection or stream broke; nobody knows what was done.
    Broken,
    /// The channel's own time-out fired.
    Expired,
}

impl Classify for Status {
    fn failure(&self) -> FailureKind {
        match (wire_cause(self), self.code()) {
            (Some(Cause::Unprocessed), _) => FailureKind::NotProcessed,
            (Some(Cause::Expired), _) => FailureKind::Timeout,
            (Some(Cause::Broken), Code::Unknown | Code::Cancelled) => FailureKind::Unavailable,
            (_, code) => by_code(code),
        }
    }

    /// The code's name; what the wire broke is UNAVAILABLE whatever tonic calls it.
    fn code(&self) -> &str {
        let code = match (wire_cause(self), self.code()) {
            (Some(Cause::Unprocessed), _) => Code::Unavailable,
            (Some(Cause::Expired), _) => Code::DeadlineExceeded,
            (Some(Cause::Broken), Code::Unknown | Code::Cancelled) => Code::Unavailable,
            (_, code) => code,
        };
        code_name(code)
    }

    /// `grpc-retry-pushback-ms`; a value that is no natural number means: don't (gRFC A6). Where a
    /// server doesn't send it, `google.rpc.RetryInfo` of the rich error model says the same.
    fn pushback(&self) -> Option<Pushback> {
        let Some(value) = self.metadata().get(PUSHBACK) else {
            let info = self.get_details_retry_info()?;
            return info.retry_delay.map(Pushback::Wait);
        };
        let millis = value.to_str().ok().and_then(|text| text.parse().ok());
        Some(millis.map_or(Pushback::Never, |ms| {
            Pushback::Wait(Duration::from_millis(ms))
        }))
    }
}

fn by_code(code: Code) -> FailureKind {
    match code {
        Code::Unavailable => FailureKind::Unavailable,
        Code::DeadlineExceeded => FailureKind::Timeout,
        Code::Aborted => FailureKind::Aborted,
        Code::ResourceExhausted => FailureKind::Exhausted,
        Code::Internal => FailureKind::Internal,
        // OK is no error; a status of it in an error's place says nothing.
        Code::Unknown | Code::Ok => FailureKind::Unknown,
        Code::DataLoss => FailureKind::DataLoss,
        Code::Cancelled => FailureKind::Cancelled,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => FailureKind::Caller,
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Walks the causes of a status. The first that settles the question does; else a status with any
/// transport error behind it is of a broken wire, and one without is the server's answer.
fn wire_cause(status: &Status) -> Option<Cause> {
    let mut broken = None;
    let mut next = status.source();
    while let Some(error) = next {
        match look(error) {
            Look::Settled(cause) => return cause,
            Look::Transport => broken = Some(Cause::Broken),
            Look::Other => {}
        }
        next = deeper(error);
    }
    broken
}

enum Look {
    Settled(Option<Cause>),
    Transport,
    Other,
}

fn look(error: &(dyn Error + 'static)) -> Look {
    if error.is::<Status>() {
        // A status that was passed through an error: somebody's answer after all.
        return Look::Settled(None);
    }
    if error.is::<tonic::ConnectError>() {
        return Look::Settled(Some(Cause::Unprocessed));
    }
    if error.is::<tonic::TimeoutExpired>() {
        return Look::Settled(Some(Cause::Expired));
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return if refused_by_peer(error) {
            Look::Settled(Some(Cause::Unprocessed))
        } else {
            Look::Transport
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // hyper's "canceled" is a request that was still queued when its connection ended.
        return if error.is_canceled() {
            Look::Settled(Some(Cause::Unprocessed))
        } else {
            Look::Transport
        };
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return if error.kind() == io::ErrorKind::ConnectionRefused {
            Look::Settled(Some(Cause::Unprocessed))
        } else {
            Look::Transport
        };
    }
    if error.is::<tonic::transport::Error>() {
        Look::Transport
    } else {
        Look::Other
    }
}

/// RFC 9113, 8.7: REFUSED_STREAM, and a GOAWAY whose last stream is below this one (h2 ends only
/// those with the peer's GOAWAY), promise that the request was not processed.
fn refused_by_peer(error: &h2::Error) -> bool {
    let goaway = error.is_go_away() && error.is_remote();
    goaway || (!error.is_go_away() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// The cause of an error. An `io::Error`'s own `source` skips the error it wraps.
fn deeper<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    wrapped
        .map(|inner| inner as &(dyn Error + 'static))
        .or_else(|| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    fn caused_by(error: impl Error + Send + Sync + 'static) -> Status {
        Status::from_error(Box::new(error))
    }

    #[derive(Debug, thiserror::Error)]
    #[error("some layer")]
    struct Layer(#[source] Box<dyn Error + Send + Sync>);

    #[test]
    fn every_code_has_its_kind_and_name() {
        let expected = [
            ("OK", FailureKind::Unknown),
            ("CANCELLED", FailureKind::Cancelled),
            ("UNKNOWN", FailureKind::Unknown),
            ("INVALID_ARGUMENT", FailureKind::Caller),
            ("DEADLINE_EXCEEDED", FailureKind::Timeout),
            ("NOT_FOUND", FailureKind::Caller),
            ("ALREADY_EXISTS", FailureKind::Caller),
            ("PERMISSION_DENIED", FailureKind::Caller),
            ("RESOURCE_EXHAUSTED", FailureKind::Exhausted),
            ("FAILED_PRECONDITION", FailureKind::Caller),
            ("ABORTED", FailureKind::Aborted),
            ("OUT_OF_RANGE", FailureKind::Caller),
            ("UNIMPLEMENTED", FailureKind::Caller),
            ("INTERNAL", FailureKind::Internal),
            ("UNAVAILABLE", FailureKind::Unavailable),
            ("DATA_LOSS", FailureKind::DataLoss),
            ("UNAUTHENTICATED", FailureKind::Caller),
        ];
        for (number, (name, kind)) in expected.into_iter().enumerate() {
            let status = Status::new(
                Code::from(number as i32),
                "Connection refused (os error 111)",
            );
            assert_eq!(Classify::code(&status), name);
            assert_eq!(
                status.failure(),
                kind,
                "{name}; the message must not matter"
            );
        }
    }

    #[test]
    fn a_refused_stream_was_not_processed() {
        for error in [
            caused_by(h2::Error::from(h2::Reason::REFUSED_STREAM)),
            caused_by(Layer(Box::new(h2::Error::from(h2::Reason::REFUSED_STREAM)))),
            caused_by(Layer(Box::new(io::Error::other(h2::Error::from(
                h2::Reason::REFUSED_STREAM,
            ))))),
        ] {
            assert_eq!(error.failure(), FailureKind::NotProcessed);
            assert_eq!(Classify::code(&error), "UNAVAILABLE");
        }
    }

    #[test]
    fn other_stream_errors_keep_their_grpc_meaning() {
        let kind = |reason| caused_by(h2::Error::from(reason)).failure();
        assert_eq!(kind(h2::Reason::INTERNAL_ERROR), FailureKind::Internal);
        assert_eq!(kind(h2::Reason::ENHANCE_YOUR_CALM), FailureKind::Exhausted);
        // Nobody here cancelled: the peer took its stream back.
        assert_eq!(kind(h2::Reason::CANCEL), FailureKind::Unavailable);
        assert_eq!(kind(h2::Reason::STREAM_CLOSED), FailureKind::Unavailable);
    }

    #[test]
    fn what_broke_on_the_wire_is_unavailable_and_not_unknown() {
        let reset = caused_by(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(reset.code(), Code::Unknown);
        assert_eq!(reset.failure(), FailureKind::Unavailable);
        assert_eq!(Classify::code(&reset), "UNAVAILABLE");
        let refused = caused_by(Layer(Box::new(io::Error::from(
            io::ErrorKind::ConnectionRefused,
        ))));
        assert_eq!(refused.failure(), FailureKind::NotProcessed);
        let connect = caused_by(tonic::ConnectError("no route".into()));
        assert_eq!(connect.failure(), FailureKind::NotProcessed);
        let odd = caused_by(Layer("something else".into()));
        assert_eq!(odd.failure(), FailureKind::Unknown);
    }

    #[test]
    fn the_channels_own_time_out_is_one() {
        let expired = caused_by(tonic::TimeoutExpired(()));
        assert_eq!(expired.failure(), FailureKind::Timeout);
        assert_eq!(Classify::code(&expired), "DEADLINE_EXCEEDED");
    }

    #[test]
    fn a_status_inside_an_error_is_an_answer() {
        let inner = caused_by(io::Error::from(io::ErrorKind::ConnectionReset));
        let passed = caused_by(Layer(Box::new(Status::not_found("no such product"))));
        assert_eq!(passed.failure(), FailureKind::Caller);
        assert_eq!(inner.failure(), FailureKind::Unavailable);
    }

    #[test]
    fn pushback_is_read_as_a6_says() {
        let with = |value: &'static str| {
            let mut status = Status::unavailable("busy");
            status
                .metadata_mut()
                .insert(PUSHBACK, MetadataValue::from_static(value));
            status.pushback()
        };
        assert_eq!(
            with("250"),
            Some(Pushback::Wait(Duration::from_millis(250)))
        );
        assert_eq!(with("0"), Some(Pushback::Wait(Duration::ZERO)));
        assert_eq!(with("-1"), Some(Pushback::Never));
        assert_eq!(with("soon"), Some(Pushback::Never));
        assert_eq!(Status::unavailable("busy").pushback(), None);
        let wait = Duration::from_millis(40);
        let details = tonic_types::ErrorDetails::with_retry_info(Some(wait));
        let rich = Status::with_error_details(Code::Unavailable, "busy", details);
        assert_eq!(rich.pushback(), Some(Pushback::Wait(wait)));
    }
}
