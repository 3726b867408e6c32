-- The one log. A device's events carry its sequence: what has been seen is ignored. Positions grow in the order of commits
-- (SQLite has one writer), so a consumer that has read up to a position has missed nothing before it.
CREATE TABLE events (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    device      BLOB,
    sequence    INTEGER,
    received_at INTEGER NOT NULL,
    interaction BLOB,
    event       TEXT NOT NULL,                 -- JSON as received, also when this version cannot read it
    UNIQUE (device, sequence),
    CHECK ((device IS NULL) = (sequence IS NULL))
) STRICT;
CREATE INDEX events_by_interaction ON events (interaction, position);

CREATE TABLE consumers (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
