//! `lab simulate`: the same policy code in virtual time.

mod args;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chaos_sim::{Run, Scenario};

use crate::exit::Exit;
use crate::text;

pub use args::SimulateArgs;

/// `lab simulate`: runs a scenario, or lists them.
///
/// # Errors
/// When a parameter makes no sense, or the picture can't be drawn or written.
pub fn run(args: SimulateArgs) -> Result<Exit> {
    let Some(command) = args.scenario else {
        list();
        return Ok(Exit::Held);
    };
    let output = args.output;
    // A minute's work would be lost on a slip in the name of a folder.
    if let Some(file) = &output.svg {
        can_write(file)?;
    }
    let outcome = Scenario::from(command).run(&Run::new(output.seed))?;
    if output.json {
        print!("{}", outcome.json());
    } else {
        print!("{}", outcome.text());
    }
    if let Some(file) = &output.svg {
        let picture = outcome.svg()?;
        std::fs::write(file, picture)
            .with_context(|| format!("cannot write {}", file.display()))?;
        // Not among the rows, which somebody may read with a program.
        eprintln!("\npicture {}", file.display());
    }
    Ok(Exit::Held)
}

fn list() {
    let mut rows = vec![text::row(["scenario", "shows"])];
    for entry in chaos_sim::catalogue() {
        rows.push(text::row([entry.name, entry.shows]));
    }
    print!("{}", text::table(&rows));
    println!(
        "\nrun one with `lab simulate NAME`; --json prints rows, --svg FILE draws a picture, \
         `lab simulate NAME --help` tells its parameters"
    );
}

fn can_write(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    match folder {
        Some(folder) if !folder.is_dir() => {
            bail!(
                "--svg {}: there is no folder {}",
                file.display(),
                folder.display()
            )
        }
        _ if file.is_dir() => bail!("--svg {} is a folder", file.display()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_needs_a_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(can_write(Path::new("picture.svg")).is_ok());
        assert!(can_write(&dir.path().join("picture.svg")).is_ok());
        assert!(can_write(dir.path()).is_err());
        let error = can_write(&dir.path().join("no/picture.svg")).unwrap_err();
        assert!(error.to_string().contains("there is no folder"), "{error}");
    }
}
