//! What the console was granted.

use sdk::{
    Env, HardwareAuditLog, LogReader, MachineInspector, ProcessControl, SystemControl, SystemInfo,
};
use terminal::Failure;

/// Whatever was granted; what was not is `None`, and the command that needs it says so.
pub struct Held {
    /// The machine's state.
    pub inspector: Option<MachineInspector>,
    /// Time and memory in total.
    pub info: Option<SystemInfo>,
    /// Ends processes.
    pub processes: Option<ProcessControl>,
    pub(crate) log: Option<LogReader>,
    pub(crate) control: Option<SystemControl>,
    pub(crate) audit: Option<HardwareAuditLog>,
}

/// Lines that came and were no commands: on a bad line, many.
#[derive(Clone, Copy, Default)]
pub struct Refused {
    /// Longer than the editor holds.
    pub too_long: u64,
    /// Not understood.
    pub unknown: u64,
}

impl Held {
    /// Takes whatever was granted.
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            inspector: env.get("machineInspector").ok(),
            info: env.get("systemInfo").ok(),
            processes: env.get("processControl").ok(),
            log: env.get("logReader").ok(),
            control: env.get("systemControl").ok(),
            audit: env.get("hardwareAuditLog").ok(),
        }
    }
}

/// The inspector, if it was granted.
///
/// # Errors
/// [`Failure::not_held`].
pub fn inspector(held: &Held) -> Result<&MachineInspector, Failure> {
    held.inspector
        .as_ref()
        .ok_or_else(|| Failure::not_held("MachineInspector"))
}

/// A place in a list, as the methods with 32 bits take it.
pub fn place(from: u64) -> u32 {
    u32::try_from(from).unwrap_or(u32::MAX)
}
