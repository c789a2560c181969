//! From an address in the guest to function, file and line, by the programs as they were built.
//!
//! A guest carries no debug information; what it says of a fault is an address. Invariant: never guesses: an address that no
//! program of the package explains stays as it is.

use std::path::{Component, Path, PathBuf};

use addr2line::Loader;

/// What kernel and init say before they tell of an end.
const KERNEL: [&str; 2] = ["kernel panic: ", "kernel backtrace:"];
const INIT: &str = "init: ";
/// What init says of a program that gave up.
const ENDED: &str = " ended with code ";
/// What stands before the return addresses of who was called.
const BACKTRACE: &str = " backtrace:";

/// Explains the faults and panics in what a guest says, as the lines come.
pub struct Explainer {
    symbols: Symbols,
    /// How many lines were looked at.
    seen: usize,
}

impl Explainer {
    /// Nothing was said yet.
    pub fn new(symbols: Symbols) -> Self {
        Self { symbols, seen: 0 }
    }

    /// What the lines that came since the last time are explained with.
    pub fn explain(&mut self, lines: &[String]) -> Vec<String> {
        let new = lines.get(self.seen..).unwrap_or_default();
        self.seen = lines.len();
        new.iter()
            .flat_map(|line| self.symbols.explain(line))
            .collect()
    }
}

/// The programs of a guest, by the names under which its lines speak of them.
pub struct Symbols {
    /// Where the sources are that the guest was built from.
    root: PathBuf,
    kernel: PathBuf,
    /// Service, program.
    services: Vec<(String, PathBuf)>,
}

impl Symbols {
    /// The kernel and the programs of a system's services.
    pub fn new(root: PathBuf, kernel: PathBuf, services: Vec<(String, PathBuf)>) -> Self {
        Self {
            root,
            kernel,
            services,
        }
    }

    /// The frames of every address in a line that reports a fault or panic; of one that reports an error, what stands at
    /// the place in the source.
    pub fn explain(&self, line: &str) -> Vec<String> {
        let Some((program, text)) = self.speaker(line) else {
            return self.source(line).into_iter().collect();
        };
        let Ok(loader) = Loader::new(program) else {
            return Vec::new();
        };
        // A return address is that of the next instruction, which may be another line's or another function's.
        let back = u64::from(line.contains(BACKTRACE));
        let mut told: Vec<String> = Vec::new();
        for address in addresses(text) {
            let frames = frames(&loader, address, back);
            // A recursion is told once.
            if !told.ends_with(&frames) || frames.is_empty() {
                told.extend(frames);
            }
        }
        told
    }

    /// The line of source that a report of init's ends with, as `(file:line)`.
    fn source(&self, line: &str) -> Option<String> {
        let (_, said) = line.split_once(INIT)?;
        let (_, end) = said.strip_suffix(')')?.rsplit_once(" (")?;
        let (file, number) = end.rsplit_once(':')?;
        let number: usize = number.parse().ok()?;
        let path = Path::new(file);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !said.contains(ENDED) || !inside {
            return None;
        }
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        let source = text.lines().nth(number.checked_sub(1)?)?.trim();
        (!source.is_empty()).then(|| format!("    {file}:{number}: {source}"))
    }

    /// Whose addresses a line holds, and the part of it that holds them.
    fn speaker<'a>(&self, line: &'a str) -> Option<(&PathBuf, &'a str)> {
        if let Some((_, text)) = KERNEL.iter().find_map(|word| line.split_once(word)) {
            return Some((&self.kernel, text));
        }
        let (_, said) = line.split_once(INIT)?;
        let (name, text) = [" faulted: ", BACKTRACE]
            .iter()
            .find_map(|word| said.split_once(word))?;
        let service = self.services.iter().find(|service| service.0 == name)?;
        Some((&service.1, text))
    }
}

/// The addresses of instructions in a text: they stand behind the word `at`.
fn addresses(text: &str) -> impl Iterator<Item = u64> {
    let words: Vec<&str> = text.split([' ', ',', ';']).collect();
    let pairs: Vec<u64> = words
        .windows(2)
        .filter(|pair| pair.first() == Some(&"at"))
        .filter_map(|pair| {
            let digits = pair.get(1)?.strip_prefix("0x")?;
            u64::from_str_radix(digits, 16).ok()
        })
        .collect();
    pairs.into_iter()
}

