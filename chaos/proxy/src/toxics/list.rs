//! The toxics of one proxy, and how its live connections hear of changes.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Attributes, Direction, Kind, Toxic, ToxicView};
use crate::decode::Fields;
use crate::error::{Error, Result};

/// What connections watch: every toxic in the order of its creation, which is
/// the order in which data passes them.
pub(crate) type ToxicList = Arc<[Arc<Toxic>]>;

/// The toxics of one proxy. They outlive its being disabled.
pub(crate) struct Toxics {
    list: watch::Sender<ToxicList>,
    next_id: u64,
}

impl Toxics {
    pub(crate) fn new() -> Self {
        Self {
            list: watch::Sender::new(Arc::from([])),
            next_id: 0,
        }
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
        let toxic = Arc::new(Toxic {
            id,
            name,
            kind,
            stream,
            direction,
            toxicity,
            attributes,
        });
        let view = toxic.view();
        self.change(|list| list.push(toxic));
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
        });
        let view = new.view();
        self.change(|list| {
            for toxic in list.iter_mut().filter(|toxic| toxic.id == new.id) {
                *toxic = Arc::clone(&new);
            }
        });
        Ok(view)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        let id = self.find(name)?.id;
        self.change(|list| list.retain(|toxic| toxic.id != id));
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.change(Vec::clear);
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

    fn json(view: &ToxicView) -> String {
        serde_json::to_string(view).unwrap()
    }

    #[test]
    fn defaults_and_the_wire_form_are_toxiproxys() {
        let mut toxics = Toxics::new();
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
        let mut toxics = Toxics::new();
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
    fn a_refused_update_changes_nothing() {
        let mut toxics = Toxics::new();
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
