//! Requests of a system that isn't the shop: one fixed request for each operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Interrupted};
use crate::error::LoadError;
use crate::mix::Op;
use crate::record::{self, Judgement, Outcome};

/// How one operation looks in another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, from the entry on.
    pub path: String,
    /// Headers beside the request id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The statuses of a good answer; any 2xx if none is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<u16>,
}

fn get() -> String {
    "GET".to_owned()
}

/// A template, ready to be sent.
#[derive(Debug)]
pub(crate) struct Plain {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    expect: Arc<[u16]>,
}

impl Plain {
    /// The request of `template` at `base`.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming the template's field.
    pub(crate) fn new(base: &str, template: &Template) -> Result<Self, LoadError> {
        let invalid =
            |field: &str, e: &dyn std::fmt::Display| LoadError::invalid(field, e.to_string());
        let method = template.method.parse();
        let uri = format!("{base}{}", template.path).parse();
        let mut headers = HeaderMap::new();
        for (name, value) in &template.headers {
            let field = format!("headers.{name}");
            let key: HeaderName = name.parse().map_err(|e| invalid(&field, &e))?;
            let value = HeaderValue::from_str(value).map_err(|e| invalid(&field, &e))?;
            headers.insert(key, value);
        }
        Ok(Self {
            method: method.map_err(|e| invalid("method", &e))?,
            uri: uri.map_err(|e| invalid("path", &e))?,
            headers,
            body: template.body.clone().unwrap_or_default().into(),
            expect: template.expect.clone().into(),
        })
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(crate) fn expect(&self) -> Arc<[u16]> {
        Arc::clone(&self.expect)
    }
}

/// Judges an answer by its status alone.
pub(crate) fn judge(expect: &[u16], result: &Result<Answer, Interrupted>) -> Judgement {
    let mut judged = record::judge(Op::Browse, result);
    if expect.is_empty() || result.is_err() {
        return judged;
    }
    if expect.contains(&judged.status) {
        judged.outcome = Outcome::Ok;
    } else if judged.outcome.is_success() {
        judged.outcome = Outcome::Failed;
        judged.error = Some(format!("status: {} was not expected", judged.status));
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn template(text: &str) -> Template {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_template_is_sent_as_it_is_written() {
        let text = r#"{"method":"POST","path":"/a?b=c","headers":{"x-key":"v"},"body":"hello"}"#;
        let request = Plain::new("http://127.0.0.1:1", &template(text))
            .unwrap()
            .request();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "http://127.0.0.1:1/a?b=c");
        assert_eq!(request.headers()["x-key"], "v");
        let plain = Plain::new("http://127.0.0.1:1", &template(r#"{"path":"/"}"#)).unwrap();
        assert_eq!(plain.request().method(), "GET");
    }

    #[test]
    fn what_can_not_be_sent_names_its_field() {
        for (text, field) in [
            (r#"{"path":"/","method":"A B"}"#, "method"),
            (r#"{"path":"/ /"}"#, "path"),
            (r#"{"path":"/","headers":{"a b":""}}"#, "headers.a b"),
            (r#"{"path":"/","headers":{"a":"\n"}}"#, "headers.a"),
        ] {
            match Plain::new("http://127.0.0.1:1", &template(text)) {
                Err(LoadError::Invalid { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_is_judged_by_what_is_expected() {
        let judged = |expect: &[u16], status: u16| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            judge(expect, &Ok(answer)).outcome
        };
        for (expect, status, outcome) in [
            (&[][..], 204, Outcome::Ok),
            (&[], 404, Outcome::Failed),
            (&[200, 404], 404, Outcome::Ok),
            (&[200], 204, Outcome::Failed),
            (&[200], 429, Outcome::Rejected),
            (&[200], 500, Outcome::Failed),
        ] {
            assert_eq!(judged(expect, status), outcome, "{expect:?} {status}");
        }
    }
}
