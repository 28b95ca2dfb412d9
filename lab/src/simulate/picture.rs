//! Where a simulation's picture goes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chaos_sim::Outcome;

use super::args::Output;
use crate::place::Place;

/// A file that can be written, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture(Option<PathBuf>);

impl Picture {
    /// What was asked for: `--svg FILE`, `--no-svg`, or `simulations/NAME.svg` in the data folder,
    /// which is made. It is found out before the work: a minute of it would be lost on a slip in
    /// the name of a folder.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(super) fn find(output: &Output, name: &str, place: Result<Place>) -> Result<Self> {
        if output.no_svg {
            return Ok(Self(None));
        }
        if let Some(file) = &output.svg {
            can_write(file)?;
            return Ok(Self(Some(file.clone())));
        }
        let place =
            place.context("no folder for the picture; choose one with --svg FILE, or --no-svg")?;
        let folder = place.simulations();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self(Some(folder.join(name).with_extension("svg"))))
    }

    /// Draws it, and says where it is: not among the rows, which somebody may read with a program.
    ///
    /// # Errors
    /// When it can't be drawn or written.
    pub(super) fn draw(&self, outcome: &Outcome) -> Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let picture = outcome.svg()?;
        std::fs::write(file, picture)
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("\npicture {}", file.display());
        Ok(())
    }
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
    use anyhow::anyhow;

    fn output(svg: Option<&str>, no_svg: bool) -> Output {
        Output {
            seed: 42,
            json: false,
            svg: svg.map(PathBuf::from),
            no_svg,
        }
    }

    fn place(dir: &Path) -> Result<Place> {
        Ok(Place {
            root: None,
            data: dir.to_owned(),
            home: dir.to_owned(),
        })
    }

    #[test]
    fn a_picture_needs_a_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(can_write(Path::new("picture.svg")).is_ok());
        assert!(can_write(&dir.path().join("picture.svg")).is_ok());
        assert!(can_write(dir.path()).is_err());
        let error = can_write(&dir.path().join("no/picture.svg")).unwrap_err();
        assert!(error.to_string().contains("there is no folder"), "{error}");
    }

    #[test]
    fn by_itself_it_goes_to_the_data_folder_which_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new");
        let found = Picture::find(&output(None, false), "herd", place(&data)).unwrap();
        assert_eq!(found, Picture(Some(data.join("simulations/herd.svg"))));
        assert!(data.join("simulations").is_dir());
    }

    #[test]
    fn a_file_or_none_at_all_needs_no_data_folder() {
        let nowhere = || Err(anyhow!("not inside Faultline's source tree"));
        let none = Picture::find(&output(None, true), "herd", nowhere()).unwrap();
        assert_eq!(none, Picture(None));
        let named = Picture::find(&output(Some("a.svg"), false), "herd", nowhere()).unwrap();
        assert_eq!(named, Picture(Some("a.svg".into())));
        let error = Picture::find(&output(None, false), "herd", nowhere()).unwrap_err();
        assert!(error.to_string().contains("--no-svg"), "{error}");
    }
}
