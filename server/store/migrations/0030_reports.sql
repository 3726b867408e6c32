-- What reports count: one row for each call, each DN in it, and each SIP session at a resource manager (CDR). Derived from
-- the events by the reporting server: may be dropped and rebuilt. Instants are microseconds since the Unix epoch.
CREATE TABLE report_calls (
    interaction BLOB PRIMARY KEY,
    started_at  INTEGER NOT NULL,
    ringing_at  INTEGER,
    answered_at INTEGER,
    ended_at    INTEGER,
    caller      TEXT NOT NULL,
    dialled     TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    cause       TEXT,                          -- of the end, as the event says it
    ended_by    TEXT,
    tenant      TEXT NOT NULL                  -- empty: nobody's in particular
) STRICT, WITHOUT ROWID;
CREATE INDEX report_calls_by_start ON report_calls (started_at, interaction);

CREATE TABLE report_call_dns (
    dn          TEXT NOT NULL,
    started_at  INTEGER NOT NULL,              -- of the call
    interaction BLOB NOT NULL,
    incoming    INTEGER NOT NULL CHECK (incoming IN (0, 1)),
    outcome     TEXT NOT NULL,                 -- for this DN
    talk_ms     INTEGER NOT NULL,
    PRIMARY KEY (dn, started_at, interaction)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_call_dns_by_call ON report_call_dns (interaction);
CREATE INDEX report_call_dns_by_start ON report_call_dns (started_at, dn, outcome, incoming, talk_ms);

CREATE TABLE report_sessions (
    started_at   INTEGER NOT NULL,
    interaction  BLOB NOT NULL,
    call_id      TEXT NOT NULL,
    answered_at  INTEGER,
    ended_at     INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    media_server TEXT NOT NULL,                -- empty: none served it
    tenant       TEXT NOT NULL,
    PRIMARY KEY (started_at, interaction, call_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_sessions_by_call ON report_sessions (interaction);
