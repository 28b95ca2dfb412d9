//! One failure for both wires: a gRPC code or an HTTP status, each mapped for the other.

use ::http::StatusCode;
use serde_json::Value;
use tonic::Code;

use super::fields::{Read, mistaken};

/// Codes by name with the HTTP status of `google.rpc.Code`. The first of a status is what that
/// status means over gRPC.
const CODES: [(&str, Code, u16); 16] = [
    ("INVALID_ARGUMENT", Code::InvalidArgument, 400),
    ("FAILED_PRECONDITION", Code::FailedPrecondition, 400),
    ("OUT_OF_RANGE", Code::OutOfRange, 400),
    ("UNAUTHENTICATED", Code::Unauthenticated, 401),
    ("PERMISSION_DENIED", Code::PermissionDenied, 403),
    ("NOT_FOUND", Code::NotFound, 404),
    ("ABORTED", Code::Aborted, 409),
    ("ALREADY_EXISTS", Code::AlreadyExists, 409),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted, 429),
    ("CANCELLED", Code::Cancelled, 499),
    ("INTERNAL", Code::Internal, 500),
    ("UNKNOWN", Code::Unknown, 500),
    ("DATA_LOSS", Code::DataLoss, 500),
    ("UNIMPLEMENTED", Code::Unimplemented, 501),
    ("UNAVAILABLE", Code::Unavailable, 503),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded, 504),
];

/// What a failed request is answered with, over either wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) status: StatusCode,
}

impl Failure {
    pub(super) const UNAVAILABLE: Self = Self {
        code: Code::Unavailable,
        status: StatusCode::SERVICE_UNAVAILABLE,
    };

    /// `"UNAVAILABLE"`, `503` or `"503"`.
    pub(super) fn read(path: &str, value: &Value) -> Read<Self> {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        match (number, value.as_str()) {
            (Some(number), _) => Self::of_status(path, number),
            (None, Some(name)) => Self::of_code(path, name),
            (None, None) => Err(format!(
                "`{path}` must be a gRPC code such as \"UNAVAILABLE\" or an HTTP status, not {value}"
            )),
        }
    }

    fn of_code(path: &str, name: &str) -> Read<Self> {
        let found = CODES.iter().find(|(known, ..)| *known == name);
        let Some((_, code, status)) = found else {
            let names: Vec<&str> = CODES.iter().map(|(name, ..)| *name).collect();
            let error = mistaken("status", name, name, &names);
            return Err(format!("`{path}`: {error}"));
        };
        let status = StatusCode::from_u16(*status).map_err(|error| error.to_string())?;
        Ok(Self {
            code: *code,
            status,
        })
    }

    fn of_status(path: &str, number: u64) -> Read<Self> {
        let status = u16::try_from(number)
            .ok()
            .filter(|number| (400..600).contains(number))
            .and_then(|number| StatusCode::from_u16(number).ok())
            .ok_or_else(|| {
                format!("`{path}` must be an HTTP status from 400 to 599, not {number}")
            })?;
        let exact = CODES.iter().find(|(.., known)| *known == status.as_u16());
        let code = match exact {
            Some((_, code, _)) => *code,
            // What stands before a service says 502 when it can't reach it.
            None if status == StatusCode::BAD_GATEWAY => Code::Unavailable,
            None if status == StatusCode::PRECONDITION_FAILED => Code::FailedPrecondition,
            None => Code::Unknown,
        };
        Ok(Self { code, status })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_is_mapped_for_the_other_wire() {
        for (given, code, status) in [
            (json!("UNAVAILABLE"), Code::Unavailable, 503),
            (json!(503), Code::Unavailable, 503),
            (json!("503"), Code::Unavailable, 503),
            (json!("RESOURCE_EXHAUSTED"), Code::ResourceExhausted, 429),
            (json!(429), Code::ResourceExhausted, 429),
            (json!("DEADLINE_EXCEEDED"), Code::DeadlineExceeded, 504),
            (json!(504), Code::DeadlineExceeded, 504),
            (json!("INTERNAL"), Code::Internal, 500),
            (json!(500), Code::Internal, 500),
            (json!("DATA_LOSS"), Code::DataLoss, 500),
            (json!(502), Code::Unavailable, 502),
            (json!(418), Code::Unknown, 418),
        ] {
            let failure = Failure::read("status", &given).unwrap();
            assert_eq!(
                (failure.code, failure.status.as_u16()),
                (code, status),
                "{given}"
            );
        }
    }

    #[test]
    fn every_code_but_ok_can_be_asked_for() {
        let codes: std::collections::BTreeSet<i32> =
            CODES.iter().map(|(_, code, _)| *code as i32).collect();
        assert_eq!(codes, (1..=16).collect());
    }

    #[test]
    fn what_is_no_failure_is_named() {
        for (wrong, told) in [
            (json!("UNAVAILBLE"), "did you mean `UNAVAILABLE`"),
            (json!("OK"), "`status`"),
            (json!(200), "400 to 599"),
            (json!(700), "400 to 599"),
            (json!(true), "`status`"),
        ] {
            let error = Failure::read("status", &wrong).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
