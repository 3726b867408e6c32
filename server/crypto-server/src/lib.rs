//! Keys of the site: issue, unwrap, repair, audit.
