//! Setting up, using and removing the second factor.

use kit::crypto::random_token;
use totp_rs::{Secret, Totp};

use crate::{
    accounts::Actor,
    audit::{Event, Kind, Source},
    core::{Core, Session},
    domain::{
        Account,
        account::unique_key,
        two_factor::{
            BACKUP_TOKENS, Code, Device, backup_token_text, matching_step, secret_binding, totp,
        },
    },
    error::{Error, Result},
    store::{Acceptance, Guess, Proof},
};

/// Secrets that are sealed anew between two looks at the database.
const RESEAL_BATCH: i64 = 200;

/// What an owner gets to see once, at set-up.
pub struct Setup {
    /// For `verify-setup/`.
    pub device_id: i64,
    /// PNG, base64.
    pub qr_png: String,
    /// Base32.
    pub secret_key: String,
    /// Plain, only now.
    pub backup_tokens: Vec<String>,
    /// What the QR code says.
    pub otpauth_url: String,
}

/// A login completed with the second factor.
pub struct Completed {
    /// The session that has begun.
    pub session: Session,
    /// Set when a backup token was used up: how many are left.
    pub backup_tokens_left: Option<i64>,
}

/// Whether the second factor is on.
pub struct Status {
    /// The confirmed device's name.
    pub device_name: Option<String>,
    /// Backup tokens that still work.
    pub backup_tokens_left: i64,
}

impl Core {
    /// Makes a device that waits for its confirmation, and backup tokens.
    ///
    /// # Errors
    /// [`Error::TwoFactorOn`].
    pub async fn set_up_device(&self, actor: &Actor) -> Result<Setup> {
        let account = &actor.account;
        let secret = Secret::generate();
        let sealed = self
            .cipher
            .seal(secret.as_bytes(), &secret_binding(account.id));
        let (backup_tokens, hashes) = self.make_backup_tokens(account.id);
        let device_id = self
            .store
            .add_device(account.id, &sealed, &hashes, self.clock.now_ms())
            .await?
            .ok_or(Error::TwoFactorOn)?;
        let generator = totp(account, secret.as_bytes().to_vec()).map_err(crypto)?;
        let otpauth_url = generator.to_url().map_err(crypto)?;
        let qr_png = self
            .signing
            .run(move || generator.to_qr_base64())
            .await?
            .map_err(crypto)?;
        Ok(Setup {
            device_id,
            qr_png,
            secret_key: secret.to_base32(),
            backup_tokens,
            otpauth_url,
        })
    }

    /// Turns the second factor on: the owner proves to hold the device.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`].
    pub async fn confirm_device(&self, actor: &Actor, device_id: i64, code: &str) -> Result<()> {
        let account = &actor.account;
        let device = self.store.device(account.id).await?;
        let device = device.filter(|device| device.id == device_id && !device.confirmed);
        let device = device.ok_or(Error::NotConfirmed)?;
        let Some(Code::Totp(code)) = Code::parse(code) else {
            return Err(Error::NotConfirmed);
        };
        let generator = self.generator(account, &device)?;
        let step = matching_step(&generator, &code, self.clock.now_ms(), device.last_step)
            .ok_or(Error::NotConfirmed)?;
        if self
            .store
            .confirm_device(account.id, device_id, step)
            .await?
        {
            self.record(actor, Kind::SecondFactorOn, account.id);
            Ok(())
        } else {
            Err(Error::NotConfirmed)
        }
    }

    /// The second step of a login.
    ///
    /// # Errors
    /// [`Error::SecondFactor`] whatever is wrong, [`Error::TooManyCodes`] for
    /// who passed the password step.
    pub async fn complete_login(
        &self,
        username: &str,
        code: &str,
        pending_id: Option<&str>,
        source: &Source,
    ) -> Result<Completed> {
        let hash = self.pending_hash(pending_id.unwrap_or(""));
        let pending = self.store.pending(&hash, self.clock.now_ms()).await?;
        let key = unique_key(username);
        let pending = pending.filter(|(account, _)| unique_key(&account.username) == key);
        // No event without a password step: anybody could fill the log with them.
        let (account, device) = pending.ok_or(Error::SecondFactor)?;
        let user_id = account.id;
        let completed = self.second_step(account, &device, code, &hash).await;
        let kind = match &completed {
            Ok(completed) if completed.backup_tokens_left.is_some() => Kind::BackupTokenUsed,
            Ok(_) => Kind::LoggedIn,
            Err(Error::SecondFactor) => Kind::SecondFactorRefused,
            Err(Error::TooManyCodes { .. }) => Kind::SecondFactorLimited,
            Err(_) => return completed,
        };
        let event = Event::new(kind, source, self.clock.now_ms()).of(user_id);
        self.audit.record(event.detail("second factor"));
        completed
    }

