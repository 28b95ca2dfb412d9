//! Where a lab keeps its things: data, keys, logs, runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::Global;

/// The folders of one lab.
#[derive(Clone, Debug)]
pub struct Place {
    /// The source tree, where there is one.
    pub root: Option<PathBuf>,
    /// What this lab owns: databases, logs, secrets, state.
    pub data: PathBuf,
    /// What all labs of this home share: keys that take long to make, runs.
    pub home: PathBuf,
}

impl Place {
    /// The folders that the global options choose: `target/lab`, `target/lab/base-N`, or `--data`.
    ///
    /// # Errors
    /// Outside the source tree without `--data`.
    pub fn resolve(global: &Global) -> Result<Self> {
        let root = find_root();
        if let Some(data) = &global.data {
            let data = std::path::absolute(data).context("--data is not a usable path")?;
            return Ok(Self {
                root,
                home: data.clone(),
                data,
            });
        }
        let root = root.context(
            "not inside Faultline's source tree: change to it, or name a folder with `--data DIR`",
        )?;
        let home = target_dir(&root).join("lab");
        let data = global
            .port_base
            .map_or_else(|| home.clone(), |n| home.join(format!("base-{n}")));
        Ok(Self {
            root: Some(root),
            data,
            home,
        })
    }

    /// A place for a shop of a run's own, in a folder that lasts as long as the run.
    pub fn own(&self, data: &Path) -> Self {
        Self {
            root: self.root.clone(),
            data: data.to_owned(),
            home: self.home.clone(),
        }
    }

    /// Where runs of scenarios and load write.
    pub fn runs(&self) -> PathBuf {
        self.home.join("runs")
    }

    /// Held shared while a run writes into [`Place::runs`], and alone while old ones are removed.
    pub fn runs_lock(&self) -> PathBuf {
        self.home.join("runs.lock")
    }

    /// Where simulations draw their pictures.
    pub fn simulations(&self) -> PathBuf {
        self.data.join("simulations")
    }

    /// Where shops of runs keep their data while they live.
    pub fn shops(&self) -> PathBuf {
        self.home.join("shops")
    }

    /// The token-signing key, shared by all labs of this home: RSA-4096 takes seconds to make.
    pub fn jwt_key(&self) -> PathBuf {
        self.home.join("keys").join("jwt.pem")
    }

    /// The folder of the databases.
    pub fn databases(&self) -> PathBuf {
        self.data.join("db")
    }

    /// The folder that the order service writes its mails into.
    pub fn outbox(&self) -> PathBuf {
        self.data.join("outbox")
    }

    /// The folder of the parts' logs.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// The log of one part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// The secrets file (mode 0600).
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets.toml")
    }

    /// What runs here, for the other commands.
    pub fn state(&self) -> PathBuf {
        self.data.join("state.json")
    }

    /// Held locked while a lab runs here.
    pub fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    /// The folder of the scenarios, where there is a source tree.
    pub fn scenarios(&self) -> Option<PathBuf> {
        self.root
            .as_ref()
            .map(|root| root.join("chaos").join("scenarios"))
    }
}

/// The target directory of a source tree.
pub fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .and_then(|dir| std::path::absolute(PathBuf::from(dir)).ok())
        .unwrap_or_else(|| root.join("target"))
}

/// The source tree around the working directory, else around the running program.
fn find_root() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let exe = std::env::current_exe().ok();
    [here, exe]
        .into_iter()
        .flatten()
        .find_map(|start| root_above(&start))
}

fn root_above(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|dir| dir.join("Cargo.toml").is_file() && dir.join("lab/Cargo.toml").is_file())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_a_folder_below_it() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("lab/src")).unwrap();
        std::fs::write(tree.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(tree.path().join("lab/Cargo.toml"), "").unwrap();
        assert_eq!(
            root_above(&tree.path().join("lab/src")).as_deref(),
            Some(tree.path())
        );
    }

    #[test]
    fn a_named_folder_holds_everything() {
        let dir = tempfile::tempdir().unwrap();
        let global = Global {
            data: Some(dir.path().to_owned()),
            port_base: Some(30_000),
            bin_dir: None,
        };
        let place = Place::resolve(&global).unwrap();
        assert_eq!(place.data, dir.path());
        assert!(place.jwt_key().starts_with(dir.path()));
        assert!(place.runs().starts_with(dir.path()));
    }
}
