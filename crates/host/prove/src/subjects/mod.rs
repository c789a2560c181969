//! The subjects: production code, and what must hold of it.

pub mod account;
pub mod bell;
pub mod call;
pub mod dma;
pub mod domain;
pub mod entries;
pub mod handles;
mod kept;
pub mod mapping;
pub mod prp;
pub mod queue;
pub mod ring;
