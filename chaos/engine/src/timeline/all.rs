//! Every kind of fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Client;
use serde_json::Value;

use super::{Count, Injector, Order, ProcessInjector, ProxyInjector, RequestInjector};
use crate::control::Control;
use crate::error::EngineError;
use crate::proxy::Proxies;
use crate::scenario::Level;
use crate::target::Target;

/// What a target has to break it with.
pub struct Injectors {
    proxies: Option<ProxyInjector>,
    requests: Arc<RequestInjector>,
    processes: ProcessInjector,
}

impl Injectors {
    /// Those of a target, with its controls.
    ///
    /// # Errors
    /// [`EngineError::Http`] when the proxies' API doesn't answer.
    pub async fn new(
        client: &Client,
        target: &Target,
        controls: &[Control],
    ) -> Result<Self, EngineError> {
        let proxies = match &target.proxy_api {
            None => None,
            Some(api) => {
                let proxies = Proxies::new(client.clone(), api.clone());
                Some(ProxyInjector::new(proxies, target).await?)
            }
        };
        let requests = Arc::new(RequestInjector::new(controls.to_vec()));
        let processes = target.processes.clone();
        Ok(Self {
            proxies,
            processes: ProcessInjector::new(processes, controls.to_vec(), Arc::clone(&requests)),
            requests,
        })
    }

    /// Whether a fault can be carried out on this target.
    ///
    /// # Errors
    /// What the target lacks for it.
    pub fn can(&self, order: Order<'_>) -> Result<(), EngineError> {
        match order.action.level() {
            Level::Proxy => self.proxies(order.link)?.of(order.link).map(drop),
            Level::Request => self.requests.of(order.link).map(drop),
            Level::Process => self.processes.of(order.link).map(drop),
        }
    }

    /// What the draws of a repeat come from, the same for every arm.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn seed(&self, seed: u64) -> Result<(), EngineError> {
        self.requests.seed(seed);
        match &self.proxies {
            Some(proxies) => proxies.seed(seed).await,
            None => Ok(()),
        }
    }

    /// The policies that a part must have when it is started again.
    pub fn policies(&self, specs: &BTreeMap<String, Value>) {
        self.processes.policies(specs);
    }

    fn proxies(&self, link: &str) -> Result<&ProxyInjector, EngineError> {
        self.proxies.as_ref().ok_or_else(|| EngineError::Missing {
            what: "fault proxy",
            part: link.to_owned(),
        })
    }

    fn of(&self, order: Order<'_>) -> Result<&dyn Injector, EngineError> {
        Ok(match order.action.level() {
            Level::Proxy => self.proxies(order.link)?,
            Level::Request => &*self.requests,
            Level::Process => &self.processes,
        })
    }
}

#[async_trait::async_trait]
impl Injector for Injectors {
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError> {
        self.of(order)?.inject(order).await
    }

    async fn renew(&self, order: Order<'_>) -> Result<(), EngineError> {
        self.of(order)?.renew(order).await
    }

    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError> {
        self.of(order)?.clear(order).await
    }

    /// Processes first: what doesn't run can't be told to forget its faults.
    async fn clear_all(&self) -> Result<(), EngineError> {
        let processes = self.processes.clear_all().await;
        let requests = self.requests.clear_all().await;
        let proxies = match &self.proxies {
            Some(proxies) => proxies.clear_all().await,
            None => Ok(()),
        };
        processes.and(requests).and(proxies)
    }
}
