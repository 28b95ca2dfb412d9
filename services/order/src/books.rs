//! `GET /lab/integrity`: what is stored, and which mails lie with their receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::StatusCode;
use kit::{ApiError, ApiResult, time::now_ms};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    domain::Status,
    outbox::Mailer,
    store::{BookStore, Everything, OpenWork, ShownOrder},
};

/// The part that can be asked for alone.
pub(crate) const PARTS: &[&str] = &["open"];

/// The number of an order that is not there any more.
const GONE: i64 = -1;

/// The books of this service.
#[derive(Clone)]
pub(crate) struct Books {
    store: Arc<dyn BookStore>,
    mailer: Arc<dyn Mailer>,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    open: OpenWork,
    outbox: Outbox,
    keys: Vec<ShownOrder>,
}

#[derive(Serialize)]
struct Outbox {
    /// Every transition of ours writes an event.
    kinds: [&'static str; Status::ALL.len()],
    effects: Vec<Effect>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Effect {
    event: String,
    order: i64,
    kind: String,
    /// A repeat takes the first mail's place in the folder, so 1 at most.
    delivered: u32,
}

impl Books {
    pub(crate) fn new(store: Arc<dyn BookStore>, mailer: Arc<dyn Mailer>) -> Self {
        Self { store, mailer }
    }

    /// What is under way, or everything.
    pub(crate) async fn tell(&self, open_alone: bool) -> ApiResult<Value> {
        if open_alone {
            return Ok(json!(self.store.open_work(now_ms()).await?));
        }
        // Before the rows: a mail that lies there by then has its row in what is read now.
        let before = self.received().await?;
        let everything = self.store.everything(now_ms()).await?;
        let mut noted = everything.outbox.iter().filter(|event| event.noted);
        let late = noted.any(|event| !before.contains(&event.event_id));
        // And again where one was noted meanwhile.
        let after = if late {
            self.received().await?
        } else {
            before.clone()
        };
        Ok(json!(told(everything, &before, &after)))
    }

    async fn received(&self) -> ApiResult<BTreeSet<String>> {
        match self.mailer.received().await {
            Ok(Some(received)) => Ok(received),
            Ok(None) => Err(ApiError::new(
                StatusCode::NOT_IMPLEMENTED,
                "effects_not_counted",
                "Mails go to an SMTP server, which does not tell what it has; without \
                 OUTBOX_SMTP_URL they go into OUTBOX_DIR.",
            )),
            Err(error) => Err(ApiError::internal(error)),
        }
    }
}

/// `before` is what lay with the receiver before the rows were read, `after` what lies there later.
fn told(all: Everything, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Told {
    let mut effects = Vec::with_capacity(all.outbox.len());
    let mut known = BTreeSet::new();
    for event in all.outbox {
        let delivered = u32::from(after.contains(&event.event_id));
        known.insert(event.event_id.clone());
        // Nobody was told of an order that is not shown yet; it may still go without a trace.
        let hidden = event.order.is_some_and(|(_, is_shown)| !is_shown);
        if !hidden || delivered > 0 {
            effects.push(Effect {
                event: event.event_id,
                order: event.order.map_or(GONE, |(id, _)| id),
                kind: event.status,
                delivered,
            });
        }
    }
    let numbers: BTreeMap<&str, i64> = all
        .shown
        .iter()
        .map(|order| (order.order_key.as_str(), order.order))
        .collect();
    let strays = before.difference(&known);
    effects.extend(strays.filter_map(|event| stray(event, &numbers)));
    Told {
        open: all.open,
        outbox: Outbox {
            kinds: Status::ALL.map(Status::as_str),
            effects,
        },
        keys: all.shown,
    }
}

/// A mail whose row is gone: forgotten after a day, or its order never came about.
fn stray(event: &str, numbers: &BTreeMap<&str, i64>) -> Option<Effect> {
    let (key, kind) = event.rsplit_once('.')?;
    let kind = kind.parse::<Status>().ok()?.as_str().to_owned();
    Some(Effect {
        event: event.to_owned(),
        order: numbers.get(key).copied().unwrap_or(GONE),
        kind,
        delivered: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Written;

    fn written(id: &str, order: Option<(i64, bool)>) -> Written {
        Written {
            event_id: format!("{id}.pending"),
            status: "pending".into(),
            order,
            noted: false,
        }
    }

    fn effects(outbox: Vec<Written>, lying: &[&str]) -> Vec<(i64, u32)> {
        let lying: BTreeSet<String> = lying.iter().map(|id| format!("{id}.pending")).collect();
        let shown = vec![ShownOrder {
            order: 4,
            order_key: "old".into(),
        }];
        let open = OpenWork {
            sagas: Vec::new(),
            undelivered: 0,
        };
        let all = Everything {
            open,
            outbox,
            shown,
        };
        let told = told(all, &lying, &lying);
        let effects = told.outbox.effects.iter();
        effects.map(|e| (e.order, e.delivered)).collect()
    }

    #[test]
    fn effects_are_counted_where_they_are() {
        let rows = || vec![written("a", Some((1, true))), written("b", Some((2, true)))];
        assert_eq!(effects(rows(), &["b"]), [(1, 0), (2, 1)]);
        assert_eq!(effects(rows(), &[]), [(1, 0), (2, 0)]);
    }

    #[test]
    fn a_mail_about_no_order_is_told_and_one_of_a_forgotten_row_has_its_order() {
        assert_eq!(effects(vec![written("a", None)], &["a"]), [(-1, 1)]);
        assert_eq!(effects(Vec::new(), &["gone", "old"]), [(-1, 1), (4, 1)]);
    }

    #[test]
    fn of_an_order_that_is_not_shown_only_an_effect_is_told() {
        let hidden = || vec![written("a", Some((1, false)))];
        assert_eq!(effects(hidden(), &[]), []);
        assert_eq!(effects(hidden(), &["a"]), [(1, 1)]);
    }

    #[test]
    fn what_is_no_mail_of_ours_is_none() {
        assert_eq!(stray("notes", &BTreeMap::new()), None);
        assert_eq!(stray("key.bought", &BTreeMap::new()), None);
    }
}
