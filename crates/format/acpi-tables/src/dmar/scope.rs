//! Device scopes: which devices a structure means (8.3.1).

use crate::Rule;
use le::checked;

/// Bytes before the path.
const FIXED_BYTES: usize = 6;
const STEP_BYTES: usize = 2;

/// What a scope's path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeKind {
    /// One function (type 1).
    Endpoint,
    /// A bridge and everything below it (type 2).
    Hierarchy,
    /// An I/O APIC (type 3).
    IoApic,
    /// An HPET that sends messages (type 4).
    Hpet,
    /// A device that only AML knows by name (type 5).
    Named,
    /// A type that this crate does not know.
    Unknown(u8),
}

/// One step of a path: the device and function on the bus that the steps before led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathStep {
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
}

/// One scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceScope<'a> {
    /// What it leads to.
    pub kind: ScopeKind,
    /// The I/O APIC's id, the HPET's or named device's number; else 0.
    pub enumeration_id: u8,
    /// The bus where the path starts.
    pub start_bus: u8,
    path: &'a [u8],
}

impl<'a> DeviceScope<'a> {
    /// Visits the steps of the path, one at least: each but the last is a bridge.
    pub fn path(&self) -> impl ExactSizeIterator<Item = PathStep> + Clone + 'a {
        self.path.chunks_exact(STEP_BYTES).map(|step| PathStep {
            device: step.first().copied().unwrap_or(0),
            function: step.get(1).copied().unwrap_or(0),
        })
    }
}

/// The walk over the scopes of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes<'a>(&'a [u8]);

impl<'a> Iterator for Scopes<'a> {
    type Item = DeviceScope<'a>;

    fn next(&mut self) -> Option<DeviceScope<'a>> {
        // `check_scopes` saw every scope decode, so an error here only ends the walk.
        let (scope, rest) = next_scope(self.0).ok()?;
        self.0 = rest;
        Some(scope)
    }
}

/// Checks that all of `bytes` are scopes.
pub(super) fn check_scopes(bytes: &[u8]) -> Result<Scopes<'_>, Rule> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = next_scope(rest)?.1;
    }
    Ok(Scopes(bytes))
}

fn next_scope(bytes: &[u8]) -> Result<(DeviceScope<'_>, &[u8]), Rule> {
    let (Some(kind), Some(length)) = (checked::u8(bytes, 0), checked::u8(bytes, 1)) else {
        return Err(Rule::EntryOverrun);
    };
    let length = usize::from(length);
    if length < FIXED_BYTES + STEP_BYTES || !(length - FIXED_BYTES).is_multiple_of(STEP_BYTES) {
        return Err(Rule::EntryLength);
    }
    let (scope, rest) = bytes.split_at_checked(length).ok_or(Rule::EntryOverrun)?;
    let scope = DeviceScope {
        kind: match kind {
            1 => ScopeKind::Endpoint,
            2 => ScopeKind::Hierarchy,
            3 => ScopeKind::IoApic,
            4 => ScopeKind::Hpet,
            5 => ScopeKind::Named,
            other => ScopeKind::Unknown(other),
        },
        enumeration_id: checked::u8(scope, 4).ok_or(Rule::EntryLength)?,
        start_bus: checked::u8(scope, 5).ok_or(Rule::EntryLength)?,
        path: scope.get(FIXED_BYTES..).ok_or(Rule::EntryLength)?,
    };
    if scope
        .path()
        .any(|step| step.device > 31 || step.function > 7)
    {
        return Err(Rule::Field);
    }
    Ok((scope, rest))
}
