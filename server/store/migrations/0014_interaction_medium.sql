-- What kind of interaction: a call, or one that another system announced.
ALTER TABLE interactions ADD COLUMN medium TEXT NOT NULL DEFAULT 'voice'
    CHECK (medium IN ('voice', 'chat', 'email', 'work-item'));
