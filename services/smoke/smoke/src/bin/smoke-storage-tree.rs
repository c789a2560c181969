//! Copies `in` of a volume to `copy`, whatever it holds, and tries what may be a name.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use sdk::storage::directory::Kind;
use sdk::{Access, Directory, Env, Error, Refusal, VirtualMemory, Volume, Window, fact};
use smoke::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u64 = 256 << 10;
/// Bytes of one read and of the write that follows: no multiple of a block.
const PIECE_BYTES: u32 = 200_001;

struct Copier {
    root: Directory,
    window: Window,
    dirs: u64,
    files: u64,
    bytes: u64,
}

impl Copier {
    /// The names of a directory, and whether each is a directory.
    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Refusal> {
        let directory = self.root.sub(path)?.directory;
        let mut all = Vec::new();
        let mut cursor = 0;
        loop {
            let (next, is_end) = directory
                .list(cursor, |results| {
                    for entry in results.entries()?.iter() {
                        let is_directory = entry.stat()?.value()?.kind == Kind::Directory;
                        all.push((entry.name()?.to_string(), is_directory));
                    }
                    Ok((results.next(), results.end()))
                })
                .and_then(|listed| listed)?;
            if is_end {
                return Ok(all);
            }
            cursor = next;
        }
    }

    fn copy_file(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let reader = self.root.open(from)?.file;
        let writer = self.root.create(to)?.file;
        let mut offset = 0;
        loop {
            let bytes = reader.read(offset, PIECE_BYTES, 0)?.bytes;
            if bytes == 0 {
                break;
            }
            writer.append(bytes, 0)?;
            offset += u64::from(bytes);
        }
        self.files += 1;
        self.bytes += offset;
        Ok(())
    }

    fn copy(&mut self) -> Result<(), Refusal> {
        let mut left = vec![String::new()];
        while let Some(below) = left.pop() {
            self.root.mkdir(&format!("copy{below}"))?;
            self.dirs += 1;
            for (name, is_directory) in self.list(&format!("in{below}"))? {
                let below = format!("{below}/{name}");
                if is_directory {
                    left.push(below);
                } else {
                    self.copy_file(&format!("in{below}"), &format!("copy{below}"))?;
                }
            }
        }
        Ok(())
    }

    /// The only byte of a file.
    fn byte(&self, path: &str) -> Result<u8, Refusal> {
        self.root.open(path)?.file.read(0, 1, 0)?;
        let mut byte = [0];
        self.window.read(0, &mut byte)?;
        Ok(byte[0])
    }

    /// What may be a name, and what is the same name.
    fn names(&self) -> Result<(), Refusal> {
        let root = &self.root;
        let long = "n".repeat(255);
        fact!(
            "tree.names",
            long = outcome(&root.mkdir(&long)),
            longer = outcome(&root.mkdir(&format!("{long}n"))),
            zero = outcome(&root.mkdir("a\0b")),
            up = outcome(&root.mkdir("in/..")),
            here = outcome(&root.mkdir("in/.")),
            slash = outcome(&root.rename("in", "a/b")),
            dots = outcome(&root.mkdir("...")),
            space = outcome(&root.mkdir(" "))
        );
        // Names are the same where their bytes are: nothing is folded or normalised.
        let put = |path: &str, byte: u8| -> Result<(), Refusal> {
            self.window.write(0, &[byte])?;
            root.create(path)?.file.append(1, 0).map(drop)
        };
        put("\u{e9}", 1)?;
        put("e\u{301}", 2)?;
        put("\u{c9}", 3)?;
        put("a", 4)?;
        put("A", 5)?;
        let found = ["\u{e9}", "e\u{301}", "\u{c9}", "a", "A"].map(|name| self.byte(name));
        let apart = found.into_iter().eq((1..=5).map(Ok));
        fact!(
            "tree.same",
            apart = apart,
            again = outcome(&root.mkdir("\u{e9}")),
            decomposed_again = outcome(&root.mkdir("e\u{301}"))
        );
        Ok(())
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let volume: Volume = env.get("volume")?;
    let memory: VirtualMemory = env.get("vm")?;
    let window = memory.create_memory(WINDOW_BYTES)?.memory;
    let window = Window::map(window, WINDOW_BYTES, Access::ReadWrite)?;
    let root = volume.attach(window.memory().cap())?.root;
    let mut copier = Copier {
        root,
        window,
        dirs: 0,
        files: 0,
        bytes: 0,
    };
    copier.copy()?;
    fact!(
        "tree.copied",
        dirs = copier.dirs,
        files = copier.files,
        bytes = copier.bytes
    );
    copier.names()?;
    copier.root.sync()?;
    fact!("tree.done");
    Ok(())
}
