-- Site-wide settings and the record of every change of the configuration. The version of the configuration is the last
-- version here.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL                        -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE configuration_changes (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    changes TEXT NOT NULL                      -- JSON list of {object, before, after}; never a credential
) STRICT;
