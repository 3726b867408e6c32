//! The process as the kernel sees it.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Files are the owner's only; memory with keys in it never becomes a file or another process's.
pub fn harden() {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Neither can fail for a process that only lowers its own rights.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Takes as many file descriptors as the host allows.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// File descriptors that the host allows; `None`: no limit.
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}
