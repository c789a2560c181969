//! What firmware and devices say.

use acpi_tables::{
    Dmar, DmarStructure, Fadt, Hpet, Ivrs, IvrsBlock, Madt, Mcfg, PhysReader, ReadError, Root,
    Rsdp, Signature, Table, Viot, ViotNode, find_s5,
};
use iommu_format::{
    Activation, Backend, FirmwareTables, Policy, Probe, Record, amd, decide, intel,
};
use mp_tables::{MpTable, find_table};
use pci_format::{
    AdvancedFeatures, BarSet, BusNumbers, CapabilityList, ConfigAccess, ConfigFilter,
    FunctionReset, HeaderKind, Pcie, ambiguous, cap_id, quiesce, read_advanced, read_capabilities,
    read_extended, read_function, read_msi, read_msix, read_pcie, read_power, read_virtio,
    size_bars, size_rom,
};
use units::Bdf;

const SIGNATURES: [&[u8; 4]; 9] = [
    b"APIC", b"MCFG", b"FACP", b"HPET", b"DMAR", b"IVRS", b"DSDT", b"XSDT", b"VIOT",
];

/// The first byte says which table, and, in bit 7, that the rest is a whole table with its header as it is. Else a
/// header with the right length and checksum is put before the rest.
pub fn acpi(data: &[u8]) -> bool {
    let Some((selector, rest)) = data.split_first() else {
        return false;
    };
    let signature = SIGNATURES[usize::from(selector & 0x7f) % SIGNATURES.len()];
    let bytes = match selector & 0x80 {
        0 => sealed(signature, rest),
        _ => rest.to_vec(),
    };
    read_table(&bytes)
}

fn sealed(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.resize(36, 1);
    bytes.extend_from_slice(body);
    bytes[9] = 0;
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

/// Whether some reader takes the table.
fn read_table(bytes: &[u8]) -> bool {
    let mut taken = false;
    if let Ok(madt) = Madt::parse(bytes) {
        taken = true;
        let ids: Vec<u32> = madt.processors().map(|one| one.apic_id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(ids.len(), unique.len(), "each processor is listed once");
        assert!(madt.entries().count() >= ids.len());
        for line in 0..=255 {
            madt.isa_source(line);
        }
    }
    if let Ok(mcfg) = Mcfg::parse(bytes) {
        taken = true;
        for window in mcfg.windows() {
            assert!(window.start().as_u64() + window.length_bytes() <= 1 << 52);
        }
    }
    taken |= Fadt::parse(bytes).is_ok() | Hpet::parse(bytes).is_ok();
    if let Ok(table) = Table::parse(bytes, Signature::DSDT) {
        taken |= find_s5(&table).is_ok_and(|found| found.is_some());
    }
    taken | read_units(bytes)
}

/// Whether some reader takes the table as one of remapping units.
fn read_units(bytes: &[u8]) -> bool {
    let dmar = Dmar::parse(bytes);
    let ivrs = Ivrs::parse(bytes);
    let viot = Viot::parse(bytes);
    let taken = dmar.is_ok() | ivrs.is_ok() | viot.is_ok();
    if let Ok(dmar) = &dmar {
        let scopes = dmar.structures().map(|one| match one {
            DmarStructure::Unit(unit) => unit.scopes.count(),
            DmarStructure::Reserved(range) => range.scopes.count(),
            DmarStructure::Devices(list) => list.scopes.count(),
            _ => 0,
        });
        assert_eq!(scopes.sum::<usize>(), dmar.counts().scopes);
    }
    if let Ok(ivrs) = &ivrs {
        let entries = ivrs.blocks().map(|block| match block {
            IvrsBlock::Unit(unit) => unit.devices.count(),
            _ => 0,
        });
        assert_eq!(entries.sum::<usize>(), ivrs.counts().device_entries);
    }
    if let Ok(viot) = &viot {
        let units = viot
            .nodes()
            .filter(|(_, node)| matches!(node, ViotNode::PciUnit(..) | ViotNode::MmioUnit(_)));
        assert!(units.count() <= viot.nodes().count());
    }
    for record in [
        FirmwareTables {
            dmar: Some(dmar),
            ..FirmwareTables::default()
        },
        FirmwareTables {
            ivrs: Some(ivrs),
            ..FirmwareTables::default()
        },
        FirmwareTables {
            viot: Some(viot),
            ..FirmwareTables::default()
        },
    ] {
        let record = Record::new(record, &[]);
        for bdf in [0, 0x10, 0x1_00ff] {
            record.cover(Bdf::from_u32(bdf), &[]);
        }
        let decision = decide(Policy::Auto, Probe::of(&record), Activation::NONE);
        assert_eq!(decision.backend, Backend::Bounce);
    }
    taken
}

/// Memory from 0x1000 on, with a root pointer at its start.
struct Memory<'a>(&'a [u8]);

impl PhysReader for Memory<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let start = address.checked_sub(0x1000).ok_or(ReadError)?;
        let start = usize::try_from(start).map_err(|_| ReadError)?;
        let end = start.checked_add(buffer.len()).ok_or(ReadError)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(ReadError)?);
        Ok(())
    }
}

