//! Register access in the name of a provider: default-deny windows, and read-only mappings.

use audit_format::{Event, Kind};
use dma_ledger::{
    Access, BarRange, Claim, MapTarget, MappingId, PAGE_BYTES, Protection, RegisterWindow,
};
use driver_core::{Broker, Mappable, Ports, Registers, Window};
use ring_abi::{Refusal, narrow};
use sabotage::sabotage;

use crate::function::Function;
use crate::hardware::Hardware;
use crate::{DeviceManager, Mapping, Platform};

/// What a holder may know of a BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmioInfo {
    /// Bytes it decodes.
    pub bytes: u64,
    /// Pages that may be mapped.
    pub mappable_pages: u32,
}

impl<P: Platform> DeviceManager<P> {
    /// Describes a BAR. Of ports nothing is mappable.
    ///
    /// # Errors
    /// Those of the claim; `OutOfRange` for a BAR that is none or has no address, and for ports that the broker does not
    /// use.
    pub fn mmio_info(&self, claim: &Claim, bar: u8) -> Result<MmioInfo, Refusal> {
        let turn = self.turn(claim)?;
        turn.function.record.check(claim)?;
        let hardware = turn.at.hardware;
        let found = hardware.bars.get(bar);
        let found = found.filter(|one| one.is_assigned());
        let found = found.ok_or(Refusal::OutOfRange)?;
        if !found.is_memory() {
            ports(&turn.function, bar)?;
            return Ok(MmioInfo {
                bytes: found.size_bytes,
                mappable_pages: 0,
            });
        }
        let bytes = found.size_bytes;
        let pages = mappable(&turn.function)
            .iter()
            .filter(|one| one.bar == bar)
            .map(|one| mappable_pages(hardware, one))
            .sum();
        Ok(MmioInfo {
            bytes,
            mappable_pages: pages,
        })
    }

    /// Reads a register in a range that the broker lists as readable, in memory or among its ports.
    ///
    /// # Errors
    /// Those of the claim; `BadArgument` for a width (ports have none of 8); `OutOfRange`, `Misaligned`; `WindowRefused`.
    pub fn mmio_read(
        &self,
        claim: &Claim,
        bar: u8,
        offset: u64,
        width: u8,
    ) -> Result<u64, Refusal> {
        let turn = self.turn(claim)?;
        let function = &*turn.function;
        let access = Access { bar, offset, width };
        let readable = broker(function).map_or(&[][..], |one| &one.access().readable);
        let ranges = readable
            .iter()
            .map(|&(bar, offset, bytes)| BarRange { bar, offset, bytes });
        function.record.admit_read(claim, access, ranges)?;
        refuse_table(turn.at.hardware, access)?;
        if let Ok(ports) = ports(function, bar) {
            return read_port(ports, access);
        }
        read(function.mapped.bar(bar)?, access)
    }

    /// Writes a register that the broker declared as a window, and reads it back. No port is written in a provider's name.
    ///
    /// # Errors
    /// As [`Self::mmio_read`]; `WindowRefused` also for a value that the window does not take: nothing is written then.
    pub fn mmio_write(
        &self,
        claim: &Claim,
        bar: u8,
        offset: u64,
        width: u8,
        value: u64,
    ) -> Result<u64, Refusal> {
        let turn = self.turn(claim)?;
        let function = &*turn.function;
        let access = Access { bar, offset, width };
        let windows = broker(function).map_or(&[][..], |one| one.access().windows);
        let declared = windows.iter().map(as_register_window);
        let window = function.record.admit_write(claim, access, declared);
        let window = match window {
            Err(Refusal::WindowRefused) if sabotage!(WRITE_ANYWHERE) => Ok(RegisterWindow {
                register: access,
                mask: u64::MAX,
                allowed: |_| true,
            }),
            decided => decided,
        };
        let window = window?;
        refuse_table(turn.at.hardware, access)?;
        let registers = function.mapped.bar(bar)?;
        let admitted = window.admit(read(registers, access)?, value);
        if !sabotage!(WRITE_ANY_BIT) {
            admitted?;
        }
        write(registers, access, value)?;
        read(registers, access)
    }

    /// Makes an object that maps whole register pages read-only: pages that the broker lists, minus every page with a
    /// byte of MSI-X table or pending bits, whatever the broker says.
    ///
    /// # Errors
    /// Those of the claim; `ZeroLength`, `OutOfRange`, `Misaligned`; `WindowRefused`; `OverBudget`, `NoMemory`.
    pub fn mmio_map(
        &self,
        claim: &Claim,
        bar: u8,
        offset: u64,
        bytes: u64,
    ) -> Result<(MappingId, P::Mapping), Refusal> {
        let mut turn = self.turn(claim)?;
        let function = &mut *turn.function;
        let listed = mappable(function);
        let ranges = listed.iter().map(|one| BarRange {
            bar: one.bar,
            offset: one.offset,
            bytes: one.bytes,
        });
        let ranges = ranges.chain(sabotage!(MAP_ANY_PAGE).then_some(BarRange {
            bar,
            offset: 0,
            bytes: u64::MAX,
        }));
        let window = BarRange { bar, offset, bytes };
        // The hold is on the object; the object knows the address spaces.
        let target = MapTarget {
            space: 0,
            address: 0,
        };
        if let Some(held) = &mut function.held {
            held.views.make_room()?;
        }
        let record = &mut function.record;
        let id = record.map_registers(claim, window, Protection::READ, target, ranges)?;
        let made = record.mapping(claim, id).map(|held| held.bytes);
        let made = made.and_then(|bytes| self.share_pages(turn.at.hardware, bar, offset, bytes));
        match (made, &mut function.held) {
            (Ok(mapping), Some(held)) => {
                held.views.add(id, mapping.clone());
                let mapped = Event::new(Kind::RegistersMapped).value(bytes);
                let mapped = mapped.object(id.index(), id.generation());
                turn.at.tell(Some(claim), mapped);
                Ok((id, mapping))
            }
            (made, _) => {
                let _ = record.release_mapping(id);
                made.and(Err(Refusal::WrongState))
            }
        }
    }

