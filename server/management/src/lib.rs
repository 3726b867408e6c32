//! Site configuration: persons, DNs and recording policy.
