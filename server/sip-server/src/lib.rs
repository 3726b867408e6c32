//! Registrar, B2BUA and recording control.
