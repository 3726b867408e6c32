//! The sealed recording: CMS envelope and Tink stream; bytes in, bytes out.
