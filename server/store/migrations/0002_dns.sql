-- Directory numbers: what phones register as. Passwords are kept only as H(A1) (RFC 7616).
CREATE TABLE dns (
    number        TEXT PRIMARY KEY,
    ha1_md5       TEXT NOT NULL,
    ha1_sha256    TEXT NOT NULL,
    record_voice  TEXT NOT NULL CHECK (record_voice IN ('full-time', 'on-demand')),
    record_screen INTEGER NOT NULL CHECK (record_screen IN (0, 1)),
    owner         BLOB REFERENCES persons (id) ON DELETE SET NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dns_by_owner ON dns (owner);