/// The input is memory, beginning with the root pointer.
pub fn acpi_walk(data: &[u8]) -> bool {
    let _ = Rsdp::parse(data);
    let memory = Memory(data);
    let Ok(root) = Root::locate(&memory, 0x1000) else {
        return false;
    };
    let mut taken = false;
    let mut buffer = vec![0; 4096];
    for table in root.tables(&memory).flatten() {
        if let Ok(copied) = table.copy(&memory, &mut buffer) {
            taken |= read_table(copied.bytes());
        }
        let _ = root.find_unique(&memory, table.signature);
    }
    taken
}

/// The input is a MultiProcessor table, whose checksum is made right, and also an area where its pointer is looked for.
pub fn mp_table(data: &[u8]) -> bool {
    let _ = find_table(data);
    let mut bytes = data.to_vec();
    if let Some(checksum) = bytes.get_mut(7) {
        *checksum = 0;
        bytes[7] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
    let Ok(table) = MpTable::parse(&bytes) else {
        return false;
    };
    let _ = table.io_apics().count();
    for interrupt in table.interrupts() {
        let _ = table.is_pci(interrupt.bus);
    }
    for device in 0..32 {
        for pin in 0..6 {
            let _ = table.pin(0, device, pin);
        }
    }
    true
}

const BDF: Bdf = Bdf::from_u32(0x0310);

/// One function: dwords, and which of their bits can be written.
struct Space {
    dwords: Vec<u32>,
    writable: u32,
    bytes: u16,
}

impl ConfigAccess for Space {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        let inside = bdf == BDF && offset < self.bytes && offset.is_multiple_of(4);
        let value = self.dwords.get(usize::from(offset / 4)).copied();
        value.filter(|_| inside).unwrap_or(u32::MAX)
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        let writable = match offset {
            0x04 => 0x0000_0547,
            0x10..0x28 | 0x30 | 0x38 => self.writable.rotate_left(u32::from(offset)),
            _ => 0x8001_ffff,
        };
        if bdf != BDF || offset >= self.bytes {
            return;
        }
        if let Some(dword) = self.dwords.get_mut(usize::from(offset / 4)) {
            *dword = *dword & !writable | value & writable;
        }
    }

    fn space_bytes(&self, _: Bdf) -> u16 {
        self.bytes
    }
}

impl Space {
    fn of(kind: u8, writable: [u8; 4], content: &[u8]) -> Self {
        let mut dwords: Vec<u32> = content
            .chunks(4)
            .map(|piece| {
                let mut bytes = [0; 4];
                bytes[..piece.len()].copy_from_slice(piece);
                u32::from_le_bytes(bytes)
            })
            .collect();
        dwords.resize(1024, 0);
        Self {
            dwords,
            writable: u32::from_le_bytes(writable),
            bytes: if kind & 1 == 0 { 256 } else { 4096 },
        }
    }
}

