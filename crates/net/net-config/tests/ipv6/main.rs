//! IPv6 on an interface against scripted neighbours, routers and servers: what the RFCs say happens, and what must not.

mod addresses;
mod advertised;
mod forged;
mod given;
mod paths;
mod peer;
