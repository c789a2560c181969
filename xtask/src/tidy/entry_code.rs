//! The ways into the kernel and out of it hold the instructions that nothing shows at run time to be missing.
//!
//! An NMI clears AC as every other way in does, but on no emulated machine does anything happen in one that AC would let
//! through; and a SWAPGS too few on a way that is taken once a year waits for that. So the instructions are counted.

use anyhow::{Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};

/// What is counted: name and bytes (Intel SDM vol. 2).
const COUNTED: [(&str, &[u8]); 4] = [
    ("CLAC", &[0x0f, 0x01, 0xca]),
    ("SWAPGS", &[0x0f, 0x01, 0xf8]),
    ("IRETQ", &[0x48, 0xcf]),
    ("SYSRETQ", &[0x48, 0x0f, 0x07]),
];

/// Each way, by a part of its symbol, and how often it has each of [`COUNTED`].
const WAYS: [(&str, [usize; 4]); 6] = [
    // A call clears AC by its mask.
    ("13syscall_entry17h", [0, 2, 0, 1]),
    ("18syscall_entry_ibrs17h", [0, 2, 0, 1]),
    ("18syscall_entry_verw17h", [0, 2, 0, 1]),
    ("23syscall_entry_ibrs_verw17h", [0, 2, 0, 1]),
    ("cpu_trap_common", [1, 2, 1, 0]),
    ("cpu_trap_paranoid", [1, 2, 1, 0]),
];

/// Refuses a kernel with a way that has fewer or more of them.
pub fn check(kernel: &[u8]) -> Result<()> {
    let file = object::File::parse(kernel)?;
    let mut starts: Vec<u64> = file.symbols().map(|symbol| symbol.address()).collect();
    starts.sort_unstable();
    for (way, expected) in WAYS {
        let found = file
            .symbols()
            .find(|symbol| symbol.name().is_ok_and(|name| name.contains(way)));
        ensure!(found.is_some(), "the kernel has no symbol with {way}");
        let start = found.map_or(0, |symbol| symbol.address());
        let next = starts.iter().find(|next| **next > start);
        let end = next.copied().unwrap_or(u64::MAX);
        let code = code(&file, start, end)?;
        for ((name, bytes), expected) in COUNTED.into_iter().zip(expected) {
            let count = count(code, bytes);
            ensure!(
                count == expected,
                "{way}: {count} {name} instead of {expected}"
            );
        }
    }
    Ok(())
}

/// The bytes between two addresses, as far as they lie in one section.
fn code<'a>(file: &object::File<'a>, start: u64, end: u64) -> Result<&'a [u8]> {
    for section in file.sections() {
        let at = section.address();
        if (at..at + section.size()).contains(&start) && section.size() > 0 {
            let data = section.data()?;
            let from = (start - at) as usize;
            let to = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            return Ok(data.get(from..to.min(data.len())).unwrap_or_default());
        }
    }
    Ok(&[])
}

fn count(code: &[u8], bytes: &[u8]) -> usize {
    code.windows(bytes.len())
        .filter(|window| *window == bytes)
        .count()
}

#[cfg(test)]
mod tests {
    use super::{check, count};

    #[test]
    fn instructions_are_counted_and_a_program_without_the_ways_is_refused() {
        assert_eq!(
            count(
                &[0x0f, 0x01, 0xca, 0x90, 0x0f, 0x01, 0xca],
                &[0x0f, 0x01, 0xca]
            ),
            2
        );
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(check(&own).is_err());
        assert!(check(b"no ELF").is_err());
    }
}
