-- Who did what to what. Each row's hash covers the row and the hash before it.
CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    object   TEXT NOT NULL,
    details  TEXT NOT NULL,                    -- JSON
    hash     BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_object ON audit (object, position);
