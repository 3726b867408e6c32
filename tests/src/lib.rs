//! Programs that prove the product end to end.
