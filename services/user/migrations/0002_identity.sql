-- Access tokens that ended before their time, for the feed of revocations:
-- not_before_ms ends all that were issued before (deactivation, another role),
-- others_before_ms all but those of the family kept_sid (another password).
-- ended_ms is the newer of the two; no token of the account is issued before it.
ALTER TABLE users ADD COLUMN not_before_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN others_before_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN kept_sid TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN ended_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_by_end ON users (ended_ms, id) WHERE ended_ms > 0;

-- Failed log-ins by account, address and device, under keyed hashes: names that
-- people type may be passwords. Forgotten a while after the last one.
CREATE TABLE attempts (
    bucket TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX attempts_by_age ON attempts (last_ms);

-- Security events, for staff; the oldest are forgotten.
CREATE TABLE audit_events (
    id {{ID}},
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    user_id BIGINT,
    actor_id BIGINT,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_events_by_user ON audit_events (user_id, id);
CREATE INDEX audit_events_by_event ON audit_events (event, id);
CREATE INDEX audit_events_by_age ON audit_events (at_ms);
