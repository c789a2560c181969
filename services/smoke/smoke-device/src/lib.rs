//! What programs here share that are themselves what supervises a disk's driver.
//!
//! Owns starting a driver with a device of its own. Invariant: it never restarts one by itself.
#![no_std]
#![forbid(unsafe_code)]

use sdk::process::process_spawner::{Grant, Limits};
use sdk::{
    CapArg, DeviceRegistry, Endpoint, Interface, Object as _, ProcessHandle, Refusal, Timer,
};
use smoke::Kit;

/// How a driver is started.
#[expect(missing_debug_implementations, reason = "a kit has none")]
pub struct Driver<'a> {
    /// What it is started with.
    pub kit: &'a Kit,
    /// Where its device comes from.
    pub registry: &'a DeviceRegistry,
    /// What it serves.
    pub endpoint: &'a Endpoint,
    /// The device's driver, of which the first function is taken.
    pub class: &'a str,
    /// Its program.
    pub binary: &'a str,
}

impl Driver<'_> {
    /// Starts one; what it is given is moved or copied, and the device is its alone. Waits for the end of the claim before.
    ///
    /// # Errors
    /// What refused.
    pub fn start(&self) -> Result<ProcessHandle, Refusal> {
        let device = self.registry.claim(self.class, 0)?.device;
        self.endpoint.renew()?;
        fn grant<I: Interface<sdk::Cap>>(name: &'static str, transfer: u16) -> Grant<'static> {
            Grant {
                name,
                interface_id: I::INTERFACE_ID,
                transfer,
                handle: 0,
            }
        }
        let grants = [
            grant::<Endpoint>("endpoint", 0),
            grant::<sdk::Device>("device", 1),
            grant::<Timer>("timer", 2),
        ];
        let transfers = [
            CapArg::copy(self.endpoint.object().handle()),
            device.into_cap(),
            CapArg::copy(self.kit.timer.object().handle()),
        ];
        let started = self.kit.spawner.spawn(
            "driver",
            self.binary,
            &[],
            &Limits::default(),
            &grants,
            &transfers,
        )?;
        Ok(started.process)
    }
}
