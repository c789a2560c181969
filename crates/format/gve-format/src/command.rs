//! Admin commands (`gve_adminq.h`): 64 bytes each, in a ring of one page; big-endian.

use crate::PAGE_BYTES;
use crate::be;
use crate::queue::{CreateRx, CreateTx, Resources};
use crate::refusal::Refusal;

/// Bytes of a command.
pub const COMMAND_BYTES: usize = 64;
/// Commands in the ring.
pub const COMMANDS: u32 = PAGE_BYTES / COMMAND_BYTES as u32;
/// Bytes of what a driver says of itself in VERIFY_DRIVER_COMPATIBILITY.
pub const DRIVER_INFO_BYTES: u64 = 304;
/// Bytes of the map of packet types: for each of 1024 types one byte for layer 3, one for layer 4.
pub const PTYPE_MAP_BYTES: u64 = 2048;
/// Where the status is in a command. The device writes it.
const STATUS: usize = 4;

/// Opcodes.
pub mod opcode {
    /// The device writes its descriptor.
    pub const DESCRIBE_DEVICE: u32 = 0x1;
    /// Counters, notification blocks and format.
    pub const CONFIGURE_RESOURCES: u32 = 0x2;
    /// Pages for a queue.
    pub const REGISTER_PAGE_LIST: u32 = 0x3;
    /// Pages taken back.
    pub const UNREGISTER_PAGE_LIST: u32 = 0x4;
    /// A transmit queue.
    pub const CREATE_TX: u32 = 0x5;
    /// A receive queue.
    pub const CREATE_RX: u32 = 0x6;
    /// The end of a transmit queue.
    pub const DESTROY_TX: u32 = 0x7;
    /// The end of a receive queue.
    pub const DESTROY_RX: u32 = 0x8;
    /// The end of counters and blocks.
    pub const DECONFIGURE_RESOURCES: u32 = 0x9;
    /// A parameter.
    pub const SET_PARAMETER: u32 = 0xb;
    /// Where statistics go.
    pub const REPORT_STATS: u32 = 0xc;
    /// The device writes the link's speed.
    pub const REPORT_LINK_SPEED: u32 = 0xd;
    /// DQO: the device writes what its packet types mean.
    pub const GET_PTYPE_MAP: u32 = 0xe;
    /// The driver says what it is, and the device whether that will do.
    pub const VERIFY_COMPATIBILITY: u32 = 0xf;
}

/// What became of a command: 0 while nothing has, 1 for success, the rest are failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u32);

impl Status {
    /// Not carried out yet.
    pub const UNSET: Self = Self(0);
    /// Carried out.
    pub const PASSED: Self = Self(1);
    /// There is one already.
    pub const ALREADY_EXISTS: Self = Self(0xffff_fff1);
    /// Not in this order.
    pub const FAILED_PRECONDITION: Self = Self(0xffff_fff5);
    /// The device's own fault.
    pub const INTERNAL_ERROR: Self = Self(0xffff_fff6);
    /// A field is wrong.
    pub const INVALID_ARGUMENT: Self = Self(0xffff_fff7);
    /// There is no such thing.
    pub const NOT_FOUND: Self = Self(0xffff_fff8);
    /// There is no more of it.
    pub const RESOURCE_EXHAUSTED: Self = Self(0xffff_fffc);
    /// The device does not know the command.
    pub const UNIMPLEMENTED: Self = Self(0xffff_fffe);

    /// A name for people.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "unset",
            1 => "passed",
            0xffff_fff0 => "aborted",
            0xffff_fff1 => "already-exists",
            0xffff_fff2 => "cancelled",
            0xffff_fff3 => "data-loss",
            0xffff_fff4 => "deadline-exceeded",
            0xffff_fff5 => "failed-precondition",
            0xffff_fff6 => "internal-error",
            0xffff_fff7 => "invalid-argument",
            0xffff_fff8 => "not-found",
            0xffff_fff9 => "out-of-range",
            0xffff_fffa => "permission-denied",
            0xffff_fffb => "unauthenticated",
            0xffff_fffc => "resource-exhausted",
            0xffff_fffd => "unavailable",
            0xffff_fffe => "unimplemented",
            0xffff_ffff => "unknown-error",
            _ => "no-status",
        }
    }

    /// Reads it from a command's bytes.
    pub fn read(command: &[u8; COMMAND_BYTES]) -> Self {
        Self(be::u32(command, STATUS))
    }

    /// The four bytes, and where in the command they go.
    pub const fn bytes(self) -> (u64, [u8; 4]) {
        (STATUS as u64, self.0.to_be_bytes())
    }
}

/// What SET_DRIVER_PARAMETER sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Parameter {
    /// The largest payload, in bytes.
    Mtu = 1,
}

