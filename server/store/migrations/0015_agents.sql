-- Agents at their desktops, the systems that announce interactions, and what desktops say of themselves.
-- Instants are microseconds since the Unix epoch, on the server's clock.
CREATE TABLE agent_states (
    person BLOB PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
    ready  INTEGER NOT NULL CHECK (ready IN (0, 1)),
    reason TEXT,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every change of a state, in order: who was ready when.
CREATE TABLE agent_state_changes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    person   BLOB NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    ready    INTEGER NOT NULL CHECK (ready IN (0, 1)),
    reason   TEXT
) STRICT;
CREATE INDEX agent_state_changes_by_person ON agent_state_changes (person, at);

-- Other systems, each with a token of its own; only its hash is kept.
CREATE TABLE api_tokens (
    name         TEXT PRIMARY KEY,
    token_sha256 BLOB NOT NULL UNIQUE,
    rights       TEXT NOT NULL,                -- JSON list: announce, pause
    made_at      INTEGER NOT NULL,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

-- Interactions that other systems announced; the key makes an announcement that is sent twice one interaction.
CREATE TABLE announced_interactions (
    interaction  BLOB PRIMARY KEY,
    announced_by TEXT NOT NULL,                -- system:<name> or person:<login>
    request_key  TEXT,
    request      TEXT NOT NULL,                -- SHA-256 of what was asked
    announced_at INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX announced_by_key ON announced_interactions (announced_by, request_key)
    WHERE request_key IS NOT NULL;

-- What each desktop last said of itself.
CREATE TABLE desktops (
    device     BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    version    TEXT NOT NULL,
    protocol   INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    spool      TEXT,                           -- JSON
    spool_at   INTEGER,
    problems   TEXT NOT NULL DEFAULT '[]',     -- JSON list
    failure    TEXT,                           -- of the last capture that failed
    failed_at  INTEGER,
    offline    TEXT                            -- JSON: its last time without a link
) STRICT, WITHOUT ROWID;