/// One line for each function that the instruction lies in, the innermost first: those that were inlined too.
///
/// The instruction lies `back` bytes before `address`.
fn frames(loader: &Loader, address: u64, back: u64) -> Vec<String> {
    let mut told = Vec::new();
    let Ok(mut frames) = loader.find_frames(address.saturating_sub(back)) else {
        return told;
    };
    while let Ok(Some(frame)) = frames.next() {
        // Of a function that is not inlined the lines alone do not keep the name.
        let symbol = || {
            let name = loader.find_symbol(address.saturating_sub(back))?;
            Some(addr2line::demangle_auto(name.into(), None))
        };
        let function = frame
            .function
            .as_ref()
            .and_then(|name| name.demangle().ok())
            .or_else(symbol);
        let place = frame.location.as_ref().and_then(|location| {
            Some(format!("{}:{}", location.file?, location.line.unwrap_or(0)))
        });
        if function.is_none() && place.is_none() {
            continue;
        }
        let function = function.as_deref().unwrap_or("?").to_owned();
        let place = place.unwrap_or_else(|| "?".into());
        let by = if told.is_empty() {
            format!("{address:#x}")
        } else {
            "  inlined in".into()
        };
        told.push(format!("    {by} {function} at {place}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{Symbols, addresses};

    #[test]
    fn addresses_stand_behind_at() {
        let text = "page-fault: reading 0x10 at 0x201a3c";
        assert_eq!(addresses(text).collect::<Vec<_>>(), [0x20_1a3c]);
        let text = "general-protection: at 0xffffffff80001000, error 0x0 in kernel mode, stack 0x5";
        assert_eq!(addresses(text).collect::<Vec<_>>(), [0xffff_ffff_8000_1000]);
        assert_eq!(addresses("at rest, at 0xzz").count(), 0);
    }

    #[test]
    fn a_backtrace_keeps_its_order() {
        let text = " at 0x30 at 0x10 at 0x20";
        assert_eq!(addresses(text).collect::<Vec<_>>(), [0x30, 0x10, 0x20]);
    }

    /// Works on its own program: what it says of a function's address names the function.
    #[test]
    fn a_function_is_named_with_its_file() {
        #[inline(never)]
        fn landmark() -> u64 {
            std::hint::black_box(7)
        }
        let own = std::env::current_exe().unwrap();
        // Where the program was loaded is of no interest to its file, so the address comes from there.
        let address = addr2line::Loader::new(&own).ok().and_then(|loader| {
            let name = "landmark";
            let bytes = std::fs::read(&own).ok()?;
            let file = object::File::parse(&*bytes).ok()?;
            let _ = loader;
            use object::{Object, ObjectSymbol};
            let found = file
                .symbols()
                .find(|one| one.name().is_ok_and(|own| own.contains(name)));
            found.map(|symbol| symbol.address())
        });
        assert_eq!(landmark(), 7);
        let symbols = Symbols::new("/".into(), own.clone(), vec![("shell".into(), own)]);
        let line = format!(
            "init: shell faulted: page-fault: reading 0x0 at {:#x}",
            address.unwrap()
        );
        let told = symbols.explain(&line);
        assert!(
            told.iter()
                .any(|line| line.contains("landmark") && line.contains("symbols.rs:")),
            "{told:?}"
        );
        assert!(symbols.explain("init: other faulted: at 0x1000").is_empty());
        assert!(symbols.explain("shell: at 0x1000").is_empty());
    }

    #[test]
    fn an_error_shows_the_line_that_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("main.rs"),
            "one\n    device.queue(0)?;\n",
        )
        .unwrap();
        let symbols = Symbols::new(folder.path().into(), "k".into(), Vec::new());
        let of =
            |place: &str| symbols.explain(&format!("init: a ended with code 1: why ({place})"));
        assert_eq!(of("main.rs:2"), ["    main.rs:2: device.queue(0)?;"]);
        for place in [
            "main.rs:0",
            "main.rs:3",
            "other.rs:1",
            "/etc/passwd:1",
            "../main.rs:2",
        ] {
            assert!(of(place).is_empty(), "{place}");
        }
        assert!(symbols.explain("shell: why (main.rs:2)").is_empty());
    }
}