    async fn second_step(
        &self,
        account: Account,
        device: &Device,
        code: &str,
        pending_hash: &str,
    ) -> Result<Completed> {
        let guess = self.count_guess(account.id).await?;
        let proof = self.proof(&account, device, code)?;
        let backup = matches!(proof, Proof::Backup(_));
        let grant = self.new_grant(&account);
        let acceptance = Acceptance {
            pending_hash,
            guess,
            proof,
            grant: &grant,
        };
        let issued = self.store.accept(acceptance, self.clock.now_ms()).await?;
        let tokens = self.sign(&issued.ok_or(Error::SecondFactor)?).await?;
        let backup_tokens_left = match backup {
            true => Some(self.store.backup_tokens_left(account.id).await?),
            false => None,
        };
        Ok(Completed {
            session: Session { account, tokens },
            backup_tokens_left,
        })
    }

    async fn count_guess(&self, user_id: i64) -> Result<i64> {
        let now_ms = self.clock.now_ms();
        match self.store.count_guess(user_id, now_ms).await? {
            Guess::Counted(id) => Ok(id),
            Guess::Refused { until_ms } => Err(Error::TooManyCodes {
                wait_ms: (until_ms - now_ms).max(1),
            }),
        }
    }

    /// What accepting this code would use up, if it is right.
    fn proof(&self, account: &Account, device: &Device, code: &str) -> Result<Proof> {
        match Code::parse(code).ok_or(Error::SecondFactor)? {
            Code::Totp(code) => {
                let generator = self.generator(account, device)?;
                matching_step(&generator, &code, self.clock.now_ms(), device.last_step)
                    .map(Proof::Step)
                    .ok_or(Error::SecondFactor)
            }
            Code::Backup(token) => Ok(Proof::Backup(self.backup_hash(account.id, &token))),
        }
    }

    /// Turns the second factor off.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::TwoFactorOff`].
    pub async fn remove_device(&self, actor: &Actor, password: &str) -> Result<()> {
        self.require_password(actor, password).await?;
        self.require_on(actor).await?;
        self.store.remove_device(actor.account.id).await?;
        self.record(actor, Kind::SecondFactorOff, actor.account.id);
        Ok(())
    }

    /// Voids all backup tokens and makes others.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::TwoFactorOff`].
    pub async fn new_backup_tokens(&self, actor: &Actor, password: &str) -> Result<Vec<String>> {
        self.require_password(actor, password).await?;
        let (tokens, hashes) = self.make_backup_tokens(actor.account.id);
        if self
            .store
            .replace_backup_tokens(actor.account.id, &hashes)
            .await?
        {
            self.record(actor, Kind::BackupTokensReplaced, actor.account.id);
            Ok(tokens)
        } else {
            Err(Error::TwoFactorOff)
        }
    }

    /// Whether the second factor is on.
    pub async fn second_factor_status(&self, actor: &Actor) -> Result<Status> {
        let device = self
            .store
            .device(actor.account.id)
            .await?
            .filter(|device| device.confirmed);
        let backup_tokens_left = match device {
            Some(_) => self.store.backup_tokens_left(actor.account.id).await?,
            None => 0,
        };
        Ok(Status {
            device_name: device.map(|device| device.name),
            backup_tokens_left,
        })
    }

    /// Seals secrets anew that the first of the field keys has not sealed; gives back
    /// how many. It works while the service serves: a secret that changes meanwhile is
    /// left as its owner has it.
    ///
    /// # Errors
    /// When one does not open: its key is not among the field keys any more.
    pub async fn reseal_secrets(&self) -> Result<u64> {
        let prefix = self.cipher.current_prefix();
        let (mut resealed, mut after) = (0, 0);
        loop {
            let batch = self.store.sealed_secrets(after, RESEAL_BATCH).await?;
            let Some((last, ..)) = batch.last() else {
                break;
            };
            after = *last;
            for (device_id, user_id, old) in batch {
                if old.starts_with(&prefix) {
                    continue;
                }
                let new = self.cipher.reseal(&old, &secret_binding(user_id))?;
                if self.store.replace_secret(device_id, &old, &new).await? {
                    resealed += 1;
                }
            }
        }
        let event = Event::new(
            Kind::FieldsResealed,
            &Source::command(),
            self.clock.now_ms(),
        );
        self.audit
            .record(event.detail(format!("{resealed} secrets")));
        Ok(resealed)
    }

    async fn require_on(&self, actor: &Actor) -> Result<()> {
        let device = self.store.device(actor.account.id).await?;
        device
            .filter(|device| device.confirmed)
            .map(drop)
            .ok_or(Error::TwoFactorOff)
    }

    fn generator(&self, account: &Account, device: &Device) -> Result<Totp> {
        let secret = self
            .cipher
            .open(&device.sealed_secret, &secret_binding(account.id))?;
        totp(account, secret).map_err(crypto)
    }

    /// Plain tokens and what is stored of them.
    fn make_backup_tokens(&self, user_id: i64) -> (Vec<String>, Vec<String>) {
        let tokens: Vec<String> = (0..BACKUP_TOKENS).map(|_| random_token::<16>()).collect();
        let hashes = tokens
            .iter()
            .map(|token| self.backup_hash(user_id, token))
            .collect();
        (tokens, hashes)
    }

    fn backup_hash(&self, user_id: i64, token: &str) -> String {
        self.cipher
            .blind_index("backup_token", &backup_token_text(user_id, token))
    }
}

fn crypto(error: impl std::fmt::Display) -> Error {
    Error::Crypto(error.to_string())
}
