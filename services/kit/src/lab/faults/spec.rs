//! What a fault is: read from the wire, and checked before it is let near a request.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    action::Action,
    fields::{self, Fields, Read, mistaken},
    seen::Seen,
};

/// A fault lives for at most this long unless its owner renews it.
const LONGEST_LEASE: Duration = Duration::from_secs(15);
/// Labels of parts that may stand before the dash of a link; `load` is whoever calls the gateway.
const CALLERS: [&str; 6] = ["*", "load", "gateway", "user", "product", "order"];
const FIELDS: &[&str] = &[
    "id", "seed", "link", "lease", "methods", "callers", "users", "action",
];

/// A fault as it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) id: String,
    pub(super) seed: u64,
    pub(super) lease: Duration,
    pub(super) action: Action,
    link: String,
    scope: Scope,
    methods: Option<Vec<String>>,
    callers: Option<Vec<String>>,
    users: Option<Vec<i64>>,
    /// The action as it is shown.
    shown: Value,
}

/// Where it acts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// At this service's own side, on requests of that caller; of every one without.
    Server(Option<String>),
    /// In the client of the cache or database of that link.
    Client,
}

/// The links of a process.
pub(super) struct Served<'a> {
    pub(super) service: &'a str,
    /// Those to its cache and database.
    pub(super) clients: &'a [String],
}

impl Spec {
    /// # Errors
    /// What is wrong, with the field's name.
    pub(super) fn read(body: &[u8], served: &Served<'_>) -> Read<Self> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        let fields = Fields::new("", &value, FIELDS)?;
        let (link, scope) = fields.required("link", |path, value| {
            let link = fields::text(path, value)?;
            let scope = scope(path, &link, served)?;
            Ok((link, scope))
        })?;
        let (action, shown) = fields.required("action", |path, value| {
            let action = Action::read(path, value)?;
            if scope == Scope::Client && !action.suits_a_client() {
                let name = action.name();
                return Err(format!(
                    "`{path}.{name}`: on {link} only fail, delay, hang and capacity can act"
                ));
            }
            Ok((action, value.clone()))
        })?;
        Ok(Self {
            id: fields.required("id", id)?,
            seed: fields.optional("seed", fields::natural)?.unwrap_or(0),
            lease: fields.optional("lease", lease)?.unwrap_or(LONGEST_LEASE),
            methods: fields.optional("methods", texts)?,
            callers: fields.optional("callers", texts)?,
            users: fields.optional("users", |path, value| fields::list(path, value, user))?,
            action,
            link,
            scope,
            shown,
        })
    }

    /// Whether it is about that request.
    pub(super) fn matches(&self, seen: &Seen) -> bool {
        let link = match &self.scope {
            Scope::Client => seen.client && seen.link == self.link,
            Scope::Server(caller) => {
                !seen.client && caller.as_ref().is_none_or(|caller| *caller == *seen.caller)
            }
        };
        link && among(self.methods.as_ref(), |method| *method == seen.method)
            && among(self.callers.as_ref(), |caller| *caller == *seen.caller)
            && among(self.users.as_ref(), |user| Some(*user) == seen.user)
    }

    /// As it stands in answers, without what changes.
    pub(super) fn show(&self) -> Value {
        json!({
            "id": self.id, "seed": self.seed, "link": self.link, "methods": self.methods,
            "callers": self.callers, "users": self.users, "action": self.shown,
        })
    }

    pub(super) fn link(&self) -> &str {
        &self.link
    }
}

/// No list means everything.
fn among<T>(list: Option<&Vec<T>>, is: impl Fn(&T) -> bool) -> bool {
    list.is_none_or(|list| list.iter().any(is))
}

fn scope(path: &str, link: &str, served: &Served<'_>) -> Read<Scope> {
    if served.clients.iter().any(|client| client == link) {
        return Ok(Scope::Client);
    }
    let Served { service, clients } = served;
    let caller = link
        .strip_suffix(service)
        .and_then(|rest| rest.strip_suffix('-'));
    match caller {
        Some("*") => Ok(Scope::Server(None)),
        Some(caller) if CALLERS.contains(&caller) => Ok(Scope::Server(Some(caller.to_owned()))),
        Some(caller) => {
            let error = mistaken("caller", caller, caller, &CALLERS);
            Err(format!("`{path}` {link:?}: {error}"))
        }
        None => {
            let clients: String = clients.iter().map(|client| format!(", {client}")).collect();
            Err(format!(
                "`{path}` {link:?} is none of this part's; there are: <caller>-{service}, \
                 *-{service}{clients}"
            ))
        }
    }
}

/// It is a label of metrics and part of addresses.
fn id(path: &str, value: &Value) -> Read<String> {
    let id = fields::text(path, value)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if id.len() > 64 || !id.bytes().all(plain) {
        return Err(format!(
            "`{path}` must be at most 64 letters, digits, dots, dashes and underscores, not {id:?}"
        ));
    }
    Ok(id)
}

