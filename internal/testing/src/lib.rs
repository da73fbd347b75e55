//! Dev-only harness of the tests: real repositories and real archives.

pub mod origin;
