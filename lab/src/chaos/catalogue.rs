//! Scenario files: found by name or path, listed, checked.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chaos_engine::{Diagnostics, Scenario};

use crate::exit::Exit;
use crate::place::Place;
use crate::text;

/// `lab chaos list`
///
/// # Errors
/// When there is no folder of scenarios.
pub fn list(place: &Place) -> Result<Exit> {
    let mut rows = vec![text::row(["scenario", "full", "quick", "shows"])];
    let mut exit = Exit::Held;
    for file in files(place)? {
        match read(&file)? {
            Ok(scenario) => rows.push(text::row([
                &scenario.name,
                &minutes(scenario.takes(false)),
                &minutes(scenario.takes(true)),
                &scenario.shows,
            ])),
            Err(problems) => {
                eprintln!("{problems}\n");
                exit = Exit::CannotRun;
            }
        }
    }
    print!("{}", text::table(&rows));
    println!(
        "\nrun one with `lab chaos run NAME`, with --quick for a shorter answer about this run only"
    );
    Ok(exit)
}

/// A duration to a tenth of a minute, as people compare them.
fn minutes(duration: std::time::Duration) -> String {
    format!("{:.1} min", duration.as_secs_f64() / 60.0)
}

/// `lab chaos check`: exit 3 when a scenario can't run as it is written.
///
/// # Errors
/// When a file can't be found or read.
pub fn check(place: &Place, named: &[String]) -> Result<Exit> {
    let mut exit = Exit::Held;
    for file in resolve_all(place, named)? {
        match read(&file)? {
            Ok(scenario) => {
                warn(&scenario);
                let counts = (scenario.arms.len(), scenario.checks.len());
                let map = scenario.map.as_ref().map_or_else(String::new, |map| {
                    format!(", a map of {} x {}", map.triggers.len(), map.rates.len())
                });
                println!(
                    "{}: OK ({} arms, {} checks{map})",
                    file.display(),
                    counts.0,
                    counts.1
                );
            }
            Err(problems) => {
                eprintln!("{problems}");
                exit = Exit::CannotRun;
            }
        }
    }
    Ok(exit)
}

/// Shows what looks odd but can run.
pub fn warn(scenario: &Scenario) {
    if !scenario.warnings.is_empty() {
        let items = scenario.warnings.clone();
        eprintln!(
            "{}",
            Diagnostics {
                file: scenario.file.clone(),
                items
            }
        );
    }
}

/// Reads a scenario file: what it says, or everything that is wrong with it.
///
/// # Errors
/// When the file can't be read.
pub fn read(file: &Path) -> Result<Result<Scenario, Diagnostics>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Scenario::parse(&text, &file.display().to_string()))
}

/// The files that names, paths or `all` stand for.
///
/// # Errors
/// For a name that no scenario has, with a suggestion and the names there are.
pub fn resolve_all(place: &Place, named: &[String]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in named {
        if name == "all" {
            found.extend(files(place)?);
        } else {
            found.push(resolve(place, name)?);
        }
    }
    Ok(found)
}

/// The names of all scenarios, in order.
///
/// # Errors
/// When there is no folder of scenarios.
pub fn names(place: &Place) -> Result<Vec<String>> {
    Ok(files(place)?.iter().filter_map(|file| stem(file)).collect())
}

fn resolve(place: &Place, name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if name.ends_with(".toml") || name.contains('/') {
        bail!("there is no scenario file {name}");
    }
    let known = files(place)?;
    let stems = names(place)?;
    if let Some(at) = stems.iter().position(|stem| stem == name) {
        return Ok(known[at].clone());
    }
    let hint = text::suggest(name, stems.iter().map(String::as_str));
    bail!(
        "there is no scenario {name:?}{hint}\nthe scenarios are {}",
        stems.join(", ")
    )
}

fn stem(file: &Path) -> Option<String> {
    Some(file.file_stem()?.to_str()?.to_owned())
}

fn files(place: &Place) -> Result<Vec<PathBuf>> {
    let dir = place.scenarios().context(
        "the scenarios are in the source tree (chaos/scenarios): change to it, or name a file",
    )?;
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("no scenarios in {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (Place, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let scenarios = dir.path().join("chaos/scenarios");
        std::fs::create_dir_all(&scenarios).unwrap();
        for name in ["product-outage.toml", "slow-user.toml", "README.md"] {
            std::fs::write(scenarios.join(name), "").unwrap();
        }
        let place = Place {
            root: Some(dir.path().to_owned()),
            data: dir.path().to_owned(),
            home: dir.path().to_owned(),
        };
        (place, dir)
    }

    #[test]
    fn names_paths_and_all_are_found() {
        let (place, dir) = tree();
        let file = dir.path().join("chaos/scenarios/slow-user.toml");
        let by = |name: &str| resolve_all(&place, &[name.to_owned()]).unwrap();
        assert_eq!(by(file.to_str().unwrap()), by("slow-user"));
        assert_eq!(by("slow-user"), [file]);
        assert_eq!(by("all").len(), 2);
    }

    #[test]
    fn a_slip_gets_a_suggestion_and_the_list() {
        let (place, _dir) = tree();
        let error = resolve(&place, "product-outge").unwrap_err().to_string();
        assert!(
            error.contains("did you mean \"product-outage\"?"),
            "{error}"
        );
        assert!(error.contains("slow-user"), "{error}");
        assert!(resolve(&place, "./none.toml").is_err());
    }
}
