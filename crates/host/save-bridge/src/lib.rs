//! The bridge between saving and a cloud's store.
//!
//! Owns: a provider's credentials, which token stands for which tenant and profile, and what each may use. Its clients
//! hold a token and nothing else; a token says neither which provider there is nor which tenant it stands for.
//!
//! Invariant: never gives a credential to a client, never takes a tenant or a profile from one, never serves a store
//! that ignores the conditions of writes, and never asks a provider for what a tenant may not use any more.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod http;
pub mod provider;
pub mod random;
pub mod serve;
