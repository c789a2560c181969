//! Sizes, times and tables for people.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// Bytes with a binary unit: `512 B`, `1.5 KiB`, `10 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths, rounded to nearest, in the largest unit that leaves at least one whole.
    let unit = (63 - bytes.leading_zeros()) / 10;
    let shift = unit * 10;
    let mut tenths = (u128::from(bytes) * 10 + (1 << (shift - 1))) >> shift;
    let mut unit = unit;
    if tenths >= 10240 && unit < 6 {
        tenths = 10;
        unit += 1;
    }
    let name = UNITS.get(unit as usize - 1).copied().unwrap_or("?");
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, _) if whole >= 100 => format!("{} {name}", (tenths + 5) / 10),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}

/// As [`size`]; a dash for what has none, as a partition that is refused.
pub fn size_if_any(bytes: u64) -> String {
    match bytes {
        0 => "-".to_string(),
        bytes => size(bytes),
    }
}

/// Seconds with milliseconds: `12.034`.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

/// A time span in words: `2 d 03 h 04 min 05 s`, leaving out what is zero at the front.
pub fn span(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    let (d, h, min, sec) = (s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    match (d, h, min) {
        (0, 0, 0) => format!("{}.{:03} s", sec, ns / 1_000_000 % 1000),
        (0, 0, _) => format!("{min} min {sec:02} s"),
        (0, _, _) => format!("{h} h {min:02} min {sec:02} s"),
        _ => format!("{d} d {h:02} h {min:02} min {sec:02} s"),
    }
}

/// How long a call took, as short as the number is: `4 us`, `1.250 ms`, and as [`span`] from a second on.
pub fn took(ns: u64) -> String {
    match ns / 1000 {
        us @ ..1000 => format!("{us} us"),
        us @ ..1_000_000 => format!("{}.{:03} ms", us / 1000, us % 1000),
        _ => span(ns),
    }
}

/// A date and time of day: nanoseconds since 1970, shown as `2024-05-01 13:45:10`, or `-` for 0.
pub fn date(ns: i64) -> String {
    if ns == 0 {
        return String::from("-");
    }
    calendar::Date::of_ns(ns).to_string()
}

/// A PCI address, packed as segment, bus, device, function: `0000:00:04.0`.
pub fn pci_address(address: u32) -> String {
    format!(
        "{:04x}:{:02x}:{:02x}.{}",
        address >> 16,
        address >> 8 & 0xff,
        address >> 3 & 0x1f,
        address & 7
    )
}

/// What a PCI class code stands for (PCI Code and ID Assignment Specification 1.15, chapter 1), in a few words.
pub fn pci_class(class: u32) -> &'static str {
    match (class >> 16 & 0xff, class >> 8 & 0xff, class & 0xff) {
        (0x01, 0x01, _) => "IDE controller",
        (0x01, 0x06, _) => "SATA controller",
        (0x01, 0x08, 0x02) => "NVMe controller",
        (0x01, 0x08, _) => "non-volatile memory controller",
        (0x01, _, _) => "storage controller",
        (0x02, 0x00, _) => "Ethernet controller",
        (0x02, _, _) => "network controller",
        (0x03, 0x00, _) => "VGA controller",
        (0x03, _, _) => "display controller",
        (0x04, _, _) => "multimedia device",
        (0x05, _, _) => "memory controller",
        (0x06, 0x00, _) => "host bridge",
        (0x06, 0x01, _) => "ISA bridge",
        (0x06, 0x04, _) => "PCI bridge",
        (0x06, _, _) => "bridge",
        (0x07, 0x00, _) => "serial controller",
        (0x07, _, _) => "communication controller",
        (0x08, _, _) => "system peripheral",
        (0x09, _, _) => "input device",
        (0x0c, 0x03, _) => "USB controller",
        (0x0c, 0x05, _) => "SMBus controller",
        (0x0c, _, _) => "serial bus controller",
        (0x0d, _, _) => "wireless controller",
        (0x10, _, _) => "encryption controller",
        (0x12, _, _) => "processing accelerator",
        _ => "other device",
    }
}

/// Bytes as lower-case hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows whose columns line up. The last column is never padded.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with a row of headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(_, align)| *align).collect(),
            rows: Vec::from([columns
                .iter()
                .map(|(name, _)| String::from(*name))
                .collect()]),
        }
    }

    /// Starts a table without headings.
    pub fn bare(columns: &[Align]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Its cells are made safe to show.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|c| format!("{}", crate::text::Safe(&c)))
                .collect(),
        );
    }

    /// The lines, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|r| r.get(column));
                cells.map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        self.rows.iter().map(move |row| {
            let mut line = String::new();
            for (idx, cell) in row.iter().enumerate() {
                let pad = widths
                    .get(idx)
                    .copied()
                    .unwrap_or(0)
                    .saturating_sub(cell.chars().count());
                let align = self.columns.get(idx).copied().unwrap_or(Align::Left);
                if align == Align::Right {
                    line.extend(core::iter::repeat_n(' ', pad));
                }
                line.push_str(cell);
                if idx + 1 < row.len() {
                    if align == Align::Left {
                        line.extend(core::iter::repeat_n(' ', pad));
                    }
                    line.push_str("  ");
                }
            }
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            ((10 << 20) - 1, "10 MiB"),
            ((1 << 20) - 1, "1 MiB"),
            (123 << 30 | 7 << 27, "124 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
            assert_eq!(size_if_any(bytes), if bytes == 0 { "-" } else { text });
        }
    }

    #[test]
    fn times() {
        assert_eq!(seconds(12_034_999_999), "12.034");
        assert_eq!(took(999), "0 us");
        assert_eq!(took(999_999), "999 us");
        assert_eq!(took(1_250_000), "1.250 ms");
        assert_eq!(took(1_500_000_000), "1.500 s");
        assert_eq!(span(1_500_000_000), "1.500 s");
        assert_eq!(span(3_723_000_000_000), "1 h 02 min 03 s");
        assert_eq!(span(61_000_000_000), "1 min 01 s");
        assert_eq!(span(90_000_000_000_000), "1 d 01 h 00 min 00 s");
        assert_eq!(date(0), "-");
        assert_eq!(date(1_714_571_110_000_000_000), "2024-05-01 13:45:10");
        assert_eq!(date(951_782_400_000_000_000), "2000-02-29 00:00:00");
        assert_eq!(date(315_532_800_000_000_000), "1980-01-01 00:00:00");
        assert_eq!(date(4_354_819_198_000_000_000), "2107-12-31 23:59:58");
        assert_eq!(date(-1), "1969-12-31 23:59:59");
    }

    #[test]
    fn pci() {
        assert_eq!(pci_address(0x0020), "0000:00:04.0");
        assert_eq!(pci_address(0x1_1fff), "0001:1f:1f.7");
        assert_eq!(pci_class(0x01_08_02), "NVMe controller");
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(&[
            ("id", Align::Right),
            ("name", Align::Left),
            ("state", Align::Left),
        ]);
        table.row(["1", "init", "ready"].map(String::from));
        table.row(["12", "größe", "x\x1b"].map(String::from));
        let lines: Vec<String> = table.lines().collect();
        assert_eq!(
            lines,
            ["id  name   state", " 1  init   ready", "12  größe  x\\x1b"]
        );
        assert_eq!(Hex(&[0, 0xab]).to_string(), "00ab");
    }

    proptest! {
        #[test]
        fn no_number_panics(bytes: u64, ns: i64) {
            size(bytes);
            span(bytes);
            date(ns);
        }
    }
}
