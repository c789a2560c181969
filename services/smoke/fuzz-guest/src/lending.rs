//! What one service has no room for among its grants: another is granted it, and lends it.

use sdk::{
    Cap, CapArg, Env, Error, Interface, Object, Refusal,
    alloc::vec::Vec,
    process::{console, system_control},
    storage::boot_medium,
};
use smoke::{Probe, lend_probe};

/// What ends the machine: few attackers get it.
pub const RARE: &str = "systemControl";

/// What is lent, by name and interface, by the number that asks for it.
const LENT: [(&str, u64); 4] = [
    ("console", console::INTERFACE_ID),
    ("rawConsole", console::INTERFACE_ID),
    ("bootMedium", boot_medium::INTERFACE_ID),
    (RARE, system_control::INTERFACE_ID),
];

/// One capability that was lent.
pub struct Lent {
    name: &'static str,
    interface: u64,
    cap: Cap,
}

impl Lent {
    /// What ends the machine, if it is that.
    pub fn power(&self) -> Option<system_control::Client<Cap>> {
        let is_it = self.interface == system_control::INTERFACE_ID;
        is_it.then(|| system_control::Client::from_object(Cap::borrowed(self.cap.handle())))
    }

    /// As the entries of the startup page: name, interface id, handle.
    pub fn entry(&self) -> (&'static str, u64, u64) {
        (self.name, self.interface, self.cap.handle())
    }
}

/// Lends to whoever asks.
pub fn lend(env: &Env) -> Result<(), Error> {
    let handle = |name: &str| {
        let found = env.entries().find(|entry| entry.0 == name);
        found.map(|entry| CapArg::copy(entry.2))
    };
    let lent: Option<Vec<CapArg>> = LENT.iter().map(|(name, _)| handle(name)).collect();
    lend_probe(env, lent.ok_or(Refusal::NotFound)?, ())
}

/// Takes everything that is lent.
pub fn borrow(lender: &Probe) -> Result<Vec<Lent>, Refusal> {
    let take = |(number, (name, interface))| {
        Ok(Lent {
            name,
            interface,
            cap: lender.give(number)?.cap.into_object(),
        })
    };
    (0..).zip(LENT).map(take).collect()
}
