//! Finding interactions by agent, number and time.
