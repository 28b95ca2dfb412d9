//! The parts' log files: rotated at the start of a lab, bounded while it runs, shown by `lab logs`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::LogsArgs;
use crate::exit::Exit;
use crate::parts;
use crate::place::Place;

/// A log is cut when it passes this; the piece before the cut is kept once.
pub const BOUND: u64 = 10 * 1024 * 1024;

/// Opens a log to append to.
///
/// # Errors
/// When it can't be opened.
pub fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))
}

/// Puts the log of the run before aside, to `NAME.log.1`.
///
/// # Errors
/// When it can't be renamed.
pub fn rotate(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::rename(path, old(path))
            .with_context(|| format!("cannot rotate {}", path.display()))?;
    }
    Ok(())
}

/// Cuts a log that has grown past [`BOUND`]. The part goes on writing to the same file, which it
/// appends to, so that nothing has to be passed through the lab.
///
/// # Errors
/// When the copy can't be written.
pub fn bound(path: &Path) -> Result<()> {
    if path.metadata().map_or(0, |meta| meta.len()) <= BOUND {
        return Ok(());
    }
    std::fs::copy(path, old(path)).context("log rotation")?;
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .context("log rotation")?;
    Ok(())
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// The last lines of a log; none when there is no log.
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let mut last = VecDeque::with_capacity(lines.min(1024));
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if last.len() == lines {
            last.pop_front();
        }
        if lines > 0 {
            last.push_back(String::from_utf8_lossy(&line).into_owned());
        }
    }
    last.into()
}

/// `lab logs`
///
/// # Errors
/// For an unknown part, or when nothing has run here.
pub async fn show(place: &Place, args: &LogsArgs) -> Result<Exit> {
    let parts = chosen(place, args.part.as_deref())?;
    let labelled = parts.len() > 1;
    let mut followed = Vec::new();
    for part in parts {
        let path = place.log(&part);
        let label = if labelled {
            format!("{part:<17} | ")
        } else {
            String::new()
        };
        let length = path.metadata().map_or(0, |meta| meta.len());
        for line in tail(&path, args.lines) {
            print(&label, &line)?;
        }
        followed.push(Follow {
            path,
            label,
            offset: length,
            rest: String::new(),
        });
    }
    if args.follow {
        follow(followed).await?;
    }
    Ok(Exit::Held)
}

fn chosen(place: &Place, part: Option<&str>) -> Result<Vec<String>> {
    let mut known: Vec<String> = parts::NAMES.map(str::to_owned).into();
    known.extend(replicas(place));
    known.push("lab".to_owned());
    if let Some(part) = part {
        if !known.iter().any(|name| name == part) {
            let hint = crate::text::suggest(part, known.iter().map(String::as_str));
            bail!(
                "there is no part {part:?}{hint}; the parts are {}",
                known.join(", ")
            );
        }
        if !place.log(part).exists() {
            bail!("{part} has written nothing in {}", place.logs().display());
        }
        return Ok(vec![part.to_owned()]);
    }
    let written: Vec<String> = known
        .into_iter()
        .filter(|p| place.log(p).exists())
        .collect();
    if written.is_empty() {
        bail!(
            "no logs in {}: start a lab with `lab up`",
            place.logs().display()
        );
    }
    Ok(written)
}

/// The second and further replicas that have a log: `product-service.2`.
fn replicas(place: &Place) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(place.logs())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let part = name.strip_suffix(".log")?;
            let (service, _) = part.rsplit_once('.')?;
            parts::NAMES.contains(&service).then(|| part.to_owned())
        })
        .collect();
    found.sort();
    found
}

struct Follow {
    path: PathBuf,
    label: String,
    offset: u64,
    rest: String,
}

async fn follow(mut files: Vec<Follow>) -> Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        for file in &mut files {
            file.print_new()?;
        }
    }
}

impl Follow {
    fn print_new(&mut self) -> Result<()> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(());
        };
        let length = file.metadata().map_or(0, |meta| meta.len());
        if length < self.offset {
            // Cut or rotated: begin at its start again.
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))
            .context("log file")?;
        let mut bytes = Vec::new();
        file.take(length - self.offset)
            .read_to_end(&mut bytes)
            .context("log file")?;
        self.offset += bytes.len() as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            print(&self.label, line.trim_end_matches('\n'))?;
        }
        Ok(())
    }
}

/// Prints a line; a reader that has gone (`lab logs | head`) ends the command in silence.
fn print(label: &str, line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{label}{line}").context("output closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(tail(&path, 2), ["2", "3"]);
        assert_eq!(tail(&path, 9), ["1", "2", "3"]);
        assert!(tail(&path, 0).is_empty());
        assert!(tail(&dir.path().join("none.log"), 2).is_empty());
    }

    #[test]
    fn a_log_past_its_bound_is_cut_under_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut writer = open(&path).unwrap();
        writer
            .write_all(&vec![b'x'; usize::try_from(BOUND).unwrap() + 1])
            .unwrap();
        bound(&path).unwrap();
        writer.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(old(&path).metadata().unwrap().len(), BOUND + 1);
        bound(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn the_run_before_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        for text in ["first", "second"] {
            rotate(&path).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        rotate(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(old(&path)).unwrap(), "second");
    }
}
