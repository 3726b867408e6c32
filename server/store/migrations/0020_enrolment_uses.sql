-- A code may be good for several devices: a silent installation of many desktops has one string.
ALTER TABLE enrolment_codes ADD COLUMN uses_left INTEGER NOT NULL DEFAULT 1;
UPDATE enrolment_codes SET uses_left = 0 WHERE used_at IS NOT NULL;
