//! Registration, profiles and passwords.

use kit::auth::{Principal, Roles};

use crate::{
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
    pub async fn register(&self, new: Registration, roles: Roles) -> Result<Account> {
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
        Ok(new.with_id(id))
    }

    /// The account behind a verified token.
    ///
    /// # Errors
    /// [`Error::ActorGone`], [`Error::ActorInactive`], [`Error::SessionEnded`].
    pub async fn actor(&self, principal: &Principal) -> Result<Actor> {
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
    pub async fn change_profile(&self, id: i64, change: ProfileChange) -> Result<Account> {
        let changed = change.apply(&self.account(id).await?);
        self.store.write_profile(&changed).await?;
        Ok(changed)
    }

    /// Changes one's own password; all other sessions end.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::WeakPassword`], [`Error::Busy`].
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
            .await
    }

    /// Checks a logged-in account's password once more.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Busy`].
    pub async fn require_password(&self, actor: &Actor, password: &str) -> Result<()> {
        let known = self
            .store
            .credentials_of(actor.account.id)
            .await?
            .ok_or(Error::ActorGone)?;
        if self
            .hasher
            .verify(password, Some(&known.password_hash))
            .await?
        {
            Ok(())
        } else {
            Err(Error::WrongPassword)
        }
    }

    /// Deactivates an account and ends its sessions.
    ///
    /// # Errors
    /// [`Error::NoAccount`].
    pub async fn deactivate(&self, id: i64) -> Result<()> {
        self.store.deactivate(id, self.clock.now_ms()).await
    }
}
