//! What a virtio-iommu says of itself (Virtio 1.2, 5.13), as far as it tells whether it can be used.

use virtio_format::{feature, iommu};

use crate::{Capabilities, UnitFault};

/// What its registers held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// Features that it offers.
    pub features: u64,
    /// Its status byte after a reset.
    pub status: u8,
    /// Its status byte before that.
    pub before: u8,
    /// Its configuration.
    pub config: iommu::Config,
}

/// Features that are accepted where they are offered; everything else stays off.
pub const WANTED: u64 = feature::VERSION_1
    | iommu::F_INPUT_RANGE
    | iommu::F_DOMAIN_RANGE
    | iommu::F_MAP_UNMAP
    | iommu::F_PROBE
    | iommu::F_BYPASS_CONFIG;

/// Device addresses that domains use: all below 4 GiB but page 0.
const USED: (u64, u64) = (4096, 0xffff_ffff);

/// Judges a unit.
///
/// # Errors
/// - `Silent`: its status is not 0 after a reset;
/// - `Version`: it does not follow version 1 of the specification;
/// - `Features`: it cannot be told what to map, its answers are longer than 1 KiB, or its own requests are translated by whatever else there is;
/// - `AddressWidths`: its pages are not of 4 KiB, or there are device addresses below 4 GiB that it does not have;
/// - `Domains`: it has not two of them.
pub const fn judge(values: &Values) -> Result<Capabilities, UnitFault> {
    let (features, config) = (values.features, &values.config);
    if values.status != 0 {
        return Err(UnitFault::Silent);
    }
    if features & feature::VERSION_1 == 0 {
        return Err(UnitFault::Version);
    }
    if features & iommu::F_MAP_UNMAP == 0 || features & feature::ACCESS_PLATFORM != 0 {
        return Err(UnitFault::Features);
    }
    if features & iommu::F_PROBE != 0 && config.probe_bytes > iommu::MAX_PROBE_BYTES as u32 {
        return Err(UnitFault::Features);
    }
    let (first, last) = config.input(features);
    let pages = config.page_sizes.trailing_zeros() == 12;
    if !pages || first > USED.0 || last < USED.1 {
        return Err(UnitFault::AddressWidths);
    }
    let (first, last) = config.domains(features);
    if last <= first {
        return Err(UnitFault::Domains);
    }
    let domains = (last - first).saturating_add(1);
    Ok(Capabilities {
        version: (1, 2),
        address_bits: (u64::BITS - config.input(features).1.leading_zeros()) as u8,
        domains,
        interrupt_remapping: false,
        queued_invalidation: true,
        translating: values.before & virtio_format::status::DRIVER_OK != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Values = Values {
        features: WANTED,
        status: 0,
        before: 0,
        config: iommu::Config {
            page_sizes: !0xfff,
            input: (0, u64::MAX),
            domains: (0, u32::MAX),
            probe_bytes: 512,
            bypass: 1,
        },
    };

    #[test]
    fn an_emulated_unit_is_good() {
        let found = judge(&GOOD).unwrap();
        assert_eq!((found.address_bits, found.domains), (64, u32::MAX));
        assert!(!found.interrupt_remapping && !found.translating);
        let mut in_use = GOOD;
        in_use.before = 0xf;
        assert!(judge(&in_use).unwrap().translating);
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |change: fn(&mut Values)| {
            let mut values = GOOD;
            change(&mut values);
            judge(&values).err()
        };
        assert_eq!(fault(|_| ()), None);
        assert_eq!(fault(|one| one.status = 0xff), Some(UnitFault::Silent));
        assert_eq!(fault(|one| one.features = 0), Some(UnitFault::Version));
        let no_map = |one: &mut Values| one.features &= !iommu::F_MAP_UNMAP;
        assert_eq!(fault(no_map), Some(UnitFault::Features));
        let below = |one: &mut Values| one.features |= feature::ACCESS_PLATFORM;
        assert_eq!(fault(below), Some(UnitFault::Features));
        let long = |one: &mut Values| one.config.probe_bytes = 1025;
        assert_eq!(fault(long), Some(UnitFault::Features));
        for sizes in [0, 1 << 16, !0x7ff, u64::MAX] {
            let mut other = GOOD;
            other.config.page_sizes = sizes;
            assert_eq!(judge(&other), Err(UnitFault::AddressWidths), "{sizes:#x}");
        }
        for input in [(8192, u64::MAX), (0, 0xffff_fffe), (5, 4), (0, 0)] {
            let mut other = GOOD;
            other.config.input = input;
            assert_eq!(judge(&other), Err(UnitFault::AddressWidths), "{input:?}");
            // Without the feature the field means nothing.
            other.features &= !iommu::F_INPUT_RANGE;
            assert!(judge(&other).is_ok());
        }
        for domains in [(7, 7), (9, 3)] {
            let mut other = GOOD;
            other.config.domains = domains;
            assert_eq!(judge(&other), Err(UnitFault::Domains), "{domains:?}");
        }
    }
}
