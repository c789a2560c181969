//! How many cells a character takes on a terminal.

use core::ops::RangeInclusive;

/// East Asian wide characters and emoji (Unicode Standard Annex 11, by block).
const WIDE: [RangeInclusive<u32>; 13] = [
    0x1100..=0x115f,
    0x2e80..=0x303e,
    0x3041..=0x33ff,
    0x3400..=0x4dbf,
    0x4e00..=0x9fff,
    0xa000..=0xa4cf,
    0xac00..=0xd7a3,
    0xf900..=0xfaff,
    0xfe30..=0xfe6f,
    0xff00..=0xff60,
    0xffe0..=0xffe6,
    0x1f300..=0x1faff,
    0x20000..=0x3fffd,
];

/// Returns the number of cells of a printable character: 0, 1 or 2.
pub fn char_cells(c: char) -> usize {
    let code = u32::from(c);
    if code < 0x300 {
        1
    } else if plain_text::is_mark(c) {
        0
    } else if WIDE.iter().any(|range| range.contains(&code)) {
        2
    } else {
        1
    }
}

/// Returns the number of cells of a text.
pub(crate) fn text_cells(text: &str) -> usize {
    text.chars().map(char_cells).sum()
}
