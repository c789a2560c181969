//! The registers of the CPUs, as QEMU's monitor prints them.

use anyhow::{Context, Result, ensure};

/// What of one CPU's state the audit starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Control register 0.
    pub cr0: u64,
    /// The root of its tables.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// The extended feature register.
    pub efer: u64,
    /// 3 in a program, 0 in the kernel.
    pub cpl: u8,
    /// It waits for an interrupt.
    pub halted: bool,
}

impl Cpu {
    /// Whether no kernel code is under way on it: it runs a program, or waits.
    pub fn is_at_rest(&self) -> bool {
        self.cpl == 3 || self.halted
    }
}

/// Reads what `info registers -a` prints.
///
/// # Errors
/// A value is missing or is no number; there is no CPU at all.
pub fn parse_registers(text: &str) -> Result<Vec<Cpu>> {
    let mut parts = text.split("CPU#");
    let before = parts.next().unwrap_or_default();
    ensure!(
        before.trim().is_empty(),
        "not a list of registers: {before:?}"
    );
    let cpus: Vec<Cpu> = parts.map(one).collect::<Result<_>>()?;
    ensure!(!cpus.is_empty(), "a list of registers without a CPU");
    Ok(cpus)
}

fn one(text: &str) -> Result<Cpu> {
    let value = |name: &str, radix| {
        let found = text
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no register {name}"))?;
        u64::from_str_radix(found, radix).with_context(|| format!("{name}={found} is no number"))
    };
    Ok(Cpu {
        cr0: value("CR0", 16)?,
        cr3: value("CR3", 16)?,
        cr4: value("CR4", 16)?,
        efer: value("EFER", 16)?,
        cpl: u8::try_from(value("CPL", 10)?)?,
        halted: value("HLT", 10)? != 0,
    })
}
