//! Seeded defects of a service (docs/INTEGRITY.md).

use serde::Deserialize;
use serde_json::json;

use super::{Control, FaultCounts};
use crate::error::EngineError;
use crate::target::{send, send_json};

#[derive(Deserialize)]
struct Removed {
    removed: Vec<FaultCounts>,
}

#[derive(Deserialize)]
struct Defects {
    on: Vec<DefectCounts>,
}

#[derive(Deserialize)]
struct DefectCounts {
    defect: String,
    acted: u64,
}

impl Control {
    /// Switches a seeded defect on, or renews its lease.
    ///
    /// # Errors
    /// [`EngineError::Http`], with the service's own words.
    pub async fn put_defect(&self, defect: &str, lease: &str) -> Result<(), EngineError> {
        let url = self.url(&format!("/lab/defects/{defect}"));
        let request = self.client.put(url).bearer_auth(&self.token);
        let request = request.json(&json!({ "lease": lease }));
        let what = self.what(&format!("switching the defect `{defect}` on in"));
        send(&what, request).await.map(drop)
    }

    /// How often the code went wrong since the defect was switched on; 0 when it isn't.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn defect_acted(&self, defect: &str) -> Result<u64, EngineError> {
        let request = self.client.get(self.url("/lab/defects"));
        let request = request.bearer_auth(&self.token);
        let answer: Defects = send_json(&self.what("reading the defects of"), request).await?;
        let on = answer.on.iter().find(|on| on.defect == defect);
        Ok(on.map_or(0, |on| on.acted))
    }

    /// Switches a seeded defect off; how often the code went wrong since it was switched on.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn remove_defect(&self, defect: &str) -> Result<u64, EngineError> {
        let what = self.what(&format!("switching the defect `{defect}` off in"));
        let url = self.url(&format!("/lab/defects/{defect}"));
        let request = self.client.delete(url).bearer_auth(&self.token);
        let answer: Removed = send_json(&what, request).await?;
        Ok(answer.removed.iter().map(|removed| removed.acted).sum())
    }
}