pub(super) fn lease(path: &str, value: &Value) -> Read<Duration> {
    let lease = fields::duration(path, value)?;
    if lease.is_zero() || lease > LONGEST_LEASE {
        return Err(format!(
            "`{path}` is longer than 0s and at most 15s; renew it to hold on"
        ));
    }
    Ok(lease)
}

/// `{"lease": "15s"}`
pub(super) fn renewal(body: &[u8]) -> Read<Duration> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    Fields::new("", &value, &["lease"])?.required("lease", lease)
}

fn texts(path: &str, value: &Value) -> Read<Vec<String>> {
    fields::list(path, value, fields::text)
}

fn user(path: &str, value: &Value) -> Read<i64> {
    value
        .as_i64()
        .ok_or_else(|| format!("`{path}` must be a user's id, not {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Read<Spec> {
        let clients = ["product-cache".to_owned(), "product-database".to_owned()];
        let served = Served {
            service: "product",
            clients: &clients,
        };
        Spec::read(body.to_string().as_bytes(), &served)
    }

    fn with(change: Value) -> Value {
        let mut body = json!({
            "id": "flaky", "seed": 123, "link": "order-product", "lease": "15s",
            "action": {"fail": {"share": 0.2, "status": "UNAVAILABLE"}},
        });
        let (Some(body_map), Some(change)) = (body.as_object_mut(), change.as_object()) else {
            panic!("objects")
        };
        body_map.extend(change.clone());
        body
    }

    fn seen(caller: &str, method: &str, user: Option<i64>) -> Seen {
        Seen {
            user,
            ..Seen::server("product", caller, method)
        }
    }

    #[test]
    fn it_is_about_the_link_and_every_list_it_has() {
        let spec = read(with(json!({
            "methods": ["GetProducts", "GET /api/products/{id}/"], "callers": ["order"], "users": [7],
        })))
        .unwrap();
        assert!(spec.matches(&seen("order", "GetProducts", Some(7))));
        assert!(spec.matches(&seen("order", "GET /api/products/{id}/", Some(7))));
        assert!(!spec.matches(&seen("order", "ReserveStock", Some(7))));
        assert!(!spec.matches(&seen("order", "GetProducts", Some(8))));
        assert!(!spec.matches(&seen("order", "GetProducts", None)));
        assert!(!spec.matches(&seen("gateway", "GetProducts", Some(7))));
        let all = read(with(json!({"link": "*-product"}))).unwrap();
        assert!(all.matches(&seen("gateway", "X", None)) && all.matches(&seen("-", "X", None)));
        let cache = read(with(json!({"link": "product-cache"}))).unwrap();
        let lookup = Seen::client("product-cache", "get", None);
        assert!(cache.matches(&lookup) && !all.matches(&lookup));
        assert!(!cache.matches(&seen("order", "get", None)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (change, told) in [
            (json!({"lease": "16s"}), "`lease`"),
            (json!({"lease": "0s"}), "`lease`"),
            (json!({"lease": 15}), "`lease`"),
            (json!({"seed": -1}), "`seed`"),
            (json!({"id": null}), "`id` is missing"),
            (json!({"id": "a b"}), "`id`"),
            (
                json!({"link": "order-user"}),
                "<caller>-product, *-product, product-cache",
            ),
            (json!({"link": "ordr-product"}), "did you mean `order`"),
            (json!({"link": "product"}), "`link`"),
            (json!({"method": ["X"]}), "did you mean `methods`"),
            (json!({"methods": []}), "`methods`"),
            (json!({"methods": [7]}), "`methods[0]`"),
            (json!({"users": ["me"]}), "`users[0]`"),
            (json!({"action": null}), "`action` is missing"),
            (
                json!({"link": "product-cache", "action": {"work": {"time": "1s"}}}),
                "`action.work`",
            ),
            (
                json!({"link": "product-cache", "action": {"lose_reply": {}}}),
                "fail, delay, hang",
            ),
        ] {
            let error = read(with(change.clone())).unwrap_err();
            assert!(error.contains(told), "{change}: {error}");
        }
        let served = Served {
            service: "product",
            clients: &[],
        };
        assert!(Spec::read(b"{", &served).unwrap_err().contains("no JSON"));
        assert!(Spec::read(b"[]", &served).unwrap_err().contains("object"));
    }

    #[test]
    fn a_fault_is_shown_as_it_was_asked_for() {
        let shown = read(with(json!({"users": [7]}))).unwrap().show();
        assert_eq!(
            shown,
            json!({
                "id": "flaky", "seed": 123, "link": "order-product", "methods": null,
                "callers": null, "users": [7],
                "action": {"fail": {"share": 0.2, "status": "UNAVAILABLE"}},
            })
        );
    }

    #[test]
    fn a_renewal_names_its_lease() {
        assert_eq!(renewal(br#"{"lease":"5s"}"#), Ok(Duration::from_secs(5)));
        for wrong in ["{}", r#"{"lease":"20s"}"#, r#"{"leese":"5s"}"#, "x"] {
            assert!(renewal(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
