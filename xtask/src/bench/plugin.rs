//! The counting plugin: building it, and reading what it wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::project::Project;

/// Counts at one moment. Field names are those of the plugin.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Counts {
    /// Instructions in the low half of the address space.
    pub user: u64,
    /// Instructions in the high half.
    pub kernel: u64,
    /// SYSCALL instructions.
    pub syscall: u64,
    /// Loads of CR3.
    pub cr3: u64,
    /// HLT instructions.
    pub halt: u64,
    /// Port accesses.
    pub port: u64,
    /// Returns from interrupts.
    pub iret: u64,
    /// Writes to model-specific registers.
    pub wrmsr: u64,
    /// Iterations of repeated string instructions.
    pub repeat: u64,
    /// Instructions that lock their access to memory.
    pub locked: u64,
    /// The most instructions that the kernel ran with interrupts off since the line before this one.
    #[serde(default)]
    pub hold: u64,
    /// Where that stretch began.
    #[serde(default)]
    pub from: u64,
    /// Where it ended.
    #[serde(default)]
    pub to: u64,
    /// Where it was on the way, after every so many instructions.
    #[serde(default)]
    pub way: Vec<u64>,
}

impl Counts {
    /// All instructions.
    pub fn instructions(&self) -> u64 {
        self.user + self.kernel
    }

    /// What happened since `earlier`, the line before.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user: self.user - earlier.user,
            kernel: self.kernel - earlier.kernel,
            syscall: self.syscall - earlier.syscall,
            cr3: self.cr3 - earlier.cr3,
            halt: self.halt - earlier.halt,
            port: self.port - earlier.port,
            iret: self.iret - earlier.iret,
            wrmsr: self.wrmsr - earlier.wrmsr,
            repeat: self.repeat - earlier.repeat,
            locked: self.locked - earlier.locked,
            ..self.clone()
        }
    }
}

/// How often one instruction ran between the marks `id - 1` and `id`.
#[derive(Clone, Debug, Deserialize)]
pub struct Hot {
    /// The later mark.
    pub id: u32,
    /// Where the instruction lies.
    pub address: u64,
    /// How often it ran.
    pub runs: u64,
    /// Its bytes, in hexadecimal.
    pub bytes: String,
}

#[derive(Deserialize)]
struct Line {
    what: String,
    id: u32,
    #[serde(flatten)]
    counts: Option<Counts>,
}

/// Everything that the plugin wrote in one run.
#[derive(Default)]
pub struct Log {
    /// Marks, in order.
    pub marks: Vec<(u32, Counts)>,
    /// At the loader's first instruction.
    pub loader: Option<Counts>,
    /// At the kernel's first instruction.
    pub kernel: Option<Counts>,
    /// At the first instruction of a program.
    pub user: Option<Counts>,
    /// Instructions that ran between marks.
    pub hot: Vec<Hot>,
}

impl Log {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("the counting plugin left no {}", path.display()))?;
        let mut log = Self::default();
        for line in text.lines() {
            log.take(line)
                .with_context(|| format!("the counting plugin wrote {line:?}"))?;
        }
        Ok(log)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if line.starts_with("{\"what\":\"hot\"") {
            self.hot.push(serde_json::from_str(line)?);
            return Ok(());
        }
        let Line { what, id, counts } = serde_json::from_str(line)?;
        let counts = counts.context("a line without counts")?;
        match what.as_str() {
            "mark" => self.marks.push((id, counts)),
            "loader" => self.loader = Some(counts),
            "kernel" => self.kernel = Some(counts),
            "user" => self.user = Some(counts),
            "exit" => {}
            _ => bail!("an unknown event"),
        }
        Ok(())
    }

    /// What happened between each mark `even` and the mark right after it.
    pub fn between(&self, even: u32) -> Vec<Counts> {
        self.marks
            .windows(2)
            .filter_map(|pair| match pair {
                [(a, start), (b, end)] if *a == even && *b == even + 1 => Some(end.since(start)),
                _ => None,
            })
            .collect()
    }
}

/// The plugin interface that a QEMU of this version loads.
fn api(version: (u32, u32)) -> u32 {
    match version {
        (..=8, _) => 1,
        (9, 0) => 2,
        _ => 3,
    }
}

/// Builds the plugin for the QEMU that is installed, whose version is `version`.
pub fn build(project: &Project, version: (u32, u32)) -> Result<PathBuf> {
    let source = project.root.join("tools/icount-plugin/icount.c");
    let api = api(version);
    let dir = project.target.join("bench");
    fs::create_dir_all(&dir)?;
    let library = dir.join(format!("icount-{api}.so"));
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-fvisibility=hidden", "-fPIC", "-shared"])
        .arg(format!("-DQEMU_API={api}"))
        .arg("-o")
        .arg(&library)
        .arg(&source)
        .output()
        .context("cannot start cc, which also links what cargo builds")?;
    if !output.status.success() {
        bail!(
            "the counting plugin does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use super::{Log, api};

    #[test]
    fn counts_lie_between_an_even_mark_and_the_next() {
        let mut log = Log::default();
        let line = |what: &str, id, user| {
            format!(
                "{{\"what\":\"{what}\",\"id\":{id},\"user\":{user},\"kernel\":5,\"syscall\":0,\"cr3\":0,\"halt\":0,\
                 \"port\":0,\"iret\":0,\"wrmsr\":0,\"repeat\":0,\"locked\":0}}"
            )
        };
        for (id, user) in [(4, 10), (5, 30), (4, 100), (90, 110), (4, 200), (5, 207)] {
            log.take(&line("mark", id, user)).unwrap();
        }
        log.take(&line("user", 0, 1)).unwrap();
        log.take("{\"what\":\"hot\",\"id\":5,\"address\":4096,\"runs\":2,\"bytes\":\"90\"}")
            .unwrap();
        let found: Vec<u64> = log.between(4).iter().map(|c| c.instructions()).collect();
        assert_eq!(found, [20, 7]);
        assert_eq!(log.hot.len(), 1);
        assert!(log.user.is_some() && log.loader.is_none());
        assert!(log.take("{\"what\":\"mark\",\"id\":1}").is_err());
    }

    #[test]
    fn the_interface_goes_by_the_version() {
        assert_eq!([(7, 2), (9, 0), (9, 1), (10, 0)].map(api), [1, 2, 3, 3]);
    }
}
