//! The broker of virtio block devices.
//!
//! Owns the header and the status byte of each request, and a copy of the disk's size that the device cannot change.
//! Everything else is `virtio-transport`'s.
//!
//! Invariant: a request never names a sector past that size, never writes a disk that cannot be written, and its length is
//! the sum of its segments, in whole sectors.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;

use driver_core::{
    Broker, BrokerIo, Direction, DriverEntry, Opcode, PciMatch, Probed, Refusal, Segment, Transfer,
};
use sabotage::sabotage;
use virtio_format::blk::{self, Clear, Kind, Limits, Request, TemplateError};
use virtio_format::feature::VERSION_1;
use virtio_format::id;
use virtio_transport::{Class, Config, Device, Finished, HEADER_BYTES, Header, Plan, total};

/// The modern and the transitional device.
pub const MATCHES: &[PciMatch] = &[
    PciMatch::id(VENDOR, id::BLK),
    PciMatch::id(VENDOR, id::BLK_TRANSITIONAL),
];

const VENDOR: u16 = 0x1af4;

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "virtio-blk",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    Ok(driver_core::boxed(Device::new(Disk::UNKNOWN, probed)?)?)
}

/// What the device said before it ran.
struct Disk {
    limits: Limits,
    longest: u32,
    most: u16,
}

impl Disk {
    const UNKNOWN: Self = Self {
        limits: Limits {
            sectors: 0,
            read_only: true,
            flush: false,
            discard: false,
            zero: false,
        },
        longest: 0,
        most: 0,
    };
}

impl Class for Disk {
    const QUEUES: u16 = 1;
    const FEATURES: u64 = blk::F_SIZE_MAX
        | blk::F_SEG_MAX
        | blk::F_GEOMETRY
        | blk::F_RO
        | blk::F_BLK_SIZE
        | blk::F_FLUSH
        | blk::F_TOPOLOGY
        | blk::F_DISCARD
        | blk::F_WRITE_ZEROES;
    const ALWAYS: u64 = blk::F_SIZE_MAX | blk::F_SEG_MAX | blk::F_RO;
    const CONFIG_BYTES: u64 = blk::config::BYTES;

    fn learn(&mut self, config: &mut Config<'_>, features: u64) -> Result<(), Refusal> {
        let has = |bits| features & bits == bits;
        let limit = |bit, at| match has(bit) {
            true => config.read32(at).map(|value| value.max(1)),
            false => Ok(u32::MAX),
        };
        let most = limit(blk::F_SEG_MAX, blk::config::SEG_MAX)?;
        *self = Self {
            limits: Limits {
                sectors: config.read64(blk::config::CAPACITY)?,
                read_only: has(blk::F_RO),
                flush: has(blk::F_FLUSH),
                // Header and range are one piece, which devices from before version 1 need not take (5.2.6.1).
                discard: has(blk::F_DISCARD | VERSION_1),
                zero: has(blk::F_WRITE_ZEROES | VERSION_1),
            },
            longest: limit(blk::F_SIZE_MAX, blk::config::SIZE_MAX)?,
            most: u16::try_from(most).unwrap_or(u16::MAX),
        };
        Ok(())
    }

    fn plan(&self, _: u16, template: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        let request = match blk::parse(template, &self.limits) {
            Err(_) if sabotage!(VIRTIO_ANY_TEMPLATE) => blk::Request {
                kind: Kind::In,
                sector: 0,
            },
            parsed => parsed.map_err(refusal)?,
        };
        self.checked(request, segments)
    }

    fn form(&self, _: u16, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        if transfer.unit != 0 {
            return Err(Refusal::TemplateRefused);
        }
        let kind = match transfer.opcode {
            Opcode::Read => Kind::In,
            // The device knows no durable writes: a flush follows.
            Opcode::Write | Opcode::WriteThrough => Kind::Out,
            Opcode::Flush => Kind::Flush,
            Opcode::Discard => return self.clear(Clear::Discard, transfer),
            Opcode::Zero => return self.clear(Clear::Zero, transfer),
        };
        let sector = transfer.block;
        let request = Request { kind, sector };
        let parsed = blk::parse(&request.to_bytes(), &self.limits);
        self.checked(parsed.map_err(refusal)?, transfer.data.as_slice())
    }

    fn finish(
        &mut self,
        _: &mut dyn BrokerIo,
        _: u16,
        finished: Finished,
    ) -> Result<(u16, u32), Refusal> {
        if !matches!(finished.status, blk::S_OK | blk::S_IOERR | blk::S_UNSUPP) {
            return Err(Refusal::Corrupt);
        }
        // The status byte is among what the device wrote.
        let bytes = finished.written.saturating_sub(1);
        Ok((u16::from(finished.status), bytes))
    }
}

impl Disk {
    /// Lays a request out whose segments go the way that it goes and are as long as it may be.
    fn checked(&self, request: Request, segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        let direction = match request.kind {
            Kind::Out => Direction::ToDevice,
            Kind::In | Kind::Flush | Kind::GetId => Direction::FromDevice,
        };
        let bytes = total(segments, direction)?;
        if !sabotage!(VIRTIO_SKIP_LENGTH_CHECK) {
            blk::check_length(request, u64::from(bytes), &self.limits).map_err(refusal)?;
        }
        Ok(self.lay_out(request))
    }

    /// Lays out a request that has no data. What it is about lies in the header's piece, where no provider reaches.
    fn clear(&self, what: Clear, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        let cleared = blk::clear(what, transfer.block, transfer.length, &self.limits);
        let bytes = cleared.map_err(refusal)?;
        Ok(self.laid_out(bytes, bytes.len()))
    }

    fn lay_out(&self, request: Request) -> Plan {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..blk::HEADER_BYTES].copy_from_slice(&request.to_bytes());
        self.laid_out(bytes, blk::HEADER_BYTES)
    }

    const fn laid_out(&self, bytes: [u8; HEADER_BYTES], length: usize) -> Plan {
        Plan {
            header: Some(Header {
                bytes,
                length: length as u8,
                device_writes: false,
            }),
            status: true,
            longest: self.longest,
            most: self.most,
        }
    }
}

const fn refusal(error: TemplateError) -> Refusal {
    match error {
        TemplateError::Size | TemplateError::Kind | TemplateError::Bits => Refusal::TemplateRefused,
        TemplateError::Length => Refusal::LengthMismatch,
        TemplateError::Range => Refusal::OutOfRange,
        TemplateError::ReadOnly => Refusal::ReadOnly,
    }
}
