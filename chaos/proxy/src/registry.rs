//! All proxies of a server, and what the API does to them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::sync::Mutex;

use crate::decode::{Fields, first_value};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::lease::Lease;
use crate::proxy::{ActedView, Proxy, ProxyChange, ProxyView, Shared};
use crate::toxics::ToxicView;

/// The proxies by name. One lock: changes are rare and must not interleave.
pub(crate) struct Registry {
    proxies: Mutex<BTreeMap<String, Proxy>>,
    shared: Shared,
    lease: Lease,
}

/// A proxy as a request describes it.
struct Described {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
}

impl Described {
    /// `place` says which of several it is, for the message.
    fn read(fields: &Fields, place: &str) -> Result<Self> {
        let text = |name| fields.text(name).map(Option::unwrap_or_default);
        let (name, listen, upstream) = (text("name")?, text("listen")?, text("upstream")?);
        let enabled = fields.flag("enabled")?.unwrap_or(true);
        for (field, value) in [("name", &name), ("upstream", &upstream)] {
            if value.is_empty() {
                return Err(Error::MissingField(format!("{field}{place}")));
            }
        }
        Ok(Self {
            name,
            listen,
            upstream,
            enabled,
        })
    }
}

impl Registry {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            proxies: Mutex::default(),
            shared,
            lease: Lease::new(),
        }
    }

    pub(crate) async fn all(&self) -> BTreeMap<String, ProxyView> {
        let proxies = self.proxies.lock().await;
        proxies
            .iter()
            .map(|(name, proxy)| (name.clone(), proxy.view()))
            .collect()
    }

    pub(crate) async fn show(&self, name: &str) -> Result<ProxyView> {
        self.with(name, |proxy| Ok(proxy.view())).await
    }

    pub(crate) async fn create(&self, body: &[u8]) -> Result<ProxyView> {
        let described = Described::read(&Fields::of_body(body, "proxy")?, "")?;
        let mut proxies = self.proxies.lock().await;
        if proxies.contains_key(&described.name) {
            return Err(Error::ProxyAlreadyExists);
        }
        self.insert(&mut proxies, described).await
    }

    /// Creates many, or replaces those whose addresses changed. Returns what
    /// was done even when a later one failed.
    pub(crate) async fn populate(&self, body: &[u8]) -> (Vec<ProxyView>, Result<()>) {
        let mut done = Vec::new();
        let result = self.populate_into(body, &mut done).await;
        (done, result)
    }

    async fn populate_into(&self, body: &[u8], done: &mut Vec<ProxyView>) -> Result<()> {
        // Checked as a whole first: a typing error sets up nothing.
        let described = described_list(body)?;
        let mut proxies = self.proxies.lock().await;
        for one in described {
            if let Some(existing) = proxies.get_mut(&one.name) {
                if !existing.differs(&one.listen, &one.upstream).await? {
                    done.push(existing.view());
                    continue;
                }
                existing.stop().await;
            }
            done.push(self.insert(&mut proxies, one).await?);
        }
        Ok(())
    }

    async fn insert(
        &self,
        proxies: &mut BTreeMap<String, Proxy>,
        described: Described,
    ) -> Result<ProxyView> {
        let Described {
            name,
            listen,
            upstream,
            enabled,
        } = described;
        let mut proxy = Proxy::new(name, listen, upstream, self.shared.clone());
        if enabled {
            proxy.start().await?;
        }
        let view = proxy.view();
        proxies.insert(proxy.name().to_owned(), proxy);
        Ok(view)
    }

    pub(crate) async fn update(&self, name: &str, body: &[u8]) -> Result<ProxyView> {
        let mut proxies = self.proxies.lock().await;
        let proxy = proxies.get_mut(name).ok_or(Error::ProxyNotFound)?;
        let fields = Fields::of_body(body, "proxy")?;
        let change = ProxyChange {
            listen: fields.text("listen")?,
            upstream: fields.text("upstream")?,
            enabled: fields.flag("enabled")?,
        };
        proxy.update(change).await?;
        Ok(proxy.view())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let mut proxies = self.proxies.lock().await;
        let mut proxy = proxies.remove(name).ok_or(Error::ProxyNotFound)?;
        proxy.stop().await;
        Ok(())
    }

    /// Enables every proxy and drops every toxic. One that can't be enabled is
    /// reported, after all others have been seen to.
    pub(crate) async fn reset(&self) -> Result<()> {
        let mut proxies = self.proxies.lock().await;
        let mut result = Ok(());
        for proxy in proxies.values_mut() {
            proxy.toxics.clear();
            result = result.and(proxy.start().await);
        }
        result
    }

    /// What the toxics of each proxy, and *down*, acted on.
    pub(crate) async fn acted(&self) -> BTreeMap<String, ActedView> {
        let proxies = self.proxies.lock().await;
        let acted = proxies.iter();
        acted
            .map(|(name, proxy)| (name.clone(), proxy.acted()))
            .collect()
    }

    /// Those counts start again.
    pub(crate) async fn forget_acted(&self) {
        let mut proxies = self.proxies.lock().await;
        proxies.values_mut().for_each(Proxy::forget_acted);
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shared.seed.load(Ordering::Relaxed)
    }

    /// Another seed, from each proxy's next connection on, which is its first.
    pub(crate) async fn reseed(&self, seed: u64) {
        let proxies = self.proxies.lock().await;
        self.shared.seed.store(seed, Ordering::Relaxed);
        proxies.values().for_each(Proxy::reseed);
        tracing::info!(seed, "reseeded");
        self.events().send("seed", || json!({ "seed": seed }));
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Resets everything whenever a lease runs out.
    pub(crate) async fn keep_lease(&self) {
        loop {
            self.lease.over().await;
            let result = self.reset().await;
            self.events().send("lease_expired", || json!({}));
            match result {
                Ok(()) => tracing::warn!("the lease ran out: everything was reset"),
                Err(error) => {
                    tracing::error!(%error, "the lease ran out: all toxics are gone, but not every proxy is up");
                }
            }
        }
    }

    /// Stops every proxy, for good.
    pub(crate) async fn shut_down(&self) {
        let mut proxies = self.proxies.lock().await;
        for proxy in proxies.values_mut() {
            proxy.stop().await;
        }
        proxies.clear();
    }

    pub(crate) async fn toxics(&self, name: &str) -> Result<Vec<ToxicView>> {
        self.with(name, |proxy| Ok(proxy.toxics.views())).await
    }

    pub(crate) async fn toxic(&self, name: &str, toxic: &str) -> Result<ToxicView> {
        self.with(name, |proxy| proxy.toxics.show(toxic)).await
    }

    pub(crate) async fn add_toxic(&self, name: &str, body: &[u8]) -> Result<ToxicView> {
        let added = self.with(name, |proxy| proxy.toxics.add(body)).await?;
        tracing::info!(link = name, toxic = %shown(&added), "toxic added");
        Ok(added)
    }

    pub(crate) async fn update_toxic(
        &self,
        name: &str,
        toxic: &str,
        body: &[u8],
    ) -> Result<ToxicView> {
        let updated = self
            .with(name, |proxy| proxy.toxics.update(toxic, body))
            .await?;
        tracing::info!(link = name, toxic = %shown(&updated), "toxic updated");
        Ok(updated)
    }

    pub(crate) async fn remove_toxic(&self, name: &str, toxic: &str) -> Result<()> {
        self.with(name, |proxy| proxy.toxics.remove(toxic)).await?;
        tracing::info!(link = name, toxic, "toxic removed");
        Ok(())
    }

    async fn with<T>(&self, name: &str, act: impl FnOnce(&mut Proxy) -> Result<T>) -> Result<T> {
        let mut proxies = self.proxies.lock().await;
        act(proxies.get_mut(name).ok_or(Error::ProxyNotFound)?)
    }
}

/// A toxic as the API shows it, for the log.
fn shown(toxic: &ToxicView) -> String {
    serde_json::to_string(toxic).unwrap_or_default()
}

fn described_list(body: &[u8]) -> Result<Vec<Described>> {
    let values = match first_value(body)? {
        serde_json::Value::Array(values) => values,
        serde_json::Value::Null => Vec::new(),
        _ => {
            return Err(Error::BadRequestBody(
                "json: expected an array of proxies".to_owned(),
            ));
        }
    };
    let fields: Vec<_> = values
        .into_iter()
        .map(|value| Fields::of(value, "proxy"))
        .collect::<Result<_>>()?;
    let numbered = fields.iter().zip(1..);
    numbered
        .map(|(f, number)| Described::read(f, &format!(" at proxy {number}")))
        .collect()
}
