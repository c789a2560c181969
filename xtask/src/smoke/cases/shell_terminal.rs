//! The shell with a person in front of it: Tab, progress, and the commands that look at what runs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::disk::FatImage;
use crate::serial::Serial;
use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;

/// A name that turns the text behind it around, as UTF-16: what `evilXtxt.exe` becomes.
const TURNED: &str = "evil\u{202e}";

/// A disk with a file that takes seconds to read, and one whose name commands a terminal.
fn files(path: &Path) -> Result<()> {
    FatImage::create(path, 64, 32, "FILES")?
        .file("HELLO.TXT", b"hello from the disk\r\n")?
        .file("evilXtxt.exe", b"opened by its name\r\n")?
        .file("BIG.BIN", &pattern(4 << 20))?;
    // mcopy takes no such name, and the sum of a long name is over the short one.
    let mut image = fs::read(path)?;
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let (from, to) = (wide("evilX"), wide(TURNED));
    let at = image
        .windows(from.len())
        .position(|window| window == from)
        .context("mcopy wrote no long name")?;
    image
        .get_mut(at..at + to.len())
        .context("the name ends the image")?
        .copy_from_slice(&to);
    fs::write(path, image)?;
    Ok(())
}

/// A line that is written over itself says how far it is.
fn progress(peer: &mut Peer<'_>) -> Result<()> {
    let shows = |serial: &Serial| serial.partial().contains(" of 4 MiB (");
    let waited = peer.session.wait(peer.deadline, shows);
    ensure!(
        waited == Waited::Seen,
        "no progress was shown of a command that takes seconds"
    );
    Ok(())
}

/// `ps` shows account, priority and restarts of the provider that was killed.
fn restarted(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let shown = lines.iter().rev().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.get(1) == Some(&"nvme")).then(|| line.clone())
    });
    let shown = shown.context("ps does not show nvme")?;
    let words: Vec<&str> = shown.split_whitespace().collect();
    ensure!(
        words.get(2..5) == Some(&["init", "24", "1"]),
        "account, priority and restarts of nvme: {shown:?}"
    );
    Ok(())
}

/// A log that is followed shows what holds the text, and nothing else, as it comes.
fn followed(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let begun = lines.iter().rposition(|line| line.contains(FOLLOW));
    let shown = lines.get(begun.context("log -f was not typed")? + 1..);
    let shown = shown.unwrap_or_default().iter();
    let shown: Vec<&String> = shown
        .take_while(|line| !line.contains("^C"))
        .filter(|line| !line.trim().is_empty())
        .collect();
    let strange = shown.iter().find(|line| !line.contains(THIRD));
    ensure!(strange.is_none(), "log -f {THIRD} shows {strange:?}");
    ensure!(!shown.is_empty(), "log -f {THIRD} shows nothing");
    Ok(())
}

const FOLLOW: &str = "log -f 1 incarnation=3";
const THIRD: &str = "incarnation=3";

inventory::submit! {
    Smoke {
        name: "shell-terminal",
        question: "Does a person at a terminal get completion, progress, and a look at what runs?",
        disks: &[SmokeDisk { name: "files.img", make: files, bytes_per_s: 2 << 20 }],
        cmdline: "log=quiet",
        steps: &[
            Step::Prompt,
            // What a terminal answers when it is asked for its size.
            Step::Send(b"\x1b[8;24;80t"),
            Step::Send(b"cat /disk/HEL\t\r"),
            Step::Wait("hello from the disk"),
            Step::Prompt,
            Step::Send(b"cat /disk/evi\t\r"),
            Step::Wait("opened by its name"),
            Step::Type("sha256 /disk/big.bin"),
            Step::Peer(progress),
            Step::Type("kill nvme"),
            Step::Type("cat /disk/hello.txt"),
            Step::Type("ps"),
            Step::Prompt,
            Step::Peer(restarted),
            Step::Type("trace shell 1"),
            // Looking for Ctrl-C ends by its deadline: a refusal is shown by its name.
            Step::Wait("s  timedOut"),
            Step::Type("trace nobody"),
            Step::Type("log 3 nvme"),
            Step::Type("log -f 1 shell-of-nobody"),
            Step::Wait("log -f"),
            Step::Send(b"\x03"),
            Step::Prompt,
            // The driver comes back while the log is followed.
            Step::Type("kill nvme"),
            Step::Type(FOLLOW),
            Step::Wait("name=nvme incarnation=3"),
            Step::Send(b"\x03"),
            Step::Prompt,
            Step::Peer(followed),
            Step::Type("top 2"),
            Step::Wait("of one processor in use"),
            Step::Wait("of one processor in use"),
            Step::Type("halt"),
        ],
        required: &[
            "hello from the disk",
            "opened by its name",
            "trace: no process is named \"nobody\"; ps lists them",
            "^C",
        ],
        forbidden: &["@kernel.panic", "\u{202e}"],
        ..Smoke::DEFAULT
    }
}
