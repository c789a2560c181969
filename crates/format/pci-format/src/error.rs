//! What a refused layout says about itself.

use core::fmt;

/// The rule that a function's configuration space, or a request about it, broke.
///
/// The device causes all of them, but for [`Rule::Subregion`], [`Rule::MsixIndex`], [`Rule::MessageAddress`] and
/// [`Rule::NotReadable`], which are the caller's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The function does not answer, or stopped answering.
    Absent,
    /// The header type has no layout that this crate knows, or not the one that was asked for.
    HeaderKind,
    /// A capability pointer points into the header.
    CapabilityBelowHeader,
    /// A capability pointer is no multiple of 4.
    CapabilityMisaligned,
    /// A capability list comes back to a place it has been at.
    CapabilityLoop,
    /// A capability structure reaches past the end of its configuration space.
    CapabilityOverrun,
    /// A capability that can exist only once is there twice.
    CapabilityDuplicate,
    /// There are more extended capabilities than this crate is willing to walk.
    CapabilityTooMany,
    /// A capability holds a value that its specification reserves.
    CapabilityField,
    /// A BAR has a reserved type, or its type changed under it.
    BarType,
    /// A 64-bit BAR starts in the last slot.
    BarSlot,
    /// A BAR's size is zero, no power of two, or absurd.
    BarSize,
    /// A BAR's address is no multiple of its size, or its end lies outside the address space.
    BarAddress,
    /// Two BARs of one function claim the same addresses.
    BarOverlap,
    /// A register did not take back the value it had before sizing.
    BarRestore,
    /// MSI-X table or pending bits lie outside a memory BAR, or on one another.
    MsixRegion,
    /// A bridge's bus numbers contradict one another or its place.
    BusRange,
    /// A range was asked for that does not lie inside its BAR.
    Subregion,
    /// An MSI-X vector was asked for that the table does not have.
    MsixIndex,
    /// A message address that the structure cannot hold, or no multiple of 4.
    MessageAddress,
    /// A dword was asked for that providers may not read.
    NotReadable,
}

impl Rule {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::HeaderKind => "header-kind",
            Self::CapabilityBelowHeader => "capability-below-header",
            Self::CapabilityMisaligned => "capability-misaligned",
            Self::CapabilityLoop => "capability-loop",
            Self::CapabilityOverrun => "capability-overrun",
            Self::CapabilityDuplicate => "capability-duplicate",
            Self::CapabilityTooMany => "capability-too-many",
            Self::CapabilityField => "capability-field",
            Self::BarType => "bar-type",
            Self::BarSlot => "bar-slot",
            Self::BarSize => "bar-size",
            Self::BarAddress => "bar-address",
            Self::BarOverlap => "bar-overlap",
            Self::BarRestore => "bar-restore",
            Self::MsixRegion => "msix-region",
            Self::BusRange => "bus-range",
            Self::Subregion => "subregion",
            Self::MsixIndex => "msix-index",
            Self::MessageAddress => "message-address",
            Self::NotReadable => "not-readable",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refused layout: the rule, and the offset in configuration space of what broke it.
///
/// Printed as `capability-loop at 0x40`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The rule.
    pub rule: Rule,
    /// Offset in bytes of the register that broke it, or of the structure that the request was about.
    pub offset: u16,
}

impl ConfigError {
    pub(crate) const fn new(rule: Rule, offset: u16) -> Self {
        Self { rule, offset }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", self.rule, self.offset)
    }
}

impl core::error::Error for ConfigError {}
