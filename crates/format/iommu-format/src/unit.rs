//! One remapping unit, from the table's word to the register's.

/// Who designed a unit, which decides how its registers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vendor {
    /// VT-d, listed by DMAR.
    Intel,
    /// AMD-Vi, listed by IVRS: the requester id of its function and the offset of its capability there.
    Amd {
        /// Requester id on the unit's segment.
        device_id: u16,
        /// Offset of the capability.
        capability_offset: u16,
    },
    /// A virtio-iommu, listed by VIOT: its function, where it is one.
    Virtio {
        /// Where its registers are told of; `None` where it is no PCI function.
        function: Option<units::Bdf>,
    },
}

impl Vendor {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intel => "vt-d",
            Self::Amd { .. } => "amd-vi",
            Self::Virtio { .. } => "virtio-iommu",
        }
    }

    /// Whether such units judge interrupts too. Below others any function can raise any.
    pub const fn judges_interrupts(self) -> bool {
        !matches!(self, Self::Virtio { .. })
    }
}

/// What a unit can do, as its registers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// Version of the architecture, major and minor.
    pub version: (u8, u8),
    /// Widest device address that a domain can have, in bits.
    pub address_bits: u8,
    /// Domains that it tells apart.
    pub domains: u32,
    /// It can remap interrupts.
    pub interrupt_remapping: bool,
    /// Invalidations go through a queue.
    pub queued_invalidation: bool,
    /// It translates already: firmware turned it on.
    pub translating: bool,
}

/// Why a unit is not to be used. Firmware or the device causes all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitFault {
    /// Its registers are said to lie in memory that the system uses.
    InMemory,
    /// Its registers cannot be mapped.
    Unmappable,
    /// Its registers read as all ones or all zeros: nothing answers.
    Silent,
    /// The version is none that this crate knows.
    Version,
    /// It offers no page-table depth that is defined, or a reserved one.
    AddressWidths,
    /// It offers a number of domains that is reserved.
    Domains,
    /// It puts registers outside of where it says that its registers are.
    RegisterRange,
    /// The function that the table names has no such capability.
    Capability,
    /// The capability and the table say different things of where the registers are.
    Address,
    /// It does not offer what it would be driven by.
    Features,
}

impl UnitFault {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InMemory => "in-memory",
            Self::Unmappable => "unmappable",
            Self::Silent => "silent",
            Self::Version => "version",
            Self::AddressWidths => "address-widths",
            Self::Domains => "domains",
            Self::RegisterRange => "register-range",
            Self::Capability => "capability",
            Self::Address => "address",
            Self::Features => "features",
        }
    }
}

/// What became of the look at a unit's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitStatus {
    /// They have not been looked at: the table is not to be used.
    Unread,
    /// They are not to be believed, or not there.
    Refused(UnitFault),
    /// They make sense.
    Verified(Capabilities),
}

/// One unit as the record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitRecord {
    /// Whose it is.
    pub vendor: Vendor,
    /// The segment group it serves.
    pub segment: u16,
    /// Physical address of its registers.
    pub base: u64,
    /// Bytes of registers.
    pub register_bytes: u64,
    /// It serves every function of its segment that no other unit lists.
    pub include_all: bool,
    /// What its registers say.
    pub status: UnitStatus,
}