/// Five bytes: bit 0 of the first gives the function 4096 bytes instead of 256, the others are a pattern of address
/// bits that can be written. The rest is configuration space; what is missing reads as zeros.
pub fn pci(data: &[u8]) -> bool {
    let Some((&[kind, a, b, c, d], rest)) = data.split_first_chunk::<5>() else {
        return false;
    };
    let mut space = Space::of(kind, [a, b, c, d], rest);
    let Some(info) = read_function(&space, BDF) else {
        return false;
    };
    let before = space.dwords.clone();
    let report = quiesce(&mut space, &info);
    assert_eq!(
        space.dwords[4..10],
        before[4..10],
        "BARs stay when a function is silenced"
    );
    assert!(report.is_some() || space.dwords == before);
    if info.is_endpoint() {
        assert_eq!(space.dwords[1] & 4, 0, "bus mastering is off");
    }
    if let Some(numbers) = BusNumbers::read(&space, &info) {
        let all = [numbers];
        let _ = (numbers.fault(&all), ambiguous(BDF, &all));
    }
    let _ = size_rom(&mut space, &info);
    let bars = size_bars(&mut space, BDF, info.header);
    if let Ok(bars) = &bars {
        for bar in bars.iter() {
            assert!(bar.size_bytes.is_power_of_two());
            assert!(bar.address.checked_add(bar.size_bytes).is_some());
            assert!(bar.subregion(bar.size_bytes, 1).is_err());
        }
    }
    if matches!(info.header, HeaderKind::Unknown(_)) {
        assert!(bars.is_err());
    }
    let Ok(list) = read_capabilities(&space, BDF, info.header) else {
        return false;
    };
    let (pcie, advanced) = capabilities(&mut space, &list, bars.as_ref().ok());
    if let Ok(bars) = &bars {
        virtio(&space, &list, bars);
    }
    if let Some(reset) = FunctionReset::of(pcie, advanced) {
        let _ = reset.transactions_pending(&space, BDF);
        assert!(reset.initiate(&mut space, BDF));
    }
    if let Ok(extended) = read_extended(&space, BDF) {
        let filter = ConfigFilter::new(&space, &info, &list, &extended);
        for offset in (0..4096).step_by(4) {
            let _ = filter.read(&space, offset);
        }
    }
    judge(&space);
    true
}

/// What the capabilities of a function say; two of them tell how it is reset.
fn capabilities(
    space: &mut Space,
    list: &CapabilityList,
    bars: Option<&BarSet>,
) -> (Option<Pcie>, Option<AdvancedFeatures>) {
    let (mut pcie, mut advanced) = (None, None);
    for found in list.as_slice().iter().copied() {
        match found.id {
            cap_id::MSI => {
                if let Ok(msi) = read_msi(space, BDF, found) {
                    msi.disable(space, BDF);
                    assert!(!msi.is_enabled(space, BDF));
                }
            }
            cap_id::MSIX => {
                if let Some(bars) = bars
                    && let Ok(msix) = read_msix(space, BDF, found, bars)
                {
                    let last = msix.entry_offset(msix.vectors - 1);
                    assert!(last.is_ok() && msix.entry_offset(msix.vectors).is_err());
                }
            }
            cap_id::PCIE => pcie = read_pcie(space, BDF, found).ok(),
            cap_id::ADVANCED_FEATURES => advanced = read_advanced(space, BDF, found).ok(),
            cap_id::POWER => {
                let _ = read_power(space, BDF, found).map(|power| power.state(space, BDF));
            }
            _ => {}
        }
    }
    (pcie, advanced)
}

/// Where a virtio function would keep its registers.
fn virtio(space: &Space, list: &CapabilityList, bars: &BarSet) {
    let found = list.find(cap_id::MSIX);
    let msix = found.and_then(|found| read_msix(space, BDF, found, bars).ok());
    let Some(regions) = read_virtio(space, BDF, list, bars, msix.as_ref()) else {
        return;
    };
    let all = [regions.common, regions.notify, regions.isr];
    for one in all.into_iter().chain(regions.device) {
        let bar = bars.get(one.bar).expect("a BAR that is there");
        assert!(bar.is_memory() && bar.subregion(one.offset, one.length_bytes).is_ok());
        assert!(!msix.is_some_and(|msix| msix.touches(one.bar, one.offset, one.length_bytes)));
    }
}

/// Registers of remapping units, out of the same bytes.
fn judge(space: &Space) {
    let at = |index: usize| space.dwords.get(index).copied().unwrap_or(0);
    let wide = |index: usize| u64::from(at(index)) | u64::from(at(index + 1)) << 32;
    let values = intel::Values {
        version: at(0),
        capability: wide(2),
        extended: wide(4),
        status: at(7),
    };
    if let Ok(found) = intel::judge(&values, 4096) {
        assert!((39..=57).contains(&found.address_bits) && found.domains.is_power_of_two());
    }
    let header = amd::Header {
        header: at(16),
        base_low: at(17),
        base_high: at(18),
    };
    let _ = amd::judge_header(&header, wide(17) & !0x3fff);
    let _ = amd::judge(&amd::Values {
        control: wide(6),
        features: wide(12),
    });
}
