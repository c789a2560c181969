//! Where the instructions of a row go: addresses to functions and source lines.
//!
//! An instruction belongs to the program that holds its bytes at its address: programs share addresses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::bench::number::figure;
use crate::bench::plugin::{Counts, Hot};

/// How many functions are named.
const TOP: usize = 25;

/// One program's code and names.
struct Program {
    name: String,
    path: PathBuf,
    /// Address and bytes of each section.
    sections: Vec<(u64, Vec<u8>)>,
    /// Start, end and name of each function, by address.
    functions: Vec<(u64, u64, String)>,
}

impl Program {
    fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut sections = Vec::new();
        for section in file.sections().filter(|section| section.address() != 0) {
            sections.push((
                section.address(),
                section.data().unwrap_or_default().to_vec(),
            ));
        }
        let mut functions: Vec<(u64, u64, String)> = file
            .symbols()
            .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label))
            .filter_map(|symbol| {
                let start = symbol.address();
                Some((start, start + symbol.size(), symbol.name().ok()?.to_owned()))
            })
            .collect();
        functions.sort();
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            path: path.to_owned(),
            sections,
            functions,
        })
    }

    fn holds(&self, address: u64, code: &[u8]) -> bool {
        self.sections.iter().any(|(start, bytes)| {
            let at = address
                .checked_sub(*start)
                .and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| bytes.get(at..)?.get(..code.len())) == Some(code)
        })
    }

    fn function(&self, address: u64) -> String {
        let after = self
            .functions
            .partition_point(|(start, ..)| *start <= address);
        let last = after.checked_sub(1).and_then(|at| self.functions.get(at));
        match last {
            // Hand-written code has no size.
            Some((start, end, name)) if address < *end || start == end => plain(name),
            _ => format!("{address:#x}"),
        }
    }

    /// The innermost inlined function and the line of each address.
    fn lines(&self, addresses: &[u64]) -> Result<Vec<String>> {
        let mut child = Command::new("addr2line")
            .args(["-f", "-i", "-a", "-C", "-e"])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start addr2line")?;
        let mut input = child.stdin.take().context("addr2line has no input")?;
        let text: String = addresses.iter().map(|a| format!("{a:#x}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        // A child that ended early is noticed by the answers it did not give.
        let _ = writer.join();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut answers = Vec::new();
        let mut lines = text.lines().peekable();
        while lines.next().is_some() {
            let function = plain(lines.next().unwrap_or("?"));
            let place = lines.next().unwrap_or("?");
            let place = place.split(" (").next().unwrap_or(place);
            let mut parts = place.rsplit('/');
            let file = parts.next().unwrap_or("?");
            let dir = parts.find(|part| *part != "src").unwrap_or("?");
            answers.push(format!("{function} ({dir}/{file})"));
            while lines.peek().is_some_and(|line| !line.starts_with("0x")) {
                lines.next();
            }
        }
        Ok(answers)
    }
}

/// The names of one program's functions.
pub struct Names(Program);

impl Names {
    /// Those of the program at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        Program::load(path).map(Self)
    }

    /// Where the longest stretch with interrupts off began, where it was on its way, and where it ended.
    pub fn places(&self, counts: &Counts) -> Result<Vec<String>> {
        let mut addresses = vec![counts.from];
        addresses.extend(&counts.way);
        addresses.push(counts.to);
        let lines = self.0.lines(&addresses)?;
        let last = addresses.len() - 1;
        let said = addresses
            .iter()
            .zip(lines)
            .enumerate()
            .map(|(at, (address, line))| {
                let word = match at {
                    0 => "from",
                    _ if at == last => "to",
                    _ => "by",
                };
                format!("{word:<4} {}: {line}", self.0.function(*address))
            });
        let mut places: Vec<String> = said.collect();
        places.dedup();
        Ok(places)
    }
}

/// A mangled name without its hash and crate disambiguators, as far as `addr2line` has not done that.
fn plain(name: &str) -> String {
    let Some(rest) = name.strip_prefix("_ZN") else {
        return name.to_owned();
    };
    let mut parts = Vec::new();
    let mut rest = rest;
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0) {
        let len: usize = rest[..digits].parse().unwrap_or(usize::MAX);
        let Some(part) = rest[digits..].get(..len) else {
            return name.to_owned();
        };
        parts.push(part);
        rest = &rest[digits + len..];
    }
    if parts
        .last()
        .is_some_and(|last| last.len() == 17 && last.starts_with('h'))
    {
        parts.pop();
    }
    let mut text = parts.join("::");
    for (code, sign) in [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$u20$", " "),
        ("$RF$", "&"),
        ("$C$", ","),
        ("..", "::"),
    ] {
        text = text.replace(code, sign);
    }
    text
}

