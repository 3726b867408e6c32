//! Crash-safe spool directory and resumable uploader.
