-- The signalling of calls as SIP servers saw it, masked. Kept for some days, apart from the events: nothing is derived from it.
-- Each process of a SIP server numbers a call's messages by itself: a series, named by when it saw the first.
CREATE TABLE traces (
    interaction BLOB NOT NULL,
    device      BLOB NOT NULL,                 -- SIP server
    since_us    INTEGER NOT NULL,              -- of the series; microseconds since the Unix epoch
    stored_at   INTEGER NOT NULL,              -- of the last batch; microseconds since the Unix epoch
    seen        INTEGER NOT NULL,              -- messages, kept or not
    probes      INTEGER NOT NULL,              -- OPTIONS and their answers, never kept
    overlooked  INTEGER NOT NULL,              -- of this and other calls
    PRIMARY KEY (interaction, device, since_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_by_age ON traces (stored_at);

CREATE TABLE trace_messages (
    interaction  BLOB NOT NULL,
    device       BLOB NOT NULL,
    since_us     INTEGER NOT NULL,
    number       INTEGER NOT NULL,             -- in its series, from 1
    at_us        INTEGER NOT NULL,             -- clock of the SIP server
    sent         INTEGER NOT NULL CHECK (sent IN (0, 1)),
    peer_kind    TEXT NOT NULL CHECK (peer_kind IN ('phone', 'media-server')),
    peer_name    TEXT NOT NULL,
    peer_address TEXT NOT NULL,
    local        TEXT NOT NULL,
    transport    TEXT NOT NULL,
    summary      TEXT NOT NULL,
    cseq         TEXT NOT NULL,
    repeats      INTEGER,                      -- number of the same message before
    cut          INTEGER NOT NULL CHECK (cut IN (0, 1)),
    text         TEXT NOT NULL,                -- masked by the SIP server
    PRIMARY KEY (interaction, device, since_us, number),
    FOREIGN KEY (interaction, device, since_us) REFERENCES traces (interaction, device, since_us) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
