//! The part of GRUB's script that finds out whether the kernel will be able to read this CD by itself.
//!
//! It does with GRUB's port commands what the kernel will do: it sends READ (12) for the volume descriptor to each of the four
//! legacy places, and compares the volume set identifier with this medium's. Only when all of it was right are the programs
//! left out of the modules. Invariant: whatever a drive answers, or nothing does, the script goes on with modules.

use std::fmt::Write as _;

/// GRUB's modules that the script needs.
pub const MODULES: [&str; 5] = ["iorw", "regexp", "sleep", "test", "true"];
/// Characters of an identity.
pub const IDENTITY_CHARS: usize = 32;
/// In the volume descriptor, in words.
const SET_AT: usize = 190 / 2;
/// Words of a sector.
const SECTOR_WORDS: usize = 1024;
/// The packet, in words as they are written: READ (12) of one sector, the sixteenth.
const PACKET: [u16; 6] = [0x00a8, 0, 0x1000, 0, 0x0100, 0];

/// Command block, control port and device selection of each place.
const PLACES: [(&str, &str, &str); 4] = [
    ("0x1f", "0x3f6", "0xa0"),
    ("0x1f", "0x3f6", "0xb0"),
    ("0x17", "0x376", "0xa0"),
    ("0x17", "0x376", "0xb0"),
];

/// Says which medium this is, in characters that a volume set identifier may have.
pub fn identity(digest: &[u8; 32]) -> String {
    let mut text = String::from("CAPOS_");
    for byte in digest {
        let _ = write!(text, "{byte:02X}");
    }
    text.truncate(IDENTITY_CHARS);
    text
}

/// Sets `cdrom` to `identity` where the volume of that name can be read through legacy ports, and to nothing elsewhere.
pub fn script(identity: &str) -> String {
    let mut text = String::from("set cdrom=\n");
    for (number, (block, control, device)) in PLACES.into_iter().enumerate() {
        let _ = write!(
            text,
            "function place{number} {{\n{}}}\n",
            place(identity, block, control, device)
        );
    }
    // A BIOS counts hard disks, and sticks with the same bytes, from its number 0x80 on; a CD has one far above.
    text.push_str("if regexp '^hd1?[0-9](,.*)?$' \"$root\"; then true; else\n");
    for number in 0..PLACES.len() {
        let _ = writeln!(text, "  if [ -z \"$cdrom\" ]; then place{number}; fi");
    }
    text.push_str("fi\n");
    text
}

fn place(identity: &str, block: &str, control: &str, device: &str) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        let _ = writeln!(text, "  {words}");
    };
    // No device drives the bus.
    line(&format!("inb -v s {block}7"));
    line("if [ \"$s\" = ff ]; then return; fi");
    // No interrupts, which are the BIOS's to expect.
    line(&format!("outb {control} 0x2"));
    line(&format!("outb {block}6 {device}"));
    wait(&mut line, block);
    line("if regexp '^[0-7]?[0-7]$' \"$s\"; then true; else return; fi");
    for (register, value) in [("1", "0x0"), ("4", "0x0"), ("5", "0x8"), ("7", "0xa0")] {
        line(&format!("outb {block}{register} {value}"));
    }
    wait(&mut line, block);
    // Ready for data, and no error.
    const DATA: &str = "if regexp '^[0-7]?[8ace]$' \"$s\"; then true; else return; fi";
    line(DATA);
    for word in PACKET {
        line(&format!("outw {block}0 {word:#x}"));
    }
    wait(&mut line, block);
    line(DATA);
    // The whole sector at once, or the drive is told to give up.
    line(&format!("inb -v l {block}4"));
    line(&format!("inb -v h {block}5"));
    line(&format!(
        "if [ \"$h$l\" != 80 ]; then outb {block}7 0x8; return; fi"
    ));
    line("set same=1");
    skip(&mut line, block, SET_AT);
    for pair in identity.as_bytes().chunks(2) {
        let word = u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(b' ')]);
        line(&format!("inw -v w {block}0"));
        line(&format!("if [ \"$w\" != {word:x} ]; then set same=; fi"));
    }
    skip(&mut line, block, SECTOR_WORDS - SET_AT - IDENTITY_CHARS / 2);
    wait(&mut line, block);
    line(&format!("outb {control} 0x8"));
    line("if regexp '^[0-7]?[0246]$' \"$s\"; then true; else return; fi");
    line(&format!(
        "if [ -n \"$same\" ]; then set cdrom={identity}; fi"
    ));
    text
}

/// Until the drive is no longer busy, some seconds at most; `s` holds its status then.
fn wait(line: &mut impl FnMut(&str), block: &str) {
    const TEN: &str = "0 1 2 3 4 5 6 7 8 9";
    line(&format!(
        "for n in {TEN}; do for m in {TEN}; do for k in {TEN}; do"
    ));
    line(&format!("  inb -v s {block}7"));
    line("  if regexp '^[89a-f].$' \"$s\"; then true; else break 3; fi");
    line("done; done");
    line("if [ \"$n\" = 5 ]; then sleep 1; fi");
    line("if [ \"$n\" = 8 ]; then sleep 2; fi");
    line("done");
}

/// Takes words that nobody looks at.
fn skip(line: &mut impl FnMut(&str), block: &str, words: usize) {
    let list = |count: usize| (0..count).map(|_| "x").collect::<Vec<_>>().join(" ");
    let (whole, rest) = (words / 32, words % 32);
    if whole > 0 {
        line(&format!(
            "for m in {}; do for k in {}; do inw -v w {block}0; done; done",
            list(whole),
            list(32)
        ));
    }
    if rest > 0 {
        line(&format!(
            "for k in {}; do inw -v w {block}0; done",
            list(rest)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{IDENTITY_CHARS, identity, script};

    #[test]
    fn an_identity_has_d_characters_only() {
        let text = identity(&[0xfe; 32]);
        assert_eq!(text.len(), IDENTITY_CHARS);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        );
        assert_ne!(text, identity(&[0xfd; 32]));
    }

    /// Each place takes every word of the sector, once, and compares those of the identity.
    #[test]
    fn the_whole_sector_is_taken() {
        let text = script(&identity(&[0x12; 32]));
        for place in text.split("function place").skip(1) {
            let mut words = 0;
            let body = place.split("\n}").next().unwrap();
            for line in body.lines().filter(|line| line.contains("inw")) {
                let loops = line.split(" do ").filter(|part| part.contains("for "));
                words += loops
                    .map(|part| part.matches(" x").count())
                    .product::<usize>();
            }
            assert_eq!(words, 1024);
            assert_eq!(body.matches("if [ \"$w\" != ").count(), IDENTITY_CHARS / 2);
        }
        assert!(text.contains("if [ \"$w\" != 4143 ]"), "CA of CAPOS");
    }
}
