-- Uploads of sealed recordings (tus 1.0). The upload's id is the recording's. Instants are microseconds since the Unix epoch.
CREATE TABLE uploads (
    recording  BLOB PRIMARY KEY,
    device     BLOB NOT NULL REFERENCES devices (id),
    kind       TEXT NOT NULL CHECK (kind IN ('voice', 'screen')),
    length     INTEGER,                        -- of envelope and payload; NULL: told later
    state      TEXT NOT NULL CHECK (state IN ('open', 'committed', 'refused')),
    reason     TEXT,                           -- why it was refused
    created_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL,
    CHECK ((reason IS NULL) = (state <> 'refused'))
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_touch ON uploads (state, touched_at);
CREATE INDEX uploads_by_device ON uploads (device, state);
