//! How a virtio-iommu is reached: the structures of a modern virtio function (Virtio 1.2, 4.1.4).

use iommu_format::{Capabilities, UnitFault, virtio};
use mmio::Registers;
use pci_format::{
    BarSet, Command, ConfigAccess, VIRTIO_VENDOR, VirtioRegion, cap_id, read_capabilities,
    read_function, read_msix, read_virtio, size_bars, update_command,
};
use units::Bdf;
use virtio_format::iommu::{self, Config};
use virtio_format::registers::common;
use virtio_format::ring::Layout;
use virtio_format::{NO_VECTOR, feature, id, status};

use crate::MapFn;
use crate::queue::NoAnswer;
use crate::terms::NotOn;

/// How often the status is read until a reset shows.
const RESET_READS: u32 = 10_000;
const PAGE_MASK: u64 = 4095;

/// Where the device is told of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doorbell {
    at: usize,
    queue: u16,
}

impl Doorbell {
    /// Nowhere.
    pub(crate) const NONE: Self = Self {
        at: usize::MAX,
        queue: 0,
    };
}

/// The registers of a unit.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) common: Registers,
    pub(crate) notify: Registers,
    pub(crate) multiplier: u32,
    pub(crate) device: Registers,
}

/// Finds a unit's registers, and judges it. It is reset, and does nothing.
pub(crate) fn look(
    function: Option<Bdf>,
    config: &mut dyn ConfigAccess,
    map: MapFn,
    in_memory: &dyn Fn(u64, u64) -> bool,
) -> Result<(Capabilities, Transport), UnitFault> {
    // One that is no PCI function is reached in a way that this kernel does not know.
    let bdf = function.ok_or(UnitFault::Capability)?;
    let info = read_function(config, bdf).ok_or(UnitFault::Silent)?;
    if (info.id.vendor, info.id.device) != (VIRTIO_VENDOR, id::IOMMU) {
        return Err(UnitFault::Capability);
    }
    let list = read_capabilities(config, bdf, info.header).map_err(|_| UnitFault::Capability)?;
    let bars = size_bars(config, bdf, info.header).map_err(|_| UnitFault::Address)?;
    let msix = list.find(cap_id::MSIX);
    let msix = msix.and_then(|found| read_msix(config, bdf, found, &bars).ok());
    let regions = read_virtio(config, bdf, &list, &bars, msix.as_ref());
    let regions = regions.ok_or(UnitFault::Capability)?;
    let decoding = update_command(config, bdf, Command::MEMORY_SPACE, Command::empty());
    if !decoding.contains(Command::MEMORY_SPACE) {
        return Err(UnitFault::Unmappable);
    }
    let open = |region: VirtioRegion| open(&bars, region, map, in_memory);
    let transport = Transport {
        common: open(regions.common)?,
        notify: open(regions.notify)?,
        multiplier: regions.notify_multiplier,
        device: open(regions.device.ok_or(UnitFault::Capability)?)?,
    };
    let found = transport.judge()?;
    Ok((found, transport))
}

fn open(
    bars: &BarSet,
    region: VirtioRegion,
    map: MapFn,
    in_memory: &dyn Fn(u64, u64) -> bool,
) -> Result<Registers, UnitFault> {
    let bar = bars.get(region.bar).ok_or(UnitFault::Address)?;
    let start = bar.subregion(region.offset, region.length_bytes);
    let start = start.map_err(|_| UnitFault::Address)?;
    let first = start & !PAGE_MASK;
    let end = (start + region.length_bytes + PAGE_MASK) & !PAGE_MASK;
    if in_memory(first, end - first) {
        return Err(UnitFault::InMemory);
    }
    let base = map(first, end - first).ok_or(UnitFault::Unmappable)?;
    let short = |bytes: u64| usize::try_from(bytes).map_err(|_| UnitFault::Unmappable);
    let (offset, bytes) = (short(start - first)?, short(region.length_bytes)?);
    // SAFETY: `map` gave a page-aligned, uncached mapping that holds `bytes` from `offset` on, which it never takes back.
    Ok(unsafe { Registers::new(base.add(offset), bytes) })
}

impl Transport {
    fn judge(&self) -> Result<Capabilities, UnitFault> {
        let silent = |_| UnitFault::Silent;
        let before = self.status().map_err(silent)?;
        if before == status::GONE || self.reset().is_err() {
            return Err(UnitFault::Silent);
        }
        let outside = |_| UnitFault::RegisterRange;
        virtio::judge(&virtio::Values {
            before,
            status: self.status().map_err(silent)?,
            features: self.features().map_err(outside)?,
            config: self.config().map_err(outside)?,
        })
    }

    /// Its status byte.
    pub(crate) fn status(&self) -> Result<u8, NoAnswer> {
        Ok(self.common.read8(common::STATUS as usize)?)
    }

    fn set_status(&self, value: u8) -> Result<(), NoAnswer> {
        Ok(self.common.write8(common::STATUS as usize, value)?)
    }

