-- Interactions, derived from events, recordings and links by the recording processor: may be dropped and rebuilt.
-- Instants are microseconds since the Unix epoch.
CREATE TABLE interactions (
    id             BLOB PRIMARY KEY,
    started_at     INTEGER NOT NULL,
    established_at INTEGER,
    ended_at       INTEGER,
    caller         TEXT NOT NULL,
    dialled        TEXT NOT NULL,
    voice          TEXT NOT NULL CHECK (voice IN ('complete', 'partial', 'missing', 'pending', 'none')),
    screen         TEXT NOT NULL CHECK (screen IN ('complete', 'partial', 'missing', 'pending', 'none')),
    recovered      INTEGER NOT NULL CHECK (recovered IN (0, 1)),
    paused         INTEGER NOT NULL CHECK (paused IN (0, 1)),
    recheck_at     INTEGER                     -- when time alone changes its state
) STRICT, WITHOUT ROWID;
CREATE INDEX interactions_by_start ON interactions (started_at, id);
CREATE INDEX interactions_by_recheck ON interactions (recheck_at) WHERE recheck_at IS NOT NULL;

CREATE TABLE interaction_agents (
    interaction BLOB NOT NULL REFERENCES interactions (id) ON DELETE CASCADE,
    dn          TEXT NOT NULL,
    person      BLOB,
    login       TEXT NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (interaction, dn)
) STRICT, WITHOUT ROWID;
CREATE INDEX interaction_agents_by_dn ON interaction_agents (dn, interaction);

-- What an interaction is found by: `agent:<login, name or DN>`, `number:<digits>`, `person:<id>`; newest first within a key.
CREATE TABLE interaction_keys (
    key         TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    interaction BLOB NOT NULL REFERENCES interactions (id) ON DELETE CASCADE,
    PRIMARY KEY (key, started_at, interaction)
) STRICT, WITHOUT ROWID;
CREATE INDEX interaction_keys_by_interaction ON interaction_keys (interaction);

CREATE TABLE interaction_gaps (
    interaction BLOB NOT NULL REFERENCES interactions (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('voice', 'screen')),
    dn          TEXT NOT NULL,                 -- empty: not of one DN
    reason      TEXT NOT NULL,
    PRIMARY KEY (interaction, kind, dn)
) STRICT, WITHOUT ROWID;
