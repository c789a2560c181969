//! Which partition is meant, by what a table says of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Guid, Layout, Volume, VolumeKind};

/// What is known of the partition that is meant, and of the device that it lies on. Everything given must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The PCI address of the device: segment << 16, bus << 8, device << 3, function.
    pub pci: Option<u32>,
    /// Which of the device's namespaces.
    pub namespace: Option<u32>,
    /// It may be on a disk that capOS boots from.
    pub on_boot_disk: bool,
    /// The disk's own GUID, which a GPT has.
    pub disk: Option<Guid>,
    /// Its number.
    pub number: Option<u32>,
    /// Its own GUID.
    pub guid: Option<Guid>,
    /// The GUID of its type.
    pub kind: Option<Guid>,
    /// Its name, as the table has it.
    pub name: Option<String>,
}

/// Why no partition is the one that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The device is another one; its PCI address.
    OtherDevice(u32),
    /// The device has no such namespace.
    NoNamespace,
    /// capOS boots from this disk, and nobody said that it may be the one.
    BootDisk,
    /// The disk is another one; its GUID, where it has one.
    OtherDisk(Option<Guid>),
    /// No partition is so.
    Absent,
    /// These are so in part, and none is so in everything that is given.
    Contradicts(Vec<u32>),
    /// More than one is so.
    Ambiguous(Vec<u32>),
}

impl Selector {
    /// The partition of that number, or any.
    pub fn numbered(number: Option<u32>) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Whether nothing is given of what lies on the device, so that any partition may be meant, or all of it.
    pub fn is_empty(&self) -> bool {
        let of_device = Self {
            pci: self.pci,
            namespace: self.namespace,
            on_boot_disk: self.on_boot_disk,
            ..Self::default()
        };
        *self == of_device
    }

    /// Takes one word of a manifest: `pci=0000:00:05.0`, `namespace=N`, `boot-disk`, `disk=GUID`, `partition=N`,
    /// `partition-guid=GUID`, `partition-type=GUID` or `partition-name=TEXT`. `None`: it is none of them, or its value is no
    /// value for it.
    pub fn take(&mut self, word: &str) -> Option<()> {
        if word == "boot-disk" {
            self.on_boot_disk = true;
            return Some(());
        }
        let (name, value) = word.split_once('=')?;
        match name {
            "pci" => self.pci = Some(address(value)?),
            "namespace" => self.namespace = Some(value.parse().ok().filter(|number| *number > 0)?),
            "disk" => self.disk = Some(Guid::parse(value)?),
            "partition" => self.number = Some(value.parse().ok().filter(|number| *number > 0)?),
            "partition-guid" => self.guid = Some(Guid::parse(value)?),
            "partition-type" => self.kind = Some(Guid::parse(value)?),
            "partition-name" => self.name = Some(String::from(value)),
            _ => return None,
        }
        Some(())
    }

    /// Whether a device at this PCI address may be the one.
    ///
    /// # Errors
    /// [`Mismatch::OtherDevice`].
    pub fn admits(&self, pci: u32) -> Result<(), Mismatch> {
        match self.pci.is_none_or(|wanted| wanted == pci) {
            true => Ok(()),
            false => Err(Mismatch::OtherDevice(pci)),
        }
    }

    /// How much of what is given of the partition itself is so, and how much is given.
    fn agrees(&self, volume: &Volume) -> (usize, usize) {
        let (kind, guid) = match volume.kind {
            VolumeKind::Gpt {
                type_guid,
                unique_guid,
            } => (Some(type_guid), Some(unique_guid)),
            _ => (None, None),
        };
        let name = self.name.as_deref();
        let marks = [
            self.number.map(|number| number == volume.number),
            self.guid.map(|wanted| guid == Some(wanted)),
            self.kind.map(|wanted| kind == Some(wanted)),
            name.map(|name| name == volume.label.as_str()),
        ];
        let given = marks.iter().flatten().count();
        (
            marks.iter().flatten().filter(|is_so| **is_so).count(),
            given,
        )
    }

