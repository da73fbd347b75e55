//! The daemon between a Kubernetes API that misbehaves as told and a server that counts.

mod crashes;
mod scale;
mod setting;
mod trouble;
