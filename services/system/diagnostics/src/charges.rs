//! What processes hold.

use sdk::alloc::{
    string::{String, ToString},
    vec::Vec,
};
use terminal::Failure;

use crate::held::{Held, inspector};
use crate::output::collect;

/// What a process holds, copied out of a message.
pub struct Charge {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    pub(crate) pages: (u32, u32),
    pub(crate) threads: (u32, u32),
    pub(crate) endpoints: (u32, u32),
    pub(crate) facets: (u32, u32),
    /// Places of its handle table in use.
    pub handles: u32,
    /// Places that it may use.
    pub handles_limit: u32,
    /// Places set aside for a transfer under way.
    pub handles_reserved: u32,
    /// Places worn out for good.
    pub handles_retired: u32,
}

/// What every process holds.
///
/// # Errors
/// The inspector's.
pub fn charges(held: &Held) -> Result<Vec<Charge>, Failure> {
    let inspector = inspector(held)?;
    collect("processes", |from| {
        inspector
            .charges(from, |results| {
                let mut list = Vec::new();
                for c in results.list()?.iter() {
                    list.push(Charge {
                        id: c.id(),
                        name: c.name()?.to_string(),
                        pages: (c.pages(), c.pages_limit()),
                        threads: (c.threads(), c.threads_limit()),
                        endpoints: (c.endpoints(), c.endpoints_limit()),
                        facets: (c.facets(), c.facets_limit()),
                        handles: c.handles(),
                        handles_limit: c.handles_limit(),
                        handles_reserved: c.handles_reserved(),
                        handles_retired: c.handles_retired(),
                    });
                }
                Ok((results.next(), list))
            })
            .and_then(|r| r)
    })
}