    /// The partitions that may be meant: one where anything is said of the partition itself, else all.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn select<'l>(&self, layout: &'l Layout) -> Result<Vec<&'l Volume>, Mismatch> {
        if self.disk.is_some() && self.disk != layout.disk {
            return Err(Mismatch::OtherDisk(layout.disk));
        }
        if layout.boots() && !self.on_boot_disk {
            return Err(Mismatch::BootDisk);
        }
        let in_table = || layout.volumes.iter().filter(|volume| volume.number != 0);
        let found: Vec<&Volume> = in_table()
            .filter(|volume| {
                let (agrees, given) = self.agrees(volume);
                agrees == given
            })
            .collect();
        let numbers = |volumes: &[&Volume]| volumes.iter().map(|volume| volume.number).collect();
        let says = self.number.is_some() || self.guid.is_some() || self.kind.is_some();
        if !says && self.name.is_none() {
            return Ok(found);
        }
        match found.len() {
            1 => Ok(found),
            0 => {
                let partly: Vec<&Volume> = in_table()
                    .filter(|volume| self.agrees(volume).0 > 0)
                    .collect();
                Err(match partly.is_empty() {
                    true => Mismatch::Absent,
                    false => Mismatch::Contradicts(numbers(&partly)),
                })
            }
            _ => Err(Mismatch::Ambiguous(numbers(&found))),
        }
    }
}

/// Reads `0000:00:05.0`.
fn address(text: &str) -> Option<u32> {
    let (rest, function) = text.split_once('.')?;
    let mut parts = rest.split(':');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(part, 16).ok()).flatten()
    };
    let (segment, bus, device) = (part(4)?, part(2)?, part(2)?);
    let function = match function.as_bytes() {
        [digit @ b'0'..=b'7'] => u32::from(digit - b'0'),
        _ => return None,
    };
    let fits = parts.next().is_none() && device < 32;
    fits.then_some(segment << 16 | bus << 8 | device << 3 | function)
}

/// A PCI address, as people write it.
struct Pci(u32);

