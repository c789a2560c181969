//! Disks: their shape, and requests on their way through them.

mod engine;
mod geometry;
mod retry;

pub use engine::{Engine, Finished, MAX_REQUESTS, Request};
pub use geometry::{Commands, Geometry, Operation};
pub use retry::{MAX_RETRIES, Refused};
