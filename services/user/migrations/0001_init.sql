-- Accounts. The *_key columns hold what must be unique whatever the case;
-- search_text is what the staff's search looks through.
CREATE TABLE users (
    id {{ID}},
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    search_text TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_active BIGINT NOT NULL DEFAULT 1,
    is_staff BIGINT NOT NULL DEFAULT 0,
    is_admin BIGINT NOT NULL DEFAULT 0,
    joined_ms BIGINT NOT NULL
);

-- One row a login: the family of all refresh tokens that come from it. The
-- feed of revoked families (claim `sid`) reads revoked_ms.
CREATE TABLE sessions (
    sid TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT,
    revoked_why TEXT
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);
CREATE INDEX sessions_by_revocation ON sessions (revoked_ms);

-- One row an issued pair of tokens: what is needed to make the same pair
-- again, byte for byte (RS256 is deterministic), but no token.
CREATE TABLE refresh_tokens (
    jti TEXT PRIMARY KEY,
    sid TEXT NOT NULL REFERENCES sessions (sid),
    access_jti TEXT NOT NULL,
    roles TEXT NOT NULL,
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    spent_ms BIGINT,
    successor TEXT
);
CREATE INDEX refresh_tokens_by_sid ON refresh_tokens (sid);

-- Logins that passed the password and wait for the second factor.
CREATE TABLE pending_logins (
    id_hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    expires_ms BIGINT NOT NULL
);
CREATE INDEX pending_logins_by_user ON pending_logins (user_id);
CREATE INDEX pending_logins_by_expiry ON pending_logins (expires_ms);

-- The second factor, one a user. `secret` is sealed and bound to the user.
-- last_step is the newest time step a code was accepted for.
CREATE TABLE totp_devices (
    id {{ID}},
    user_id BIGINT NOT NULL UNIQUE REFERENCES users (id),
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    confirmed BIGINT NOT NULL DEFAULT 0,
    last_step BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

-- Backup tokens as keyed hashes.
CREATE TABLE backup_tokens (
    id {{ID}},
    user_id BIGINT NOT NULL REFERENCES users (id),
    token_hash TEXT NOT NULL UNIQUE,
    used_ms BIGINT
);
CREATE INDEX backup_tokens_by_user ON backup_tokens (user_id);

-- Wrong second-factor codes of the last day, counted on the account.
CREATE TABLE code_guesses (
    id {{ID}},
    user_id BIGINT NOT NULL REFERENCES users (id),
    at_ms BIGINT NOT NULL
);
CREATE INDEX code_guesses_by_user ON code_guesses (user_id, at_ms);