/// One command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// The device writes its descriptor.
    DescribeDevice {
        /// Where to.
        address: u64,
        /// Version of the descriptor: [`crate::DESCRIPTOR_VERSION`].
        version: u32,
        /// Bytes there are.
        available: u32,
    },
    /// Counters, notification blocks and format.
    ConfigureResources(Resources),
    /// Pages for a queue.
    RegisterPageList {
        /// The list's number, chosen by the driver.
        list: u32,
        /// Pages in it.
        pages: u32,
        /// Address of the list: [`crate::pages`].
        address: u64,
        /// Bytes of a page; 0 from drivers that know pages of [`PAGE_BYTES`] alone (Linux 6.1).
        page_bytes: u64,
    },
    /// Pages taken back.
    UnregisterPageList {
        /// The list's number.
        list: u32,
    },
    /// A transmit queue.
    CreateTx(CreateTx),
    /// A receive queue.
    CreateRx(CreateRx),
    /// The end of a transmit queue: it reaches no memory afterwards.
    DestroyTx {
        /// Its number.
        queue: u32,
    },
    /// The end of a receive queue: it reaches no memory afterwards.
    DestroyRx {
        /// Its number.
        queue: u32,
    },
    /// The end of counters and blocks.
    DeconfigureResources,
    /// A parameter.
    SetParameter {
        /// Which.
        parameter: Parameter,
        /// Its value.
        value: u64,
    },
    /// Where statistics go.
    ReportStats {
        /// Bytes of the place; 0 to stop.
        bytes: u64,
        /// The place.
        address: u64,
        /// Milliseconds between reports.
        interval_ms: u64,
    },
    /// The device writes the link's speed: eight bytes, in Mbit/s.
    ReportLinkSpeed {
        /// Where to.
        address: u64,
    },
    /// DQO: the device writes what its packet types mean.
    GetPtypeMap {
        /// Bytes there are: [`PTYPE_MAP_BYTES`].
        bytes: u64,
        /// Where to.
        address: u64,
    },
    /// The driver says what it is.
    VerifyCompatibility {
        /// Bytes of what it says: [`DRIVER_INFO_BYTES`].
        bytes: u64,
        /// Where it says it.
        address: u64,
    },
}

impl Command {
    /// Its opcode.
    pub const fn opcode(&self) -> u32 {
        match self {
            Self::DescribeDevice { .. } => opcode::DESCRIBE_DEVICE,
            Self::ConfigureResources(_) => opcode::CONFIGURE_RESOURCES,
            Self::RegisterPageList { .. } => opcode::REGISTER_PAGE_LIST,
            Self::UnregisterPageList { .. } => opcode::UNREGISTER_PAGE_LIST,
            Self::CreateTx(_) => opcode::CREATE_TX,
            Self::CreateRx(_) => opcode::CREATE_RX,
            Self::DestroyTx { .. } => opcode::DESTROY_TX,
            Self::DestroyRx { .. } => opcode::DESTROY_RX,
            Self::DeconfigureResources => opcode::DECONFIGURE_RESOURCES,
            Self::SetParameter { .. } => opcode::SET_PARAMETER,
            Self::ReportStats { .. } => opcode::REPORT_STATS,
            Self::ReportLinkSpeed { .. } => opcode::REPORT_LINK_SPEED,
            Self::GetPtypeMap { .. } => opcode::GET_PTYPE_MAP,
            Self::VerifyCompatibility { .. } => opcode::VERIFY_COMPATIBILITY,
        }
    }

    /// Bytes of a command that mean something: its head, and what its opcode says. The rest is zero.
    const fn length(opcode: u32) -> Option<usize> {
        Some(match opcode {
            opcode::DECONFIGURE_RESOURCES => 8,
            opcode::UNREGISTER_PAGE_LIST | opcode::DESTROY_TX | opcode::DESTROY_RX => 12,
            opcode::REPORT_LINK_SPEED => 16,
            opcode::DESCRIBE_DEVICE
            | opcode::SET_PARAMETER
            | opcode::GET_PTYPE_MAP
            | opcode::VERIFY_COMPATIBILITY => 24,
            opcode::REGISTER_PAGE_LIST | opcode::REPORT_STATS => 32,
            opcode::CONFIGURE_RESOURCES | opcode::CREATE_TX | opcode::CREATE_RX => COMMAND_BYTES,
            _ => return None,
        })
    }

