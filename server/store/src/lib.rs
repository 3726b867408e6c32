//! Database, objects and the event log.