    /// Has it forget everything, and do nothing.
    pub(crate) fn reset(&self) -> Result<(), NoAnswer> {
        self.set_status(0)?;
        for _ in 0..RESET_READS {
            if self.status()? == 0 {
                return Ok(());
            }
            cpu::relax();
        }
        Err(NoAnswer)
    }

    /// What it offers.
    pub(crate) fn features(&self) -> Result<u64, NoAnswer> {
        let mut features = 0;
        for half in [1, 0] {
            self.common
                .write32(common::DEVICE_FEATURE_SELECT as usize, half)?;
            let word = self.common.read32(common::DEVICE_FEATURE as usize)?;
            features = features << 32 | u64::from(word);
        }
        Ok(features)
    }

    /// Agrees on features.
    pub(crate) fn accept(&self, features: u64) -> Result<(), NotOn> {
        debug_assert_eq!(features & feature::ACCESS_PLATFORM, 0);
        self.set_status(status::ACKNOWLEDGE)?;
        self.set_status(status::ACKNOWLEDGE | status::DRIVER)?;
        for (half, word) in [(0, features as u32), (1, (features >> 32) as u32)] {
            let written = self
                .common
                .write32(common::DRIVER_FEATURE_SELECT as usize, half)
                .and_then(|()| self.common.write32(common::DRIVER_FEATURE as usize, word));
            written.map_err(NoAnswer::from)?;
        }
        self.settle(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK)
    }

    /// Lets it run.
    pub(crate) fn start(&self) -> Result<(), NotOn> {
        let agreed = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        self.settle(agreed | status::DRIVER_OK)
    }

    fn settle(&self, value: u8) -> Result<(), NotOn> {
        self.set_status(value)?;
        match self.status()? == value {
            true => Ok(()),
            false => Err(NotOn::ReadsBack),
        }
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> Result<Config, NoAnswer> {
        let at = |field: u64, more: u64| (field + more) as usize;
        let half = |field, more| self.device.read32(at(field, more));
        let wide = |field, more| -> Result<u64, NoAnswer> {
            let low = u64::from(half(field, more)?);
            Ok(u64::from(half(field, more + 4)?) << 32 | low)
        };
        use iommu::config::{BYPASS, DOMAINS, INPUT, PAGE_SIZES, PROBE_BYTES};
        Ok(Config {
            page_sizes: wide(PAGE_SIZES, 0)?,
            input: (wide(INPUT, 0)?, wide(INPUT, 8)?),
            domains: (half(DOMAINS, 0)?, half(DOMAINS, 4)?),
            probe_bytes: half(PROBE_BYTES, 0)?,
            // Devices without the feature may not have the field.
            bypass: self.device.read8(BYPASS as usize).unwrap_or(0),
        })
    }

    /// Says whether functions without a domain pass, and reads that back.
    pub(crate) fn set_bypass(&self, value: u8) -> Result<(), NotOn> {
        let at = iommu::config::BYPASS as usize;
        self.device.write8(at, value).map_err(NoAnswer::from)?;
        match self.device.read8(at) {
            Ok(back) if back == value => Ok(()),
            _ => Err(NotOn::ReadsBack),
        }
    }

    /// Gives it a queue that begins at an address.
    pub(crate) fn set_queue(&self, queue: u16, layout: Layout, at: u64) -> Result<Doorbell, NotOn> {
        let registers = &self.common;
        let field = |at: u64| at as usize;
        let set16 = |at: u64, value: u16| -> Result<(), NotOn> {
            registers
                .write16(field(at), value)
                .map_err(NoAnswer::from)?;
            let back = registers.read16(field(at)).map_err(NoAnswer::from)?;
            (back == value).then_some(()).ok_or(NotOn::ReadsBack)
        };
        set16(common::QUEUE_SELECT, queue)?;
        set16(common::QUEUE_SIZE, layout.size())?;
        let parts = [
            (common::QUEUE_DESC, at),
            (common::QUEUE_DRIVER, at + layout.available() as u64),
            (common::QUEUE_DEVICE, at + layout.used() as u64),
        ];
        for (place, address) in parts {
            let written = registers
                .write32(field(place), address as u32)
                .and_then(|()| registers.write32(field(place + 4), (address >> 32) as u32));
            written.map_err(NoAnswer::from)?;
        }
        set16(common::QUEUE_VECTOR, NO_VECTOR)?;
        let offset = registers.read16(field(common::QUEUE_NOTIFY_OFF));
        let offset = u64::from(offset.map_err(NoAnswer::from)?);
        let at = usize::try_from(offset * u64::from(self.multiplier)).unwrap_or(usize::MAX);
        if at.checked_add(2).is_none_or(|end| end > self.notify.len()) {
            return Err(NotOn::ReadsBack);
        }
        set16(common::QUEUE_ENABLE, 1)?;
        Ok(Doorbell { at, queue })
    }

    /// Tells it that a queue has something.
    pub(crate) fn notify(&self, doorbell: Doorbell) -> Result<(), NoAnswer> {
        Ok(self.notify.write16(doorbell.at, doorbell.queue)?)
    }
}
