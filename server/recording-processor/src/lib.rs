//! Joins uploads and events into interactions.
