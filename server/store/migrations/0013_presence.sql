-- Who was where, and when the web services ran: why a screen is missing is told from these.
-- Instants are microseconds since the Unix epoch, on the server's clock.
CREATE TABLE desktop_links (
    device  BLOB NOT NULL REFERENCES devices (id),
    from_at INTEGER NOT NULL,
    to_at   INTEGER,                           -- NULL: still open (or the server was killed: see service_runs)
    person  BLOB NOT NULL,
    dn      TEXT NOT NULL,
    PRIMARY KEY (device, from_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX desktop_links_by_dn ON desktop_links (dn, from_at);

CREATE TABLE service_runs (
    service TEXT NOT NULL,
    from_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,                  -- last sign of life
    PRIMARY KEY (service, from_at)
) STRICT, WITHOUT ROWID;
