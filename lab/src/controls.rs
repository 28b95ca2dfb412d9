//! The controls of a lab that runs: its parts' control APIs and its fault proxies.

use anyhow::{Context as _, Result};
use chaos_engine::Target;
use chaos_engine::control::Control;
use chaos_engine::proxy::Proxies;
use reqwest::Client;

use crate::chaos::target;
use crate::health;
use crate::place::Place;
use crate::secrets::Secrets;
use crate::state::State;

/// What commands change a running lab with.
pub struct Controls {
    /// The lab as the engine knows it.
    pub target: Target,
    /// Every part's control API, replicas each on its own.
    pub parts: Vec<Control>,
    /// The fault proxies.
    pub proxies: Proxies,
    /// For requests to either.
    pub client: Client,
}

impl Controls {
    /// Those of the lab that runs with this data folder.
    ///
    /// # Errors
    /// When none does.
    pub fn of_running(place: &Place) -> Result<Self> {
        let state = State::needed(place)?;
        let token = Secrets::load(&place.secrets())?.lab_token;
        let target = target::of_shop(&state, &token)?;
        let client = health::client()?;
        let api = target.proxy_api.clone();
        let api = api.context("the lab has no fault proxy")?;
        Ok(Self {
            parts: Control::all(&client, &target),
            proxies: Proxies::new(client.clone(), api),
            target,
            client,
        })
    }
}