impl fmt::Display for Pci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, bus) = (self.0 >> 16, self.0 >> 8 & 0xff);
        let (device, function) = (self.0 >> 3 & 0x1f, self.0 & 7);
        write!(f, "{segment:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

fn list(numbers: &[u32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, number) in numbers.iter().enumerate() {
        write!(f, "{}{number}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        let mut word = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let result = write!(f, "{gap}{text}");
            gap = " ";
            result
        };
        if let Some(pci) = self.pci {
            word(f, format_args!("pci={}", Pci(pci)))?;
        }
        if let Some(namespace) = self.namespace {
            word(f, format_args!("namespace={namespace}"))?;
        }
        if self.on_boot_disk {
            word(f, format_args!("boot-disk"))?;
        }
        if let Some(disk) = self.disk {
            word(f, format_args!("disk={disk}"))?;
        }
        if let Some(number) = self.number {
            word(f, format_args!("partition={number}"))?;
        }
        if let Some(guid) = self.guid {
            word(f, format_args!("partition-guid={guid}"))?;
        }
        if let Some(kind) = self.kind {
            word(f, format_args!("partition-type={kind}"))?;
        }
        if let Some(name) = &self.name {
            word(f, format_args!("partition-name={}", name.escape_debug()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherDevice(pci) => write!(f, "this is another device, at {}", Pci(*pci)),
            Self::NoNamespace => f.write_str("the device has no such namespace"),
            Self::BootDisk => f.write_str(
                "capOS boots from this disk, so it is not taken unless the manifest says boot-disk, too",
            ),
            Self::OtherDisk(Some(guid)) => write!(f, "this is another disk, {guid}"),
            Self::OtherDisk(None) => f.write_str("this is another disk, and one without a GUID"),
            Self::Absent => f.write_str("the disk has no such partition"),
            Self::Contradicts(numbers) => {
                f.write_str("not all of it is so of any partition, and some of it of ")?;
                list(numbers, f)
            }
            Self::Ambiguous(numbers) => {
                f.write_str("it is so of more than one partition: ")?;
                list(numbers, f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::{Label, Scheme};

    const DISK: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn guid(last: u8) -> Guid {
        let mut bytes = [0x5a; 16];
        bytes[15] = last;
        Guid(bytes)
    }

    fn volume(number: u32, kind: u8, name: &str) -> Volume {
        Volume {
            number,
            kind: VolumeKind::Gpt {
                type_guid: guid(kind),
                unique_guid: guid(number as u8),
            },
            first_lba: u64::from(number) * 100,
            blocks: 50,
            missing: 0,
            label: Label::from_utf16(name.encode_utf16()),
        }
    }

    fn layout() -> Layout {
        Layout {
            scheme: Scheme::Gpt,
            block_bytes: 512,
            disk: Guid::parse(DISK),
            volumes: vec![
                volume(1, 0x70, "boot"),
                volume(2, 0x71, "data"),
                volume(3, 0x71, "data"),
                volume(4, 0x71, "more"),
            ],
            refused: vec![],
            omitted: 0,
            besides: None,
        }
    }

    fn chosen(words: &str) -> Result<Vec<u32>, String> {
        let mut selector = Selector::default();
        for word in words.split_whitespace() {
            selector.take(word).ok_or_else(|| word.to_string())?;
        }
        assert_eq!(selector.to_string(), words);
        let layout = layout();
        let found = selector.select(&layout).map_err(|why| why.to_string())?;
        Ok(found.iter().map(|volume| volume.number).collect())
    }

    #[test]
    fn a_partition_is_found_by_whatever_is_said_of_it() {
        let four = guid(4);
        let kind = guid(0x70);
        assert_eq!(chosen(""), Ok(vec![1, 2, 3, 4]));
        assert_eq!(chosen("partition=3"), Ok(vec![3]));
        assert_eq!(
            chosen(&alloc::format!("partition-guid={four}")),
            Ok(vec![4])
        );
        assert_eq!(
            chosen(&alloc::format!("partition-type={kind}")),
            Ok(vec![1])
        );
        assert_eq!(chosen("partition-name=more"), Ok(vec![4]));
        assert_eq!(
            chosen(&alloc::format!(
                "disk={DISK} partition=2 partition-name=data"
            )),
            Ok(vec![2])
        );
        assert_eq!(chosen(&alloc::format!("disk={DISK}")), Ok(vec![1, 2, 3, 4]));
    }

    #[test]
    fn what_is_not_there_contradicts_or_fits_several_is_told_apart() {
        let wrong = |words: &str| chosen(words).unwrap_err();
        let kind = guid(0x71);
        assert_eq!(wrong("partition=9"), "the disk has no such partition");
        assert_eq!(
            wrong("partition-name=Data"),
            "the disk has no such partition"
        );
        assert_eq!(
            wrong("partition-name=data"),
            "it is so of more than one partition: 2, 3"
        );
        assert_eq!(
            wrong(&alloc::format!("partition-type={kind}")),
            "it is so of more than one partition: 2, 3, 4"
        );
        assert_eq!(
            wrong("partition=1 partition-name=more"),
            "not all of it is so of any partition, and some of it of 1, 4"
        );
        let other = DISK.replace("00", "01");
        assert_eq!(
            wrong(&alloc::format!("disk={other} partition=1")),
            alloc::format!("this is another disk, {DISK}")
        );
    }

    #[test]
    fn a_device_is_named_by_its_address_and_a_boot_disk_by_a_word_of_its_own() {
        assert_eq!(chosen("pci=0001:02:1f.7 namespace=7"), Ok(vec![1, 2, 3, 4]));
        let mut selector = Selector::default();
        assert!(selector.admits(9).is_ok());
        selector.take("pci=0001:02:1f.7").unwrap();
        assert!(selector.is_empty());
        assert_eq!(selector.pci, Some(1 << 16 | 2 << 8 | 0x1f << 3 | 7));
        assert_eq!(
            selector.admits(0x28).unwrap_err().to_string(),
            "this is another device, at 0000:00:05.0"
        );
        let mut layout = layout();
        layout.volumes[0].kind = VolumeKind::Gpt {
            type_guid: Guid::EFI_SYSTEM,
            unique_guid: guid(1),
        };
        // Some other system's.
        assert!(Selector::default().select(&layout).is_ok());
        layout.volumes[0].label = Label::from_utf16("capOS boot".encode_utf16());
        assert_eq!(selector.select(&layout), Err(Mismatch::BootDisk));
        selector.take("boot-disk").unwrap();
        assert_eq!(selector.to_string(), "pci=0001:02:1f.7 boot-disk");
        assert!(selector.is_empty() && selector.select(&layout).is_ok());
    }

    #[test]
    fn words_that_say_nothing_are_refused() {
        for word in [
            "partition",
            "partition=",
            "partition=0",
            "partition=x",
            "disk=1",
            "guid=1",
            "partition-guid=zz",
            "namespace=0",
            "pci=00:05.0",
            "pci=0000:00:05",
            "pci=0000:00:05.8",
            "pci=0000:00:20.0",
            "pci=0000:00:+5.0",
            "pci=0000:00:05.0:0",
            "boot-disk=1",
        ] {
            assert_eq!(Selector::default().take(word), None, "{word}");
        }
        assert_eq!(
            Guid::parse(DISK).map(|guid| guid.to_string()),
            Some(DISK.to_string())
        );
        assert_eq!(
            Guid::parse("00112233-4455-6677-8899-aabbccddee\u{e9}"),
            None
        );
        assert_eq!(Guid::parse("00112233445566778899aabbccddeeff"), None);
    }
}
