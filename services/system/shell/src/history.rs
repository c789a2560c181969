//! The lines that were entered, kept on the volume of the name `volume` where that has a file for them.
//!
//! Whoever has no such file wants none kept, so nothing is written to a disk that was merely plugged in. A line is durable before it
//! is run: also `halt` and what takes the machine down are there. What the file holds may be anybody's: lines that could not
//! have been typed are left out.

use core::fmt::Write as _;

use sdk::alloc::{string::String, vec, vec::Vec};
use shell_lang::{Path, change::Over};
use terminal::{Failure, Terminal};

use crate::disks::Disks;
use crate::{HISTORY_LINES, Prompt};

const FILE: &str = "/volume/.history";
/// The file is cut down to what is remembered when it would get longer.
const MOST_BYTES: u64 = 64 << 10;
/// What is read of it at the start, from its end.
const READ_BYTES: usize = 16 << 10;

/// Where lines are kept, if anywhere.
pub struct History(Option<Kept>);

struct Kept {
    path: Path,
    bytes: u64,
}

impl History {
    /// Looks for the file, and has the prompt remember what is in it.
    pub fn find(disks: &mut Disks, prompt: &mut Prompt) -> Self {
        let there = |disk: &crate::disks::Disk| disk.name == "volume" && disk.volume.is_some();
        if !disks.list.iter().any(there) {
            return Self(None);
        }
        let path = Path::root().resolve(FILE);
        let Ok(text) = tail(disks, &path) else {
            return Self(None);
        };
        let bytes = disks.stat(&path).map_or(0, |stat| stat.bytes);
        // A first line whose beginning is not there is none.
        let cut = usize::from(bytes > text.len() as u64);
        for line in lines(&text).skip(cut) {
            prompt.remember(line);
        }
        Self(Some(Kept { path, bytes }))
    }

    /// Keeps a line that will be run now. Where that fails once, it is said, and nothing more is kept.
    pub fn keep(
        &mut self,
        line: &str,
        prompt: &Prompt,
        disks: &mut Disks,
        terminal: &mut Terminal,
    ) {
        let Self(Some(kept)) = self else { return };
        if line.trim().is_empty() {
            return;
        }
        if let Err(failure) = kept.write(line, prompt, disks) {
            let _ = writeln!(
                terminal,
                "the history is kept no longer, until the shell is started again: {failure}"
            );
            self.0 = None;
        }
    }
}

impl Kept {
    fn write(&mut self, line: &str, prompt: &Prompt, disks: &mut Disks) -> Result<(), Failure> {
        let (mut text, mut over) = (String::new(), Over::Append);
        if self.bytes + line.len() as u64 >= MOST_BYTES {
            (self.bytes, over) = (0, Over::Replace);
            // The newest of them is the line itself.
            for age in (2..=HISTORY_LINES).rev() {
                text.extend(
                    prompt
                        .remembered(age)
                        .into_iter()
                        .flat_map(|line| [line, "\n"]),
                );
            }
        }
        text.push_str(line);
        text.push('\n');
        let writer = disks.writer(&self.path, over)?;
        disks.append(&writer, &self.path, text.as_bytes())?;
        drop(writer);
        let (disk, _) = disks.locate(&self.path)?;
        disks.sync(disk)?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// The end of a file.
fn tail(disks: &mut Disks, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut reader = disks.open(path)?;
    let (mut text, mut piece) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        let bytes = disks.read(&mut reader, path, &mut piece)?;
        if bytes == 0 {
            return Ok(text);
        }
        text.extend_from_slice(piece.get(..bytes).unwrap_or_default());
        let more = text.len().saturating_sub(READ_BYTES);
        text.drain(..more);
    }
}

/// The lines of a text, the oldest first; what is no text is an empty one.
fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.map(|line| core::str::from_utf8(line).unwrap_or_default())
}
