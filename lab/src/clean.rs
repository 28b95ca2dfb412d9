//! `lab clean`: lists, then removes what labs have left on the disk.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::CleanArgs;
use crate::exit::Exit;
use crate::place::Place;
use crate::state::Lock;

/// `lab clean`
///
/// # Errors
/// When a lab runs with that data, or something can't be removed.
pub fn run(place: &Place, args: &CleanArgs) -> Result<Exit> {
    let found: Vec<(PathBuf, u64)> = candidates(place, args.all)?
        .into_iter()
        .filter(|path| path.exists())
        .map(|path| (path.clone(), size(&path)))
        .collect();
    if found.is_empty() {
        println!("nothing to remove in {}", place.home.display());
        return Ok(Exit::Held);
    }
    for (path, size) in &found {
        println!(
            "{:>9.1} MiB  {}",
            *size as f64 / f64::from(1 << 20),
            path.display()
        );
    }
    if !args.yes && !confirmed()? {
        println!("nothing removed");
        return Ok(Exit::Held);
    }
    for (path, _) in &found {
        remove(path)?;
    }
    println!("removed");
    Ok(Exit::Held)
}

/// What may go. The folders of labs that run are refused, so the locks are taken on the way.
fn candidates(place: &Place, all: bool) -> Result<Vec<PathBuf>> {
    let mut labs = vec![place.clone()];
    if all {
        labs.extend(others(place));
    }
    for lab in &labs {
        if Lock::is_held(&lab.lock())? {
            Lock::take(lab)?;
        }
    }
    let mut paths: Vec<PathBuf> = labs
        .iter()
        .flat_map(|lab| {
            [
                lab.databases(),
                lab.logs(),
                lab.outbox(),
                lab.secrets(),
                lab.state(),
                lab.lock(),
                lab.simulations(),
            ]
        })
        .collect();
    paths.extend([place.runs(), place.runs_lock(), place.shops()]);
    if all {
        paths.extend(place.jwt_key().parent().map(Path::to_owned));
        paths.extend(others(place).map(|lab| lab.data));
    }
    Ok(paths)
}

/// The labs of other port bases beside this one.
fn others(place: &Place) -> impl Iterator<Item = Place> + use<'_> {
    std::fs::read_dir(&place.home)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("base-"))
        .map(|entry| place.own(&entry.path()))
        .chain((place.data != place.home).then(|| place.own(&place.home)))
        .filter(|lab| lab.data != place.home || place.data != place.home)
}

fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    print!("Remove all this? [y/N] ");
    std::io::stdout().flush().context("output")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("input")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Bytes of everything below it.
pub fn size(path: &Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| size(&e.path()))
        .sum()
}

fn remove(path: &Path) -> Result<()> {
    let done = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match done {
        // A folder listed before it took this one with it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        Place {
            root: None,
            data: dir.to_owned(),
            home: dir.to_owned(),
        }
    }

    fn args(all: bool) -> CleanArgs {
        CleanArgs { all, yes: true }
    }

    #[test]
    fn keys_and_other_labs_stay_unless_all_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        for folder in [
            "db",
            "logs",
            "simulations",
            "keys",
            "base-30000/db",
            "runs/x",
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("mine"), "").unwrap();
        run(&place, &args(false)).unwrap();
        for folder in ["db", "simulations", "runs"] {
            assert!(!dir.path().join(folder).exists(), "{folder}");
        }
        assert!(dir.path().join("keys").exists() && dir.path().join("base-30000").exists());
        run(&place, &args(true)).unwrap();
        assert!(!dir.path().join("keys").exists() && !dir.path().join("base-30000").exists());
        assert!(dir.path().join("mine").exists(), "what is not ours stays");
    }

    #[test]
    fn the_data_of_a_running_lab_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        std::fs::create_dir_all(place.databases()).unwrap();
        let _lock = Lock::take(&place).unwrap();
        assert!(run(&place, &args(false)).is_err());
        assert!(place.databases().exists());
    }
}
