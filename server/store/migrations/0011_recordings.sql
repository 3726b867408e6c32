-- Committed recordings: what their manifests say, what the server added. Instants are microseconds since the Unix epoch,
-- on the server's clock.
CREATE TABLE recordings (
    id                 BLOB PRIMARY KEY,
    device             BLOB NOT NULL REFERENCES devices (id),
    capture            BLOB NOT NULL,
    kind               TEXT NOT NULL CHECK (kind IN ('voice', 'screen')),
    person             BLOB,                   -- who sat at the desktop
    dn                 TEXT,                   -- where
    started_at         INTEGER NOT NULL,
    duration_ms        INTEGER,                -- NULL after a crash until the index is rebuilt
    state              TEXT NOT NULL CHECK (state IN ('ready', 'repairing', 'recovered', 'failed')),
    failure            TEXT,                   -- why it cannot be repaired
    payload_size       INTEGER NOT NULL,       -- of the object as it is stored now
    payload_sha256     TEXT NOT NULL,
    manifest           TEXT NOT NULL,          -- exact JSON
    manifest_signature BLOB NOT NULL,          -- CMS SignedData, DER
    receipt            TEXT NOT NULL,          -- JSON of wire's Signed
    recovered          TEXT,                   -- JSON of wire's Signed, after a repair
    rebuilt_index      TEXT,                   -- JSON list of index entries, after a repair
    received_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX recordings_by_capture ON recordings (capture);
CREATE INDEX recordings_by_dn ON recordings (dn, started_at) WHERE dn IS NOT NULL;
CREATE INDEX recordings_by_state ON recordings (state) WHERE state IN ('repairing', 'failed');

-- Which interactions own a span of a recording. `manifest`: the recorder said so; `overlap`: joined by place and time.
CREATE TABLE recording_interactions (
    interaction BLOB NOT NULL,
    recording   BLOB NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    from_ms     INTEGER NOT NULL,
    to_ms       INTEGER,
    source      TEXT NOT NULL CHECK (source IN ('manifest', 'overlap')),
    PRIMARY KEY (interaction, recording)
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_interactions_by_recording ON recording_interactions (recording);

-- One row for every change of a recording: what the recording processor reads with its own cursor.
CREATE TABLE recording_changes (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    recording BLOB NOT NULL
) STRICT;

-- Repairs that are due or given up.
CREATE TABLE repairs (
    recording BLOB PRIMARY KEY REFERENCES recordings (id) ON DELETE CASCADE,
    attempts  INTEGER NOT NULL,
    next_at   INTEGER NOT NULL,
    reason    TEXT                             -- of the last failure
) STRICT, WITHOUT ROWID;
CREATE INDEX repairs_by_time ON repairs (next_at);
