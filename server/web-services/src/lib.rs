//! HTTPS: sign-in, uploads, search, playback, the device link.
