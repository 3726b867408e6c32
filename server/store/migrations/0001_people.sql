-- Persons who can sign in, their roles, and the sessions they hold. Instants are microseconds since the Unix epoch.
CREATE TABLE persons (
    id              BLOB PRIMARY KEY,
    login           TEXT NOT NULL COLLATE NOCASE UNIQUE,
    name            TEXT NOT NULL,
    password_hash   TEXT NOT NULL,             -- PHC string, Argon2id
    must_change     INTEGER NOT NULL CHECK (must_change IN (0, 1)),
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    locked_until    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE person_roles (
    person BLOB NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    role   TEXT NOT NULL CHECK (role IN ('agent', 'supervisor', 'administrator', 'auditor')),
    PRIMARY KEY (person, role)
) STRICT, WITHOUT ROWID;
