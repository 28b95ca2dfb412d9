//! The toxics of one proxy, and how its live connections hear of changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::{Attributes, Direction, Kind, Toxic, ToxicView};
use crate::acted::{Acted, Ledger, Reports};
use crate::decode::Fields;
use crate::error::{Error, Result};

/// What connections watch: every toxic in the order of its creation, which is
/// the order in which data passes them.
pub(crate) type ToxicList = Arc<[Arc<Toxic>]>;

/// The most removed toxics whose counts are kept; the oldest go first.
const MOST_GONE: usize = 1024;

/// The toxics of one proxy. They outlive its being disabled.
pub(crate) struct Toxics {
    list: watch::Sender<ToxicList>,
    next_id: u64,
    reports: Reports,
    /// What removed toxics did, until one of the same name is added.
    gone: VecDeque<Arc<Ledger>>,
}

impl Toxics {
    pub(crate) fn new(reports: Reports) -> Self {
        Self {
            list: watch::Sender::new(Arc::from([])),
            next_id: 0,
            reports,
            gone: VecDeque::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self::new(Reports::quiet())
    }

    /// For a connection: the list, and news of its changes.
    pub(crate) fn watch(&self) -> watch::Receiver<ToxicList> {
        self.list.subscribe()
    }

    /// As the API lists them: those of the upstream direction first.
    pub(crate) fn views(&self) -> Vec<ToxicView> {
        let list = self.list.borrow();
        let mut sorted: Vec<_> = list.iter().collect();
        sorted.sort_by_key(|toxic| toxic.direction);
        sorted.into_iter().map(Toxic::view).collect()
    }

    pub(crate) fn show(&self, name: &str) -> Result<ToxicView> {
        self.find(name).map(|toxic| toxic.view())
    }

    /// Adds what the body describes, at the end of the chain.
    pub(crate) fn add(&mut self, body: &[u8]) -> Result<ToxicView> {
        let fields = Fields::of_body(body, "toxic")?;
        let name = fields.text("name")?;
        let kind = fields.text("type")?.unwrap_or_default();
        let stream = fields
            .text("stream")?
            .unwrap_or_else(|| "downstream".to_owned());
        let toxicity = fields.number("toxicity")?.unwrap_or(1.0);
        let attributes = fields.object("attributes")?;

        let direction = Direction::parse(&stream).ok_or(Error::InvalidStream)?;
        let name = name
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| format!("{kind}_{stream}"));
        let kind = Kind::named(&kind).ok_or(Error::InvalidToxicType)?;
        if self.find(&name).is_ok() {
            return Err(Error::ToxicAlreadyExists);
        }
        let attributes = Attributes::zero(kind.attributes).changed_by(attributes.as_ref())?;

        self.next_id += 1;
        let id = self.next_id;
        self.gone.retain(|ledger| ledger.name != name);
        let ledger = Arc::new(self.reports.ledger(&name, kind, direction));
        let toxic = Arc::new(Toxic {
            id,
            name,
            kind,
            stream,
            direction,
            toxicity,
            attributes,
            ledger,
        });
        let view = toxic.view();
        self.change(|list| list.push(toxic));
        self.tell("toxic_added", &view);
        Ok(view)
    }

    /// Changes a toxic's toxicity and those attributes that the body names.
    pub(crate) fn update(&mut self, name: &str, body: &[u8]) -> Result<ToxicView> {
        let old = self.find(name)?;
        let fields = Fields::of_body(body, "toxic")?;
        let attributes = fields.object("attributes")?;
        let new = Arc::new(Toxic {
            id: old.id,
            name: old.name.clone(),
            kind: old.kind,
            stream: old.stream.clone(),
            direction: old.direction,
            toxicity: fields.number("toxicity")?.unwrap_or(old.toxicity),
            attributes: old.attributes.changed_by(attributes.as_ref())?,
            ledger: Arc::clone(&old.ledger),
        });
        let view = new.view();
        self.change(|list| {
            for toxic in list.iter_mut().filter(|toxic| toxic.id == new.id) {
                *toxic = Arc::clone(&new);
            }
        });
        self.tell("toxic_updated", &view);
        Ok(view)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        let toxic = self.find(name)?;
        self.change(|list| list.retain(|other| other.id != toxic.id));
        self.retire(&toxic);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        let all = self.list.borrow().clone();
        self.change(Vec::clear);
        for toxic in all.iter() {
            self.retire(toxic);
        }
    }

    /// What each toxic did, those that are gone included.
    pub(crate) fn acted(&self) -> BTreeMap<String, Acted> {
        let list = self.list.borrow();
        let there = list.iter().map(|toxic| &toxic.ledger);
        let all = self.gone.iter().chain(there);
        all.map(|ledger| (ledger.name.clone(), ledger.acted()))
            .collect()
    }

    /// Counts from nothing again, and forgets the toxics that are gone.
    pub(crate) fn forget_acted(&mut self) {
        self.gone.clear();
        for toxic in self.list.borrow().iter() {
            toxic.ledger.clear();
        }
    }

    /// Keeps what a removed toxic did.
    fn retire(&mut self, toxic: &Arc<Toxic>) {
        self.gone.push_back(Arc::clone(&toxic.ledger));
        if self.gone.len() > MOST_GONE {
            self.gone.pop_front();
        }
        self.tell("toxic_removed", &toxic.view());
    }

