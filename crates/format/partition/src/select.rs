//! Which partition is meant, by what a table says of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Guid, Layout, Volume, VolumeKind};

/// What is known of the partition that is meant. Everything given must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
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

    /// Whether nothing is given, so that any partition may be meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes one word of a manifest: `disk=GUID`, `partition=N`, `partition-guid=GUID`, `partition-type=GUID` or
    /// `partition-name=TEXT`. `None`: it is none of them, or its value is no value for it.
    pub fn take(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        match name {
            "disk" => self.disk = Some(Guid::parse(value)?),
            "partition" => self.number = Some(value.parse().ok().filter(|number| *number > 0)?),
            "partition-guid" => self.guid = Some(Guid::parse(value)?),
            "partition-type" => self.kind = Some(Guid::parse(value)?),
            "partition-name" => self.name = Some(String::from(value)),
            _ => return None,
        }
        Some(())
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
    fn words_that_say_nothing_are_refused() {
        for word in [
            "partition",
            "partition=",
            "partition=0",
            "partition=x",
            "disk=1",
            "guid=1",
            "partition-guid=zz",
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