/// Where the instructions of a row go.
struct Shares {
    /// Runs by function.
    functions: BTreeMap<String, u64>,
    /// Runs by inlined function and file.
    lines: BTreeMap<String, u64>,
    /// Runs in no program known here.
    unknown: u64,
}

/// The functions of a row that take most, with their instructions per operation; `operations` in all its repetitions.
pub fn hottest(
    programs: &Programs,
    hot: &[Hot],
    mark: u32,
    operations: f64,
) -> Result<Vec<(String, f64)>> {
    let shares = shares(&programs.0, hot, mark)?;
    let mut order: Vec<(String, u64)> = shares.functions.into_iter().collect();
    order.sort_by_key(|(_, runs)| std::cmp::Reverse(*runs));
    let each = |(name, runs): (String, u64)| (name, runs as f64 / operations);
    Ok(order.into_iter().map(each).collect())
}

/// Programs with their code and names.
pub struct Programs(Vec<Program>);

impl Programs {
    /// Those at `paths`.
    pub fn load(paths: &[PathBuf]) -> Result<Self> {
        let programs = paths.iter().map(|path| Program::load(path));
        programs.collect::<Result<Vec<_>>>().map(Self)
    }
}

/// The hottest functions between the marks of a row, for `operations` operations in all its repetitions.
pub fn show(programs: &Programs, hot: &[Hot], mark: u32, operations: f64) -> Result<String> {
    let shares = shares(&programs.0, hot, mark)?;
    let mut text = String::new();
    for (title, table) in [
        ("function", shares.functions),
        ("inlined function", shares.lines),
    ] {
        let mut order: Vec<(String, u64)> = table.into_iter().collect();
        order.sort_by_key(|(_, runs)| std::cmp::Reverse(*runs));
        let _ = writeln!(text, "{:>10}  {title}", "instr/op");
        for (name, runs) in order.iter().take(TOP) {
            let _ = writeln!(text, "{:>10}  {name}", figure(*runs as f64 / operations));
        }
    }
    if shares.unknown > 0 {
        let share = figure(shares.unknown as f64 / operations);
        let _ = writeln!(text, "{share:>10}  in no program known here");
    }
    Ok(text)
}

fn shares(programs: &[Program], hot: &[Hot], mark: u32) -> Result<Shares> {
    // Runs by program and address.
    let mut found = BTreeMap::<(usize, u64), u64>::new();
    let mut unknown = 0;
    for one in hot.iter().filter(|one| one.id == mark + 1) {
        let code = decode(&one.bytes);
        match programs.iter().position(|p| p.holds(one.address, &code)) {
            Some(program) => *found.entry((program, one.address)).or_default() += one.runs,
            None => unknown += one.runs,
        }
    }
    let mut functions = BTreeMap::<String, u64>::new();
    let mut lines = BTreeMap::<String, u64>::new();
    for (number, program) in programs.iter().enumerate() {
        let (addresses, runs): (Vec<u64>, Vec<u64>) = found
            .iter()
            .filter(|((owner, _), _)| *owner == number)
            .map(|((_, address), runs)| (*address, *runs))
            .unzip();
        if addresses.is_empty() {
            continue;
        }
        for (address, runs) in addresses.iter().zip(&runs) {
            let name = format!("{}: {}", program.name, program.function(*address));
            *functions.entry(name).or_default() += runs;
        }
        for (line, runs) in program.lines(&addresses)?.into_iter().zip(&runs) {
            *lines
                .entry(format!("{}: {line}", program.name))
                .or_default() += runs;
        }
    }
    Ok(Shares {
        functions,
        lines,
        unknown,
    })
}

fn decode(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{decode, plain};

    #[test]
    fn legacy_names_lose_their_hash() {
        let name = "_ZN3ipc9operation5enter17h0123456789abcdefE";
        assert_eq!(plain(name), "ipc::operation::enter");
        assert_eq!(plain("memcpy"), "memcpy");
        assert_eq!(plain("_ZN99x"), "_ZN99x");
    }

    #[test]
    fn bytes_come_from_their_digits() {
        assert_eq!(decode("0f05"), [0x0f, 0x05]);
    }
}