    fn tell(&self, kind: &str, toxic: &ToxicView) {
        self.reports.events.send(kind, || {
            let mut fields = json!(toxic);
            // The event has a name of its own for it.
            fields["toxic"] = fields["name"].take();
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("name");
            }
            fields["link"] = json!(*self.reports.link);
            fields
        });
    }

    fn find(&self, name: &str) -> Result<Arc<Toxic>> {
        let list = self.list.borrow();
        list.iter()
            .find(|toxic| toxic.name == name)
            .cloned()
            .ok_or(Error::ToxicNotFound)
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<Arc<Toxic>>)) {
        self.list.send_modify(|list| {
            let mut edited = list.to_vec();
            edit(&mut edited);
            *list = edited.into();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acted::Counted;

    fn json(view: &ToxicView) -> String {
        serde_json::to_string(view).unwrap()
    }

    #[test]
    fn defaults_and_the_wire_form_are_toxiproxys() {
        let mut toxics = Toxics::quiet();
        let view = toxics
            .add(br#"{"type":"latency","attributes":{"latency":10}}"#)
            .unwrap();
        assert_eq!(
            json(&view),
            r#"{"attributes":{"latency":10,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}"#
        );
        let view = toxics
            .add(br#"{"type":"timeout","stream":"Upstream","toxicity":0.3}"#)
            .unwrap();
        assert_eq!(
            json(&view),
            r#"{"attributes":{"timeout":0},"name":"timeout_Upstream","type":"timeout","stream":"Upstream","toxicity":0.3}"#
        );
        let listed: Vec<_> = toxics.views().iter().map(json).collect();
        assert!(
            listed[0].contains("timeout_Upstream"),
            "upstream first: {listed:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_in_toxiproxys_order() {
        let mut toxics = Toxics::quiet();
        toxics.add(br#"{"type":"latency"}"#).unwrap();
        for (body, expected) in [
            (
                r#"{"type":"none","stream":"sideways"}"#,
                Error::InvalidStream.to_string(),
            ),
            (
                r#"{"type":"none","name":"latency_downstream"}"#,
                Error::InvalidToxicType.to_string(),
            ),
            (
                r#"{"type":"latency","attributes":{"latency":"x"}}"#,
                Error::ToxicAlreadyExists.to_string(),
            ),
        ] {
            assert_eq!(
                toxics.add(body.as_bytes()).unwrap_err().to_string(),
                expected,
                "{body}"
            );
        }
        let bad = br#"{"type":"latency","name":"n","attributes":{"latency":"x"}}"#;
        assert!(matches!(toxics.add(bad), Err(Error::BadRequestBody(_))));
        assert_eq!(toxics.views().len(), 1);
    }

    #[test]
    fn what_a_toxic_did_outlives_it_until_its_name_is_used_again() {
        let mut toxics = Toxics::quiet();
        let acted = |toxics: &Toxics| {
            let all = toxics.acted();
            all.get("n").map(|acted| (acted.kind, acted.bytes))
        };
        toxics.add(br#"{"type":"latency","name":"n"}"#).unwrap();
        let record = |toxics: &Toxics| {
            let toxic = toxics.find("n").unwrap();
            toxic.ledger.record(1, &mut Counted::default(), 1, 10);
        };
        record(&toxics);
        toxics.update("n", br#"{"toxicity":0.5}"#).unwrap();
        record(&toxics);
        assert_eq!(acted(&toxics), Some(("latency", 20)));
        toxics.remove("n").unwrap();
        assert_eq!(acted(&toxics), Some(("latency", 20)));
        toxics.add(br#"{"type":"timeout","name":"n"}"#).unwrap();
        assert_eq!(acted(&toxics), Some(("timeout", 0)));
        record(&toxics);
        toxics.forget_acted();
        assert_eq!(acted(&toxics), Some(("timeout", 0)));
        toxics.clear();
        assert_eq!(acted(&toxics), Some(("timeout", 0)));
        toxics.forget_acted();
        assert_eq!(acted(&toxics), None);
        for n in 0..MOST_GONE + 5 {
            let body = format!(r#"{{"type":"noop","name":"n{n}"}}"#);
            toxics.add(body.as_bytes()).unwrap();
            toxics.clear();
        }
        assert_eq!(toxics.acted().len(), MOST_GONE);
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let mut toxics = Toxics::quiet();
        toxics
            .add(br#"{"type":"latency","attributes":{"latency":10}}"#)
            .unwrap();
        let name = "latency_downstream";
        let bad = br#"{"toxicity":0.5,"attributes":{"latency":20,"jitter":"x"}}"#;
        assert!(toxics.update(name, bad).is_err());
        let shown = json(&toxics.show(name).unwrap());
        assert!(
            shown.contains(r#""latency":10"#) && shown.contains(r#""toxicity":1"#),
            "{shown}"
        );
        toxics
            .update(name, br#"{"attributes":{"jitter":3}}"#)
            .unwrap();
        let shown = json(&toxics.show(name).unwrap());
        assert!(shown.contains(r#"{"latency":10,"jitter":3}"#), "{shown}");
    }
}
