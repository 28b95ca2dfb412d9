//! `lab outbox`: the mails that the running lab's order service has delivered into its folder.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::OutboxArgs;
use crate::exit::Exit;
use crate::place::Place;
use crate::state::State;
use crate::text;

/// `lab outbox`: exit 0 however many mails there are, and 3 when no lab runs.
///
/// # Errors
/// When the folder can't be read.
pub fn run(place: &Place, args: &OutboxArgs) -> Result<Exit> {
    if State::of_running(place)?.is_none() {
        eprintln!("{}", State::none_runs(place));
        return Ok(Exit::CannotRun);
    }
    let dir = place.outbox();
    let mut mails = read(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let older = mails
        .len()
        .saturating_sub(args.newest.unwrap_or(usize::MAX));
    mails.drain(..older);
    if args.json {
        let document = serde_json::to_string_pretty(&Document { mails }).context("JSON")?;
        println!("{document}");
        return Ok(Exit::Held);
    }
    match (mails.is_empty(), older) {
        (true, 0) => println!("no mail in {}", dir.display()),
        _ => print!("{}", table(&mails)),
    }
    if older > 0 {
        println!("\n{older} older ones are not shown");
    }
    Ok(Exit::Held)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    mails: Vec<Mail>,
}

/// A mail as it lies there. Its fields keep this order in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Mail {
    /// The event's id, by which its receiver knows a repeat: order key and status.
    event: String,
    /// When it was delivered, last.
    #[serde(serialize_with = "as_text")]
    delivered: SystemTime,
    to: String,
    subject: String,
    text: String,
}

fn as_text<S: serde::Serializer>(time: &SystemTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_rfc3339_millis(*time))
}

/// All mails of a folder, the newest last; none while there is no folder.
fn read(dir: &Path) -> io::Result<Vec<Mail>> {
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut mails = Vec::new();
    for file in files {
        let file = file?;
        let name = file.file_name().into_string().unwrap_or_default();
        // One that begins with a dot is not whole yet.
        let Some(event) = name.strip_suffix(".eml").filter(|e| !e.starts_with('.')) else {
            continue;
        };
        let text = match std::fs::read(file.path()) {
            Ok(text) => text,
            // Cleaned up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let delivered = file.metadata()?.modified()?;
        mails.push(mail(event, delivered, &String::from_utf8_lossy(&text)));
    }
    mails.sort_by(|a, b| (a.delivered, &a.event).cmp(&(b.delivered, &b.event)));
    Ok(mails)
}

/// Reads what the order service writes (RFC 5322): headers, an empty line, plain text.
fn mail(event: &str, delivered: SystemTime, text: &str) -> Mail {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
    // A long header goes on in lines that begin with a blank.
    let head = head.replace("\n ", " ").replace("\n\t", " ");
    let header = |name: &str| {
        let found = head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        found.unwrap_or_default().to_owned()
    };
    Mail {
        event: event.to_owned(),
        delivered,
        to: header("To"),
        subject: header("Subject"),
        text: body.trim_end().to_owned(),
    }
}

fn table(mails: &[Mail]) -> String {
    let mut rows = vec![text::row(["delivered", "to", "subject", "event"])];
    for mail in mails {
        let delivered = humantime::format_rfc3339_millis(mail.delivered).to_string();
        rows.push(text::row([
            &delivered,
            &mail.to,
            &mail.subject,
            &mail.event,
        ]));
    }
    text::table(&rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEXT: &str = "From: Shop <shop@localhost>\r\nTo: a@example.com\r\n\
        Subject: Your order 7\r\n is confirmed\r\nMessage-ID: <k.confirmed@faultline>\r\n\
        X-Event-Id: k.confirmed\r\n\r\nYour order 7 over 19.80 is confirmed.\r\n";

    fn put(dir: &Path, name: &str, seconds: u64) {
        let file = std::fs::File::create(dir.join(name)).unwrap();
        io::Write::write_all(&mut &file, TEXT.as_bytes()).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(then).unwrap();
    }

    #[test]
    fn the_newest_is_last_and_what_is_not_whole_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "b.pending.eml", 1_000);
        put(dir.path(), "a.pending.eml", 2_000);
        put(dir.path(), "a.confirmed.eml", 1_000);
        put(dir.path(), ".c.pending.1", 3_000);
        put(dir.path(), ".c.pending.eml", 3_000);
        let mails = read(dir.path()).unwrap();
        let events: Vec<&str> = mails.iter().map(|mail| mail.event.as_str()).collect();
        assert_eq!(events, ["a.confirmed", "b.pending", "a.pending"]);
        let shown = table(&mails);
        assert!(
            shown.contains("1970-01-01T00:16:40.000Z  a@example.com"),
            "{shown}"
        );
        let json = serde_json::to_value(&mails[2]).unwrap();
        assert_eq!(json["delivered"], "1970-01-01T00:33:20.000Z");
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&dir.path().join("none")).unwrap(), []);
    }

    #[test]
    fn headers_are_unfolded_and_the_text_is_whole() {
        let read = mail("k.confirmed", SystemTime::UNIX_EPOCH, TEXT);
        assert_eq!(read.to, "a@example.com");
        assert_eq!(read.subject, "Your order 7 is confirmed");
        assert_eq!(read.text, "Your order 7 over 19.80 is confirmed.");
        let empty = mail("x", SystemTime::UNIX_EPOCH, "");
        assert_eq!((empty.subject.as_str(), empty.text.as_str()), ("", ""));
    }
}