    fn share_pages(
        &self,
        hardware: &Hardware,
        bar: u8,
        offset: u64,
        bytes: u64,
    ) -> Result<P::Mapping, Refusal> {
        if hardware
            .msix
            .is_some_and(|msix| msix.touches(bar, offset, bytes))
        {
            return Err(Refusal::WindowRefused);
        }
        let found = hardware.bars.get(bar).filter(|one| one.is_memory());
        let found = found.ok_or(Refusal::WindowRefused)?;
        let physical = found
            .subregion(offset, bytes)
            .map_err(|_| Refusal::OutOfRange)?;
        // A BAR below a page shares its page with somebody else's registers.
        if !physical.is_multiple_of(PAGE_BYTES) {
            return Err(Refusal::WindowRefused);
        }
        let pages = narrow(bytes / PAGE_BYTES)?;
        self.machine
            .platform
            .share_registers(physical, pages)
            .ok_or(Refusal::NoMemory)
    }

    /// Ends a mapping of register pages, in every address space.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn mmio_unmap(&self, claim: &Claim, mapping: MappingId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let view = {
            let mut turn = at.turn();
            turn.function.record.mapping(claim, mapping)?;
            let view = turn.function.held()?.views.take(mapping);
            // A mapping that is no register view is a buffer's, which goes with its buffer.
            view.ok_or(Refusal::WrongKind)?
        };
        let _ = view.revoke();
        // A teardown that began meanwhile has released it already.
        let _ = at.turn().function.record.release_mapping(mapping);
        let unmapped = Event::new(Kind::RegistersUnmapped);
        let unmapped = unmapped.object(mapping.index(), mapping.generation());
        at.tell(Some(claim), unmapped);
        Ok(())
    }
}

fn broker<P: Platform>(function: &Function<P>) -> Option<&dyn Broker> {
    function.held.as_ref()?.driven.broker()
}

fn mappable<P: Platform>(function: &Function<P>) -> &'static [Mappable] {
    broker(function).map_or(&[][..], |one| one.access().mappable)
}

fn mappable_pages(hardware: &Hardware, listed: &Mappable) -> u32 {
    let free = |page: &u64| {
        let at = listed.offset + page * PAGE_BYTES;
        !hardware
            .msix
            .is_some_and(|msix| msix.touches(listed.bar, at, PAGE_BYTES))
    };
    let pages = (0..listed.bytes / PAGE_BYTES).filter(free).count();
    u32::try_from(pages).unwrap_or(u32::MAX)
}

/// The table holds message addresses: it is nobody's but the kernel's.
fn refuse_table(hardware: &Hardware, access: Access) -> Result<(), Refusal> {
    let Access { bar, offset, width } = access;
    match hardware.msix {
        Some(msix) if msix.touches(bar, offset, u64::from(width)) => Err(Refusal::WindowRefused),
        _ => Ok(()),
    }
}

const fn as_register_window(window: &Window) -> RegisterWindow {
    RegisterWindow {
        register: Access {
            bar: window.bar,
            offset: window.offset,
            width: window.width,
        },
        mask: window.mask,
        allowed: window.allowed,
    }
}

fn ports<P: Platform>(function: &Function<P>, bar: u8) -> Result<&Ports, Refusal> {
    let held = function.held.as_ref();
    held.ok_or(Refusal::OutOfRange)?.driven.ports(bar)
}

fn read_port(ports: &Ports, access: Access) -> Result<u64, Refusal> {
    let at = narrow(access.offset)?;
    Ok(match access.width {
        1 => ports.read8(at)?.into(),
        2 => ports.read16(at)?.into(),
        4 => ports.read32(at)?.into(),
        _ => return Err(Refusal::BadArgument),
    })
}

fn read(registers: &Registers, access: Access) -> Result<u64, Refusal> {
    let at = narrow(access.offset)?;
    Ok(match access.width {
        1 => registers.read8(at)?.into(),
        2 => registers.read16(at)?.into(),
        4 => registers.read32(at)?.into(),
        8 => registers.read64(at)?,
        _ => return Err(Refusal::BadArgument),
    })
}

fn write(registers: &Registers, access: Access, value: u64) -> Result<(), Refusal> {
    let at = narrow(access.offset)?;
    match access.width {
        1 => registers.write8(at, value as u8)?,
        2 => registers.write16(at, value as u16)?,
        4 => registers.write32(at, value as u32)?,
        8 => registers.write64(at, value)?,
        _ => return Err(Refusal::BadArgument),
    }
    Ok(())
}
