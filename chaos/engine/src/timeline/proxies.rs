//! Faults per connection: carried out by the fault proxies.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Count, Injector, LEASE, Order};
use crate::error::EngineError;
use crate::proxy::{Acted, Proxies};
use crate::scenario::Action;
use crate::target::{Target, same};

/// The fault proxies of a target.
pub struct ProxyInjector {
    proxies: Proxies,
    /// The proxies there are.
    names: Vec<String>,
    /// The links that are served by proxies of another name.
    links: BTreeMap<String, Vec<String>>,
    /// What `down` had acted on before, by fault and proxy: it is counted from the
    /// start of the proxy on.
    before: Mutex<BTreeMap<(String, String), u64>>,
}

impl ProxyInjector {
    /// Asks the proxies' API what there is.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn new(proxies: Proxies, target: &Target) -> Result<Self, EngineError> {
        let names = proxies.list().await?.into_keys().collect();
        Ok(Self {
            proxies,
            names,
            links: target.links.clone(),
            before: Mutex::default(),
        })
    }

    /// The proxies that serve a link.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when none does.
    pub fn of(&self, link: &str) -> Result<Vec<&str>, EngineError> {
        let there = |name: &&String| self.names.contains(name);
        let found: Vec<&str> = match self.links.get(link) {
            Some(named) => named.iter().filter(there).map(String::as_str).collect(),
            None => {
                let serves = |name: &&String| same(name, link);
                self.names
                    .iter()
                    .filter(serves)
                    .map(String::as_str)
                    .collect()
            }
        };
        if found.is_empty() {
            return Err(EngineError::Missing {
                what: "fault proxy",
                part: link.to_owned(),
            });
        }
        Ok(found)
    }

    /// What the draws of a repeat come from; and nothing has been acted on yet.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn seed(&self, seed: u64) -> Result<(), EngineError> {
        self.proxies.seed(seed).await
    }

    async fn put(&self, order: Order<'_>, proxy: &str) -> Result<(), EngineError> {
        match order.action {
            Action::Toxic(toxic) => self.proxies.add(proxy, order.name, toxic).await,
            _ => self.proxies.set_enabled(proxy, false).await,
        }
    }

    async fn take(&self, order: Order<'_>, proxy: &str) -> Result<(), EngineError> {
        match order.action {
            Action::Toxic(_) => self.proxies.remove(proxy, order.name).await,
            _ => self.proxies.set_enabled(proxy, true).await,
        }
    }

    fn remember(&self, order: Order<'_>, proxies: &[&str], acted: &Acted) {
        let mut before = self.before.lock();
        for proxy in proxies {
            let key = (order.name.to_owned(), (*proxy).to_owned());
            before.insert(key, acted.down(proxy));
        }
    }

    fn counted(&self, order: Order<'_>, proxies: &[&str], acted: &Acted) -> u64 {
        let before = self.before.lock();
        let of = |proxy: &&str| match order.action {
            Action::Toxic(_) => acted.toxic(proxy, order.name),
            _ => {
                let key = (order.name.to_owned(), (*proxy).to_owned());
                let before = before.get(&key).copied().unwrap_or(0);
                acted.down(proxy).saturating_sub(before)
            }
        };
        proxies.iter().map(of).sum()
    }
}

#[async_trait::async_trait]
impl Injector for ProxyInjector {
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError> {
        let proxies = self.of(order.link)?;
        // First the lease: from here on nothing stays when this process dies.
        self.proxies.lease(LEASE).await?;
        if matches!(order.action, Action::Down)
            && let Some(acted) = self.proxies.acted().await?
        {
            self.remember(order, &proxies, &acted);
        }
        for proxy in proxies {
            self.put(order, proxy).await?;
        }
        Ok(())
    }

    async fn renew(&self, _: Order<'_>) -> Result<(), EngineError> {
        self.proxies.lease(LEASE).await
    }

    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError> {
        let proxies = self.of(order.link)?;
        for proxy in &proxies {
            self.take(order, proxy).await?;
        }
        let acted = self.proxies.acted().await?;
        Ok(Count {
            matched: None,
            acted: acted.map(|acted| self.counted(order, &proxies, &acted)),
        })
    }

    async fn clear_all(&self) -> Result<(), EngineError> {
        self.proxies.reset().await?;
        self.proxies.end_lease().await
    }
}