    /// Reads a command as a device gets it.
    ///
    /// # Errors
    /// `Opcode` for an unknown one; `Reserved` where a field that means nothing is not zero, the status among them;
    /// `Value` for a value that means nothing.
    pub fn read(bytes: &[u8; COMMAND_BYTES]) -> Result<Self, Refusal> {
        let opcode = be::u32(bytes, 0);
        let length = Self::length(opcode).ok_or(Refusal::Opcode(opcode))?;
        if Status::read(bytes) != Status::UNSET || !le::is_zero(bytes, length, COMMAND_BYTES) {
            return Err(Refusal::Reserved);
        }
        let (first, second) = (be::u64(bytes, 8), be::u64(bytes, 16));
        Ok(match opcode {
            opcode::DESCRIBE_DEVICE => Self::DescribeDevice {
                address: first,
                version: be::u32(bytes, 16),
                available: be::u32(bytes, 20),
            },
            opcode::CONFIGURE_RESOURCES => Self::ConfigureResources(Resources::read(bytes)?),
            opcode::REGISTER_PAGE_LIST => Self::RegisterPageList {
                list: be::u32(bytes, 8),
                pages: be::u32(bytes, 12),
                address: second,
                page_bytes: be::u64(bytes, 24),
            },
            opcode::UNREGISTER_PAGE_LIST => Self::UnregisterPageList {
                list: be::u32(bytes, 8),
            },
            opcode::CREATE_TX => Self::CreateTx(CreateTx::read(bytes)?),
            opcode::CREATE_RX => Self::CreateRx(CreateRx::read(bytes)?),
            opcode::DESTROY_TX => Self::DestroyTx {
                queue: be::u32(bytes, 8),
            },
            opcode::DESTROY_RX => Self::DestroyRx {
                queue: be::u32(bytes, 8),
            },
            opcode::DECONFIGURE_RESOURCES => Self::DeconfigureResources,
            opcode::SET_PARAMETER => Self::parameter(bytes)?,
            opcode::REPORT_STATS => Self::ReportStats {
                bytes: first,
                address: second,
                interval_ms: be::u64(bytes, 24),
            },
            opcode::REPORT_LINK_SPEED => Self::ReportLinkSpeed { address: first },
            opcode::GET_PTYPE_MAP => Self::GetPtypeMap {
                bytes: first,
                address: second,
            },
            _ => Self::VerifyCompatibility {
                bytes: first,
                address: second,
            },
        })
    }

    fn parameter(bytes: &[u8; COMMAND_BYTES]) -> Result<Self, Refusal> {
        if !le::is_zero(bytes, 12, 16) {
            return Err(Refusal::Reserved);
        }
        if be::u32(bytes, 8) != Parameter::Mtu as u32 {
            return Err(Refusal::Value);
        }
        Ok(Self::SetParameter {
            parameter: Parameter::Mtu,
            value: be::u64(bytes, 16),
        })
    }

    /// Writes it, with an unset status.
    pub fn bytes(&self) -> [u8; COMMAND_BYTES] {
        let mut bytes = [0; COMMAND_BYTES];
        be::put32(&mut bytes, 0, self.opcode());
        match self {
            Self::DescribeDevice {
                address,
                version,
                available,
            } => {
                be::put64(&mut bytes, 8, *address);
                be::put32(&mut bytes, 16, *version);
                be::put32(&mut bytes, 20, *available);
            }
            Self::ConfigureResources(resources) => resources.write(&mut bytes),
            Self::RegisterPageList {
                list,
                pages,
                address,
                page_bytes,
            } => {
                be::put32(&mut bytes, 8, *list);
                be::put32(&mut bytes, 12, *pages);
                be::put64(&mut bytes, 16, *address);
                be::put64(&mut bytes, 24, *page_bytes);
            }
            Self::UnregisterPageList { list: number }
            | Self::DestroyTx { queue: number }
            | Self::DestroyRx { queue: number } => be::put32(&mut bytes, 8, *number),
            Self::CreateTx(create) => create.write(&mut bytes),
            Self::CreateRx(create) => create.write(&mut bytes),
            Self::DeconfigureResources => {}
            Self::SetParameter { parameter, value } => {
                be::put32(&mut bytes, 8, *parameter as u32);
                be::put64(&mut bytes, 16, *value);
            }
            Self::ReportStats {
                bytes: length,
                address,
                interval_ms,
            } => {
                be::put64(&mut bytes, 8, *length);
                be::put64(&mut bytes, 16, *address);
                be::put64(&mut bytes, 24, *interval_ms);
            }
            Self::ReportLinkSpeed { address } => be::put64(&mut bytes, 8, *address),
            Self::GetPtypeMap {
                bytes: length,
                address,
            }
            | Self::VerifyCompatibility {
                bytes: length,
                address,
            } => {
                be::put64(&mut bytes, 8, *length);
                be::put64(&mut bytes, 16, *address);
            }
        }
        bytes
    }
}
