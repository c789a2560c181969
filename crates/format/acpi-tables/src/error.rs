//! What a refused table says about itself.

use core::fmt;

/// The four characters that name a table. Printed as ASCII, other bytes as `.`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Signature([u8; 4]);

impl Signature {
    /// Root pointer; its real signature has eight characters, this is its name in errors.
    pub const RSDP: Self = Self(*b"RSDP");
    /// Root table with 32-bit addresses.
    pub const RSDT: Self = Self(*b"RSDT");
    /// Root table with 64-bit addresses.
    pub const XSDT: Self = Self(*b"XSDT");
    /// MADT: the interrupt controllers.
    pub const MADT: Self = Self(*b"APIC");
    /// MCFG: the memory-mapped PCI configuration windows.
    pub const MCFG: Self = Self(*b"MCFG");
    /// FADT: the fixed hardware registers.
    pub const FADT: Self = Self(*b"FACP");
    /// DSDT: the first AML table.
    pub const DSDT: Self = Self(*b"DSDT");
    /// HPET: the high-precision event timer.
    pub const HPET: Self = Self(*b"HPET");
    /// DMAR: Intel's DMA remapping units.
    pub const DMAR: Self = Self(*b"DMAR");
    /// IVRS: AMD's I/O virtualisation units.
    pub const IVRS: Self = Self(*b"IVRS");
    /// VIOT: units that a hypervisor offers.
    pub const VIOT: Self = Self(*b"VIOT");

    /// Wraps four bytes.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Returns the four bytes.
    pub const fn as_bytes(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            let shown = if byte.is_ascii_graphic() { byte } else { b'.' };
            fmt::Write::write_char(f, char::from(shown))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// The rule that a table broke. Firmware, or whoever supplied the table, causes every one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The memory that should hold the table cannot be read.
    Unreadable,
    /// The table does not carry the signature expected of it.
    Signature,
    /// The table says it is shorter than its fixed fields, or fewer bytes are there than it says.
    Truncated,
    /// The table is longer than [`crate::MAX_TABLE_BYTES`] or than the buffer it is to be copied to.
    TooLong,
    /// The bytes of the table do not sum to zero.
    Checksum,
    /// The table holds more entries of one kind than this crate is willing to walk.
    TooMany,
    /// An entry's length is zero or does not fit its kind.
    EntryLength,
    /// An entry reaches past the end of the table.
    EntryOverrun,
    /// A bus range ends before it starts.
    BusRange,
    /// An address is zero, misaligned or too wide for what it should point at.
    Address,
    /// Two entries claim the same thing: an address, an identifier or a bus.
    Overlap,
    /// A field holds a value that its specification reserves.
    Field,
    /// Two entries stand in an order that leaves open which of them counts.
    Order,
    /// A range starts and does not end, or ends and did not start.
    Unpaired,
    /// Two tables carry this signature and say different things.
    Duplicate,
    /// Registers are said to lie in memory that the system uses. Only the kernel, which knows the memory, finds this out.
    InMemory,
}

impl Rule {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Signature => "signature",
            Self::Truncated => "truncated",
            Self::TooLong => "too-long",
            Self::Checksum => "checksum",
            Self::TooMany => "too-many",
            Self::EntryLength => "entry-length",
            Self::EntryOverrun => "entry-overrun",
            Self::BusRange => "bus-range",
            Self::Address => "address",
            Self::Overlap => "overlap",
            Self::Field => "field",
            Self::Order => "order",
            Self::Unpaired => "unpaired",
            Self::Duplicate => "duplicate",
            Self::InMemory => "in-memory",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refused table: which one, and the rule it broke. Printed as `MCFG: bus-range`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableError {
    /// The table that was expected there.
    pub table: Signature,
    /// The rule it broke.
    pub rule: Rule,
}

impl TableError {
    pub(crate) const fn new(table: Signature, rule: Rule) -> Self {
        Self { table, rule }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.rule)
    }
}

impl core::error::Error for TableError {}
