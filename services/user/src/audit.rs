//! The audit log of security events: one structured line each in the log (target `audit`), and a
//! bounded table that staff can read.
//!
//! The line is written at once; rows are written a little later and together, so that a flood of
//! failed log-ins costs the database little, and so that no answer waits for them. No event holds
//! a password, a token, a code or a name that somebody typed: people type passwords into the name
//! field, so accounts that do not exist are told apart by a keyed hash.

use std::{sync::Arc, time::Duration};

use kit::Ctx;
use tokio::sync::mpsc;

use crate::store::Store;

/// Events that may wait for their row; more have a line in the log alone.
const QUEUE: usize = 4096;
/// Rows written together, at most.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_millis(100);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account was made.
    Registered,
    /// A session has begun.
    LoggedIn,
    /// Unknown name, wrong password or inactive account.
    LoginRefused,
    /// So many failures that the next log-in there must wait.
    LoginSlowed,
    /// The password was right, the second factor is asked for.
    SecondFactorAsked,
    /// The second step of a log-in failed.
    SecondFactorRefused,
    /// No more codes today.
    SecondFactorLimited,
    /// A backup token was used up.
    BackupTokenUsed,
    /// A spent refresh token came back; its family has ended.
    RefreshReused,
    /// A session was ended by its owner.
    LoggedOut,
    /// The password was changed.
    PasswordChanged,
    /// A logged-in caller got the password wrong.
    PasswordRefused,
    /// The e-mail address was changed.
    EmailChanged,
    /// The account was deactivated.
    Deactivated,
    /// The second factor is on.
    SecondFactorOn,
    /// The second factor is off.
    SecondFactorOff,
    /// All backup tokens were replaced.
    BackupTokensReplaced,
    /// The account may do other things now.
    RolesChanged,
    /// A new signing key was made.
    SigningKeyRotated,
    /// Sealed secrets were sealed anew.
    FieldsResealed,
}

impl Kind {
    /// As it stands in the line and the row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoggedIn => "logged_in",
            Self::LoginRefused => "login_refused",
            Self::LoginSlowed => "login_slowed",
            Self::SecondFactorAsked => "second_factor_asked",
            Self::SecondFactorRefused => "second_factor_refused",
            Self::SecondFactorLimited => "second_factor_limited",
            Self::BackupTokenUsed => "backup_token_used",
            Self::RefreshReused => "refresh_reused",
            Self::LoggedOut => "logged_out",
            Self::PasswordChanged => "password_changed",
            Self::PasswordRefused => "password_refused",
            Self::EmailChanged => "email_changed",
            Self::Deactivated => "deactivated",
            Self::SecondFactorOn => "second_factor_on",
            Self::SecondFactorOff => "second_factor_off",
            Self::BackupTokensReplaced => "backup_tokens_replaced",
            Self::RolesChanged => "roles_changed",
            Self::SigningKeyRotated => "signing_key_rotated",
            Self::FieldsResealed => "fields_resealed",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The client's address as the gateway saw it; empty for a command.
    pub address: String,
    /// Names the request in other lines.
    pub request_id: String,
}

impl From<&Ctx> for Source {
    fn from(ctx: &Ctx) -> Self {
        Self {
            address: ctx.client.map_or_else(String::new, |ip| ip.to_string()),
            request_id: ctx.request_id.to_string(),
        }
    }
}

impl Source {
    /// A command of the binary.
    pub fn command() -> Self {
        Self {
            address: String::new(),
            request_id: "command".to_owned(),
        }
    }
}

/// One security event.
#[derive(Clone, Debug)]
pub struct Event {
    /// UTC epoch milliseconds.
    pub at_ms: i64,
    /// What happened.
    pub event: String,
    /// Whose account it is about.
    pub user_id: Option<i64>,
    /// Who did it, where that is somebody else.
    pub actor_id: Option<i64>,
    /// From where.
    pub address: String,
    /// In which request.
    pub request_id: String,
    /// A word more; never a secret.
    pub detail: String,
}

impl Event {
    /// Of that kind.
    pub fn new(kind: Kind, source: &Source, at_ms: i64) -> Self {
        Self {
            at_ms,
            event: kind.as_str().to_owned(),
            user_id: None,
            actor_id: None,
            address: source.address.clone(),
            request_id: source.request_id.clone(),
            detail: String::new(),
        }
    }

    /// About that account.
    #[must_use]
    pub fn of(mut self, user_id: i64) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Done by that account, if it is another one.
    #[must_use]
    pub fn by(mut self, actor_id: i64) -> Self {
        self.actor_id = Some(actor_id).filter(|_| self.user_id != Some(actor_id));
        self
    }

    /// With a word more.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// Where events go.
#[derive(Clone, Debug)]
pub struct Audit(mpsc::Sender<Event>);

/// The other end: events that have no row yet.
#[derive(Debug)]
pub struct Rows(mpsc::Receiver<Event>);

/// Both ends.
pub fn audit() -> (Audit, Rows) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Audit(sender), Rows(receiver))
}

impl Audit {
    /// Writes the line, and leaves the row to [`Rows`].
    pub fn record(&self, event: Event) {
        tracing::info!(
            target: "audit",
            event = event.event,
            user_id = event.user_id,
            actor_id = event.actor_id,
            address = event.address,
            request_id = event.request_id,
            detail = event.detail,
        );
        if self.0.try_send(event).is_err() {
            metrics::counter!("audit_rows_lost_total").increment(1);
        }
    }
}

impl Rows {
    /// Writes rows until nobody records events any more, or until `end`.
    pub async fn write(mut self, store: Arc<dyn Store>, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            let first = tokio::select! {
                first = self.0.recv() => first,
                () = &mut end => break,
            };
            let Some(first) = first else { return };
            let mut events = vec![first];
            tokio::time::sleep(GATHER).await;
            self.take(&mut events);
            save(&*store, &events).await;
        }
        self.flush(&*store).await;
    }

    /// Writes what waits, for a command that ends.
    pub async fn flush(mut self, store: &dyn Store) {
        loop {
            let mut events = Vec::new();
            self.take(&mut events);
            if events.is_empty() {
                return;
            }
            save(store, &events).await;
        }
    }

    fn take(&mut self, events: &mut Vec<Event>) {
        while events.len() < BATCH {
            let Ok(event) = self.0.try_recv() else { break };
            events.push(event);
        }
    }
}

/// The lines are in the log already: rows that can't be written are no reason to stop.
async fn save(store: &dyn Store, events: &[Event]) {
    if let Err(error) = store.add_events(events).await {
        metrics::counter!("audit_rows_lost_total").increment(events.len() as u64);
        tracing::warn!(%error, events = events.len(), "audit rows could not be written");
    }
}
