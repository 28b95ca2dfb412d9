//! Faults on processes: carried out by whoever holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Count, Injector, Order, RequestInjector};
use crate::control::Control;
use crate::error::EngineError;
use crate::scenario::{Action, ProcessAction};
use crate::target::{ProcessResult, Processes, same};

/// The processes of a target.
pub struct ProcessInjector {
    processes: Option<Arc<dyn Processes>>,
    controls: Vec<Control>,
    requests: Arc<RequestInjector>,
    /// The policies of the arm: a part that is started has its own again.
    policies: Mutex<BTreeMap<String, Value>>,
    /// What doesn't run, and how it was stopped.
    stopped: Mutex<BTreeMap<String, ProcessAction>>,
}

impl ProcessInjector {
    /// What is told of a part's end and return goes to `requests`.
    #[must_use]
    pub fn new(
        processes: Option<Arc<dyn Processes>>,
        controls: Vec<Control>,
        requests: Arc<RequestInjector>,
    ) -> Self {
        Self {
            processes,
            controls,
            requests,
            policies: Mutex::default(),
            stopped: Mutex::default(),
        }
    }

    /// Every replica of a part, or the one that it names.
    ///
    /// # Errors
    /// [`EngineError::NoProcesses`], or [`EngineError::Missing`].
    pub fn of(&self, part: &str) -> Result<(&dyn Processes, Vec<String>), EngineError> {
        let processes = self.processes.as_deref();
        let processes = processes.ok_or_else(|| EngineError::NoProcesses {
            part: part.to_owned(),
        })?;
        let mut parts = processes.parts();
        parts.retain(|name| same(name, part));
        if parts.is_empty() {
            return Err(EngineError::Missing {
                what: "process",
                part: part.to_owned(),
            });
        }
        Ok((processes, parts))
    }

    /// The policies that a part must have when it is there again.
    pub fn policies(&self, specs: &BTreeMap<String, Value>) {
        self.policies.lock().clone_from(specs);
    }

    async fn stop(&self, part: &str, how: ProcessAction) -> Result<(), EngineError> {
        let (processes, parts) = self.of(part)?;
        for part in &parts {
            self.stopped.lock().insert(part.clone(), how);
            if how != ProcessAction::Pause {
                self.requests.dies(&label(part)).await;
            }
            self.requests.leaves(&label(part));
            match how {
                ProcessAction::Kill => done("killing", part, processes.kill(part).await)?,
                ProcessAction::Pause => done("stopping", part, processes.pause(part).await)?,
                ProcessAction::Restart => {
                    done("restarting", part, processes.restart(part).await)?;
                    self.is_back(part, how).await?;
                }
            }
        }
        Ok(())
    }

    /// Starts or continues what was stopped.
    async fn start(&self, part: &str) -> Result<(), EngineError> {
        let Some(how) = self.stopped.lock().get(part).copied() else {
            return Ok(());
        };
        let (processes, _) = self.of(part)?;
        match how {
            ProcessAction::Pause => done("continuing", part, processes.resume(part).await)?,
            ProcessAction::Kill | ProcessAction::Restart => {
                done("starting", part, processes.start(part).await)?;
            }
        }
        self.is_back(part, how).await
    }

    async fn is_back(&self, part: &str, how: ProcessAction) -> Result<(), EngineError> {
        let name = label(part);
        if how != ProcessAction::Pause {
            self.put_policies(&name).await?;
        }
        self.requests.is_back(&name).await?;
        self.stopped.lock().remove(part);
        Ok(())
    }

    async fn put_policies(&self, name: &str) -> Result<(), EngineError> {
        let policies = self.policies.lock().clone();
        for control in self.controls.iter().filter(|c| c.part() == name) {
            let has: BTreeSet<String> = control.policies().await?.into_keys().collect();
            for (slot, spec) in policies.iter().filter(|(slot, _)| has.contains(*slot)) {
                control.put_policy(slot, spec).await?;
            }
        }
        Ok(())
    }
}

/// The name of a part's control: `product.2` of `product-service.2`.
fn label(part: &str) -> String {
    part.replacen("-service", "", 1)
}

fn done(doing: &'static str, part: &str, result: ProcessResult) -> Result<(), EngineError> {
    result.map_err(|e| EngineError::Process {
        doing,
        part: part.to_owned(),
        why: e.to_string(),
    })
}

#[async_trait::async_trait]
impl Injector for ProcessInjector {
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError> {
        match order.action {
            Action::Process(how) => self.stop(order.link, *how).await,
            _ => Ok(()),
        }
    }

    /// A process needs nobody to keep it as it is.
    async fn renew(&self, _: Order<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError> {
        let (_, parts) = self.of(order.link)?;
        for part in &parts {
            self.start(part).await?;
        }
        Ok(Count {
            matched: None,
            acted: Some(parts.len() as u64),
        })
    }

    async fn clear_all(&self) -> Result<(), EngineError> {
        let parts: Vec<String> = self.stopped.lock().keys().cloned().collect();
        let mut cleared = Ok(());
        for part in parts {
            cleared = self.start(&part).await.and(cleared);
        }
        cleared
    }
}
