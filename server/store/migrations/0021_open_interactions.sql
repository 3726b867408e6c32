-- Calls that their SIP server has lost are found and ended. Instants are microseconds since the Unix epoch.
-- Interactions that go on: few beside those that are over.
CREATE INDEX interactions_open ON interactions (id) WHERE ended_at IS NULL;

-- When a SIP server was last heard: until then its calls went on.
CREATE TABLE sip_server_signs (
    device  BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
