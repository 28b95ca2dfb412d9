//! The shop that a run of load or of a scenario uses: one of its own, or the lab that runs.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use chaos_engine::target::Processes;
use time::macros::format_description;
use tokio::sync::mpsc;

use crate::cli::Global;
use crate::compile::{self, Programs};
use crate::place::Place;
use crate::ports::find_free;
use crate::processes::{self, Order};
use crate::progress::Progress;
use crate::replicas::Replicas;
use crate::runs;
use crate::secrets::Secrets;
use crate::shop::Shop;
use crate::state::{Lock, State};
use crate::supervisor::{Spawner, describe};

/// A shop to measure.
pub enum Ground {
    /// Started for this run alone, on free ports, with data that goes when the run is over.
    Own(Box<Own>),
    /// The lab that runs already.
    Attached {
        /// Where its parts are.
        state: State,
        /// The token of its control API.
        token: String,
        /// Keeps the run's folder.
        _writes: runs::Writing,
    },
}

/// A shop of a run's own.
pub struct Own {
    shop: Shop,
    orders: Option<mpsc::Receiver<Order>>,
    data: PathBuf,
    home: PathBuf,
    _writes: runs::Writing,
}

impl Ground {
    /// Builds what is stale and readies a shop of one's own; [`Ground::start`] starts it.
    ///
    /// # Errors
    /// When the programs can't be built, or there is no room or port for it.
    pub async fn own(global: &Global, place: &Place, progress: &Progress) -> Result<Self> {
        let programs = compile::programs(place, global.bin_dir.as_deref(), progress).await?;
        Self::own_with(&programs, place, Replicas::default()).await
    }

    /// The same with programs that are there, and so many processes of each service.
    ///
    /// # Errors
    /// When there is no room or port for it.
    pub async fn own_with(programs: &Programs, place: &Place, replicas: Replicas) -> Result<Self> {
        let writes = runs::Writing::in_folder(place)?;
        sweep(&place.shops());
        let data = place.shops().join(format!(
            "{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        let own = place.own(&data);
        let layout = find_free(rand::random(), replicas)?;
        let shop = Shop::prepare(&own, layout, programs, false).await?;
        Ok(Self::Own(Box::new(Own {
            shop,
            orders: None,
            data,
            home: place.home.clone(),
            _writes: writes,
        })))
    }

    /// The lab that runs with this data folder.
    ///
    /// # Errors
    /// When none does, or it is still starting.
    pub fn attach(place: &Place) -> Result<Self> {
        let state = State::of_running(place)?.with_context(|| {
            format!(
                "no lab runs with the data in {}: start one with `lab up`, or leave out --attach",
                place.data.display()
            )
        })?;
        if !state.ready {
            bail!(
                "the lab (pid {}) is still starting: wait until `lab status` shows it healthy",
                state.pid
            );
        }
        let token = Secrets::load(&place.secrets())?.lab_token;
        Ok(Self::Attached {
            state,
            token,
            _writes: runs::Writing::in_folder(place)?,
        })
    }

    /// Starts the shop, if it is a run's own.
    ///
    /// # Errors
    /// When a part does not become healthy.
    pub async fn start(&mut self, spawner: &Spawner, progress: &Progress) -> Result<()> {
        match self {
            Self::Own(own) => own.shop.start(spawner, progress).await,
            Self::Attached { .. } => Ok(()),
        }
    }

    /// What breaks the parts of a shop of one's own that runs, as processes; whoever asks for it
    /// must [`Ground::tend`] the shop. A lab that runs already belongs to its own command.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn processes(&mut self) -> Result<Option<Arc<dyn Processes>>> {
        let Self::Own(own) = self else {
            return Ok(None);
        };
        let (remote, orders) = processes::remote(&own.shop)?;
        own.orders = Some(orders);
        Ok(Some(remote))
    }

    /// Where the parts are.
    pub fn state(&self) -> &State {
        match self {
            Self::Own(own) => &own.shop.state,
            Self::Attached { state, .. } => state,
        }
    }

    /// The token of the control API.
    pub fn token(&self) -> &str {
        match self {
            Self::Own(own) => &own.shop.token,
            Self::Attached { token, .. } => token,
        }
    }

    /// Waits until a part of the run's own shop ends by itself, and tells about it.
    pub async fn crash(&mut self) -> anyhow::Error {
        let Self::Own(own) = self else {
            return std::future::pending().await;
        };
        let crash = own.shop.next_crash().await;
        own.died(crash)
    }

    /// Does to the parts what their remote orders, until one of them ends by itself.
    pub async fn tend(&mut self, spawner: &Spawner) -> anyhow::Error {
        loop {
            let Self::Own(own) = self else {
                return std::future::pending().await;
            };
            let Some(orders) = &mut own.orders else {
                return self.crash().await;
            };
            let order = tokio::select! {
                Some(order) = orders.recv() => order,
                crash = own.shop.next_crash() => return own.died(crash),
            };
            own.shop.obey(spawner, order);
        }
    }

    /// Stops the run's own shop and removes its data; a shop of which a part has crashed keeps
    /// them, and they are named.
    pub async fn finish(self, progress: &Progress) {
        let Self::Own(mut own) = self else { return };
        let crashed = own.shop.has_crashed();
        own.shop.stop(progress).await;
        if crashed {
            let kept = own.home.join("crashed").join(stamp());
            let moved = std::fs::create_dir_all(own.home.join("crashed"))
                .and_then(|()| std::fs::rename(&own.data, &kept));
            let kept = if moved.is_ok() { kept } else { own.data };
            progress.say(&format!("its data and logs are kept in {}", kept.display()));
        } else if let Err(error) = std::fs::remove_dir_all(&own.data) {
            progress.say(&format!("cannot remove {}: {error}", own.data.display()));
        }
    }
}

impl Own {
    fn died(&self, crash: Result<(String, ExitStatus)>) -> anyhow::Error {
        match crash {
            Ok((name, status)) => anyhow::anyhow!(
                "{name} {} during the run\n{}",
                describe(status),
                self.shop.last_words(&name)
            ),
            Err(error) => error,
        }
    }
}

/// Removes the data of shops whose run was killed; those that live hold their lock.
fn sweep(shops: &Path) {
    for entry in std::fs::read_dir(shops).into_iter().flatten().flatten() {
        let data = entry.path();
        // A folder without a lock file is being made this moment.
        let lock = data.join("lock");
        if lock.exists() && Lock::is_held(&lock).is_ok_and(|held| !held) {
            let _ = std::fs::remove_dir_all(&data);
        }
    }
}

/// The time as it stands in the names of folders, UTC.
pub fn stamp() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]Z");
    time::OffsetDateTime::now_utc()
        .format(&format)
        .unwrap_or_else(|_| "run".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_data_of_dead_runs_are_swept() {
        let home = tempfile::tempdir().unwrap();
        let place = Place {
            root: None,
            data: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let shop = |name: &str| {
            let own = place.own(&place.shops().join(name));
            std::fs::create_dir_all(&own.data).unwrap();
            own
        };
        let (dead, alive, new) = (shop("dead"), shop("alive"), shop("new"));
        drop(Lock::take(&dead).unwrap());
        let _held = Lock::take(&alive).unwrap();
        sweep(&place.shops());
        assert!(!dead.data.exists());
        assert!(alive.data.exists() && new.data.exists());
    }

    #[test]
    fn attaching_needs_a_lab_that_runs() {
        let home = tempfile::tempdir().unwrap();
        let place = Place {
            root: None,
            data: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let error = Ground::attach(&place).err().unwrap().to_string();
        assert!(error.contains("lab up"), "{error}");
    }
}
