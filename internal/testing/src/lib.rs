//! What tests of several crates need: everything that can be real is real.

pub mod artifact;
pub mod control_plane;
pub mod fake;
pub mod faults;
mod guarded;
pub mod https;
pub mod identity_provider;
pub mod jwt;
pub mod keys;
pub mod kubernetes;
pub mod origin;
pub mod otlp;
mod port;
pub mod proxy;
pub mod rabbitmq;
pub mod s3;
pub mod sshd;
