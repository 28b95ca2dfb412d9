//! Registration, profiles and passwords.

use kit::auth::{Principal, Roles};

use crate::{
    audit::{Event, Kind, Source},
    core::Core,
    domain::{Account, NewAccount, ProfileChange, account::unique_key, password},
    error::{Error, Result},
};

/// What somebody registers with; the texts have passed the rules.
pub struct Registration {
    /// Unique whatever the case.
    pub username: String,
    /// Unique whatever the case.
    pub email: String,
    /// Plain.
    pub password: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
}

/// Who makes a request: an active account in a living session.
#[derive(Clone, Debug)]
pub struct Actor {
    /// As it is now, not as the token says.
    pub account: Account,
    /// The session of the token.
    pub sid: String,
    /// Where the request came from.
    pub source: Source,
}

impl Actor {
    /// Whether the actor may see and change that account.
    pub fn may_handle(&self, id: i64) -> bool {
        self.account.id == id || self.account.roles.staff
    }
}

impl Core {
    /// Whether a username or an e-mail address is taken, before a hash is spent
    /// on it; the database has the last word.
    pub async fn taken(&self, username: &str, email: &str) -> Result<(bool, bool)> {
        self.store
            .taken(&unique_key(username), &unique_key(email))
            .await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::Busy`].
    pub async fn register(
        &self,
        new: Registration,
        roles: Roles,
        source: &Source,
    ) -> Result<Account> {
        let password_hash = self.hasher.hash(&new.password).await?;
        let new = NewAccount {
            username: new.username,
            email: new.email,
            first_name: new.first_name,
            last_name: new.last_name,
            password_hash,
            roles,
            joined_ms: self.clock.now_ms(),
        };
        let ids = self.store.add_accounts(std::slice::from_ref(&new)).await?;
        let id = ids.first().copied().ok_or(Error::NoAccount)?;
        let account = new.with_id(id);
        let event = Event::new(Kind::Registered, source, self.clock.now_ms());
        let roles = account.roles.names().join(" ");
        self.audit.record(event.of(account.id).detail(roles));
        Ok(account)
    }

    /// The account behind a verified token.
    ///
    /// # Errors
    /// [`Error::ActorGone`], [`Error::ActorInactive`], [`Error::SessionEnded`].
    pub async fn actor(&self, principal: &Principal, source: Source) -> Result<Actor> {
        let row = self.store.actor(principal.user_id, &principal.sid).await?;
        let row = row.ok_or(Error::ActorGone)?;
        if !row.account.is_active {
            return Err(Error::ActorInactive);
        }
        if row.session_ended {
            return Err(Error::SessionEnded);
        }
        Ok(Actor {
            account: row.account,
            sid: principal.sid.clone(),
            source,
        })
    }

    /// One account.
    ///
    /// # Errors
    /// [`Error::NoAccount`].
    pub async fn account(&self, id: i64) -> Result<Account> {
        self.store.account(id).await?.ok_or(Error::NoAccount)
    }

    /// How many accounts contain a text in name, e-mail or username.
    pub async fn count_accounts(&self, search: &str) -> Result<i64> {
        self.store.count_accounts(search.trim()).await
    }

    /// Those accounts, by id.
    pub async fn list_accounts(
        &self,
        search: &str,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Account>> {
        self.store.list_accounts(search.trim(), offset, limit).await
    }

    /// Changes a profile; gives it back as it is now.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::Taken`].
    pub async fn change_profile(
        &self,
        actor: &Actor,
        id: i64,
        change: ProfileChange,
    ) -> Result<Account> {
        let before = self.account(id).await?;
        let changed = change.apply(&before);
        self.store.write_profile(&changed).await?;
        if changed.email != before.email {
            self.record(actor, Kind::EmailChanged, id);
        }
        Ok(changed)
    }

    /// Changes one's own password; all other sessions end.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::WeakPassword`], [`Error::Slowed`],
    /// [`Error::Busy`].
    pub async fn change_password(&self, actor: &Actor, old: &str, new: &str) -> Result<()> {
        self.require_password(actor, old).await?;
        let account = &actor.account;
        let texts = [
            &account.username,
            &account.email,
            &account.first_name,
            &account.last_name,
        ];
        let problems = password::problems(new, &texts.map(String::as_str));
        if !problems.is_empty() {
            return Err(Error::WeakPassword(problems));
        }
        let hash = self.hasher.hash(new).await?;
        self.store
            .write_password(account.id, &hash, &actor.sid, self.clock.now_ms())
            .await?;
        self.record(actor, Kind::PasswordChanged, account.id);
        Ok(())
    }

    /// Checks a logged-in account's password once more.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Slowed`], [`Error::Busy`].
    pub async fn require_password(&self, actor: &Actor, password: &str) -> Result<()> {
        let counted = self.count_reauthentication(&actor.sid).await?;
        let checked = self.check_password(actor, password).await;
        self.settle(counted, &checked).await?;
        if matches!(checked, Err(Error::WrongPassword)) {
            self.record(actor, Kind::PasswordRefused, actor.account.id);
        }
        checked
    }

    async fn check_password(&self, actor: &Actor, password: &str) -> Result<()> {
        let known = self
            .store
            .credentials_of(actor.account.id)
            .await?
            .ok_or(Error::ActorGone)?;
        let stored = Some(known.password_hash.as_str());
        match self.hasher.verify(password, stored).await? {
            true => Ok(()),
            false => Err(Error::WrongPassword),
        }
    }

    /// Deactivates an account and ends its sessions and tokens.
    ///
    /// # Errors
    /// [`Error::NoAccount`].
    pub async fn deactivate(&self, actor: &Actor, id: i64) -> Result<()> {
        self.store.deactivate(id, self.clock.now_ms()).await?;
        self.record(actor, Kind::Deactivated, id);
        Ok(())
    }

    /// Gives an account other roles; tokens that tell of the old ones end.
    ///
    /// # Errors
    /// [`Error::NoAccount`].
    pub async fn change_roles(&self, username: &str, roles: Roles) -> Result<Account> {
        let found = self.store.credentials(&unique_key(username)).await?;
        let account = found.ok_or(Error::NoAccount)?.account;
        let now_ms = self.clock.now_ms();
        self.store.write_roles(account.id, roles, now_ms).await?;
        let event = Event::new(Kind::RolesChanged, &Source::command(), now_ms);
        let names = roles.names().join(" ");
        self.audit.record(event.of(account.id).detail(names));
        Ok(Account { roles, ..account })
    }

    /// Records what an actor did to an account.
    pub(crate) fn record(&self, actor: &Actor, kind: Kind, user_id: i64) {
        let event = Event::new(kind, &actor.source, self.clock.now_ms());
        self.audit.record(event.of(user_id).by(actor.account.id));
    }
}
