//! Where mails go: to an SMTP server, or into a folder.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use kit::time::iso;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use crate::store::Event;

/// Why a mail was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The address can't be one. Trying again does not help, but an administrator can.
    #[error("no mail can be written: {0}")]
    Message(String),
    /// The SMTP server.
    #[error("SMTP: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The folder.
    #[error("outbox folder: {0}")]
    Folder(#[from] io::Error),
    /// It took too long.
    #[error("not delivered within {0:?}")]
    Slow(Duration),
}

/// Delivers a mail; may be asked to again, with the same `event_id`.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Delivers it.
    ///
    /// # Errors
    /// [`MailError`]; it may have been delivered all the same.
    async fn send(&self, event: &Event) -> Result<(), MailError>;

    /// The ids of the events whose mails lie with the receiver; none where nobody can look.
    ///
    /// # Errors
    /// [`MailError`]
    async fn received(&self) -> Result<Option<BTreeSet<String>>, MailError>;
}

/// The mail of an event. `Message-ID` (RFC 5322 § 3.6.4) and `X-Event-Id` are the same in every
/// delivery.
fn message(event: &Event, from: &Mailbox) -> Result<Message, MailError> {
    let bad = |error: &dyn std::fmt::Display| MailError::Message(error.to_string());
    let to = event.contact.as_deref().unwrap_or("nobody@localhost");
    let status = event.status.as_str();
    Message::builder()
        .from(from.clone())
        .to(to.parse().map_err(|error| bad(&error))?)
        .subject(format!("Your order {} is {status}", event.order_id))
        .message_id(Some(format!("<{}@faultline>", event.event_id)))
        .raw_header(event_id_header(&event.event_id))
        .header(ContentType::TEXT_PLAIN)
        .body(format!(
            "Your order {} over {} is {status} since {}.\n",
            event.order_id,
            event.total,
            iso(event.at_ms)
        ))
        .map_err(|error| bad(&error))
}

fn event_id_header(id: &str) -> lettre::message::header::HeaderValue {
    let name = lettre::message::header::HeaderName::new_from_ascii_str("X-Event-Id");
    lettre::message::header::HeaderValue::new(name, id.to_owned())
}

/// An SMTP server (RFC 5321), as it is configured. Its address may hold a password, so it is not
/// printed.
#[derive(Clone)]
pub struct Smtp {
    /// `smtp://host:port`, `smtps://user:password@host`.
    pub url: String,
    /// The sender.
    pub from: Mailbox,
}

/// Delivers by SMTP.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMailer {
    /// Connects when it first delivers.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(smtp: &Smtp) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&smtp.url)?;
        Ok(Self {
            transport: transport.build(),
            from: smtp.from.clone(),
        })
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, event: &Event) -> Result<(), MailError> {
        if event.contact.is_none() {
            tracing::debug!(order_id = event.order_id, "a mail without an address");
            return Ok(());
        }
        self.transport.send(message(event, &self.from)?).await?;
        Ok(())
    }

    async fn received(&self) -> Result<Option<BTreeSet<String>>, MailError> {
        Ok(None)
    }
}

/// Writes each mail into a folder, as `<event_id>.eml`: a repeat takes the first one's place, so
/// that it has its effect once.
pub struct FolderMailer {
    dir: PathBuf,
    from: Mailbox,
}

impl FolderMailer {
    /// Into that folder, made when it is missing.
    pub fn new(dir: PathBuf, from: Mailbox) -> Self {
        Self { dir, from }
    }
}

#[async_trait]
impl Mailer for FolderMailer {
    async fn send(&self, event: &Event) -> Result<(), MailError> {
        let text = message(event, &self.from)?.formatted();
        tokio::fs::create_dir_all(&self.dir).await?;
        let path = self.dir.join(format!("{}.eml", event.event_id));
        // Whole or not at all, whoever reads meanwhile; two holders don't share the name.
        let part = self
            .dir
            .join(format!(".{}.{}", event.event_id, event.fence));
        tokio::fs::write(&part, text).await?;
        tokio::fs::rename(&part, &path).await?;
        Ok(())
    }

    async fn received(&self) -> Result<Option<BTreeSet<String>>, MailError> {
        let dir = self.dir.clone();
        let listing = tokio::task::spawn_blocking(move || mails_in(&dir)).await;
        Ok(Some(listing.map_err(io::Error::other)??))
    }
}

/// The names of whole mails; a folder that is not there yet has none.
fn mails_in(dir: &Path) -> io::Result<BTreeSet<String>> {
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut mails = BTreeSet::new();
    for file in files {
        let name = file?.file_name().into_string().unwrap_or_default();
        let event = name.strip_suffix(".eml").filter(|id| !id.starts_with('.'));
        mails.extend(event.map(str::to_owned));
    }
    Ok(mails)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Status;

    fn event() -> Event {
        Event {
            id: 1,
            event_id: "k.confirmed".into(),
            fence: 1,
            attempts: 1,
            order_id: 7,
            status: Status::Confirmed,
            total: kit::Cents(1980),
            contact: Some("a@example.com".into()),
            at_ms: 0,
        }
    }

    #[tokio::test]
    async fn a_mail_delivered_twice_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let mailer = FolderMailer::new(dir.path().join("out"), "shop@example.com".parse().unwrap());
        assert_eq!(mailer.received().await.unwrap(), Some(BTreeSet::new()));
        mailer.send(&event()).await.unwrap();
        let again = Event {
            fence: 2,
            ..event()
        };
        mailer.send(&again).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(dir.path().join("out")).unwrap().collect();
        assert_eq!(files.len(), 1);
        let received = mailer.received().await.unwrap().unwrap();
        assert_eq!(received, BTreeSet::from(["k.confirmed".to_owned()]));
        let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        for part in [
            "To: a@example.com",
            "X-Event-Id: k.confirmed",
            "19.80",
            "confirmed",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_contact_can_not_add_headers() {
        let contact = Some("a@example.com\r\nBcc: b@example.com".to_owned());
        let forged = Event { contact, ..event() };
        assert!(message(&forged, &"shop@example.com".parse().unwrap()).is_err());
    }
}
