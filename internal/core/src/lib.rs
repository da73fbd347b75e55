//! Domain types and rules of the release platform. No I/O and nothing async:
//! everything here is a value or a pure function of values.

pub mod artifact;
pub mod commit_message;
pub mod dora;
mod error;
pub mod event;
pub mod gate;
pub mod intent;
pub mod name;
pub mod person;
pub mod policy;
pub mod rollout;
mod secret;

pub use artifact::Spec;
pub use error::full_message;
pub use event::Event;
pub use intent::Intent;
pub use name::{Name, NameError};
pub use person::Person;
pub use secret::Secret;
