//! What tests of several crates need: everything that can be real is real.

mod port;

pub mod artifact;
pub mod fake;
pub mod faults;
pub mod https;
pub mod identity_provider;
pub mod jwt;
pub mod keys;
pub mod origin;
pub mod s3;
pub mod sshd;
