-- Enrolled devices (desktops and components) and the one-time codes with which they enrol.
CREATE TABLE devices (
    id                 BLOB PRIMARY KEY,
    kind               TEXT NOT NULL,
    name               TEXT NOT NULL,
    certificate_serial TEXT NOT NULL UNIQUE,
    certificate_sha256 BLOB NOT NULL UNIQUE,
    not_after          INTEGER NOT NULL,
    enrolled_at        INTEGER NOT NULL,
    revoked_at         INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment_codes (
    code_sha256 BLOB PRIMARY KEY,
    kinds       TEXT NOT NULL,                 -- JSON list of device kinds it may enrol
    made_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    used_by     BLOB REFERENCES devices (id)
) STRICT, WITHOUT ROWID;
