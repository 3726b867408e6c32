-- Signed-in persons: browsers (with a CSRF token) and desktops (bound to a device, at a DN). Only the token's hash is kept.
CREATE TABLE sessions (
    token_sha256 BLOB PRIMARY KEY,
    person       BLOB NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    csrf_token   TEXT,
    device       BLOB REFERENCES devices (id) ON DELETE CASCADE,
    dn           TEXT,
    created_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    CHECK ((csrf_token IS NULL) <> (device IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions (person);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_dn ON sessions (dn) WHERE dn IS NOT NULL;
