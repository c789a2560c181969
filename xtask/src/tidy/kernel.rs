//! The kernel that ships holds nothing of the sabotage points, and every way into it what that needs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags};

const WORD: &[u8] = b"sabotage";

/// Refuses a production kernel with a sabotage point in it, and a sabotage kernel without one: then this check is blind.
pub fn check(production: &Path, sabotage: &Path) -> Result<()> {
    let found = traces(production)?;
    if !found.is_empty() {
        bail!(
            "the production kernel holds sabotage points: {}",
            found.join(", ")
        );
    }
    if traces(sabotage)?.is_empty() {
        bail!(
            "the sabotage kernel shows no sabotage point, so their absence elsewhere says nothing"
        );
    }
    for kernel in [production, sabotage] {
        let bytes =
            fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
        super::entry_code::check(&bytes).with_context(|| kernel.display().to_string())?;
    }
    Ok(())
}

/// Symbols and loaded sections that mention a sabotage.
fn traces(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    traces_in(&bytes).with_context(|| format!("{} is no ELF file", path.display()))
}

fn traces_in(bytes: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(bytes)?;
    let mut found = Vec::new();
    for symbol in file.symbols() {
        if contains(symbol.name_bytes()?) {
            found.push(format!("symbol {}", symbol.name().unwrap_or("?")));
        }
    }
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        let loaded = sh_flags & object::elf::SHF_ALLOC == object::elf::SHF_ALLOC;
        if loaded && contains(section.data()?) {
            found.push(format!("section {}", section.name().unwrap_or("?")));
        }
    }
    Ok(found)
}

fn contains(bytes: &[u8]) -> bool {
    bytes
        .windows(WORD.len())
        .any(|window| window.eq_ignore_ascii_case(WORD))
}

#[cfg(test)]
mod tests {
    use super::traces_in;

    #[test]
    fn a_mention_is_found_in_a_real_file() {
        // This test program mentions the word itself.
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(!traces_in(&own).unwrap().is_empty());
        assert!(traces_in(b"no ELF").is_err());
    }
}
