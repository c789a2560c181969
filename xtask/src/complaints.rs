//! What QEMU says on its standard error: passed on as it comes, and kept, because it is the reason for an early end.
//!
//! Invariant: never holds more than [`KEPT_BYTES`] of it, and never makes QEMU wait for a reader.

use std::io::{Read, Write};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kvm;

/// What is kept; the first words are the ones that say why.
const KEPT_BYTES: usize = 16 * 1024;
/// QEMU's last words may still be on their way when its output has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The standard error of a running QEMU.
pub struct Complaints {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Complaints {
    /// Reads `errors` to its end on a thread of its own, and writes it to `to` as it comes.
    pub fn watch(mut errors: ChildStderr, mut to: impl Write + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = text.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = errors.read(&mut buffer) {
                let piece = buffer.get(..len).unwrap_or_default();
                // Who does not want to see it must not keep QEMU from saying it.
                let _ = to.write_all(piece).and_then(|()| to.flush());
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT_BYTES - kept.len();
                kept.extend_from_slice(piece.get(..room.min(len)).unwrap_or_default());
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    /// Whether QEMU has given up a guest and waits to be ended.
    pub fn gave_up(&self) -> bool {
        kvm::gave_up(&self.text())
    }

    /// Everything, once QEMU has ended or has been told to.
    pub fn finish(mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let deadline = Instant::now() + LAST_WORDS;
            // A process that QEMU started may hold the other end open.
            while !reader.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.text()
    }

    fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The lines of `errors` that say why, on one line: a warning is no reason, nor is what follows the first few.
pub fn reason(errors: &str) -> String {
    let of_reason = |line: &&str| !line.contains("warning:") && !line.trim().is_empty();
    let lines: Vec<&str> = errors.lines().filter(of_reason).take(3).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Complaints, KEPT_BYTES, reason};

    fn said(script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let complaints = Complaints::watch(child.stderr.take().unwrap(), std::io::sink());
        child.wait().unwrap();
        complaints.finish()
    }

    #[test]
    fn the_beginning_is_kept_and_the_rest_is_read() {
        assert_eq!(said("echo one >&2; echo two >&2"), "one\ntwo\n");
        let long = said("head -c 300000 /dev/zero | tr '\\0' x >&2");
        assert_eq!(long.len(), KEPT_BYTES);
    }

    #[test]
    fn a_warning_is_no_reason() {
        let errors = "qemu: warning: no pni\n\nqemu: -device foo: not a device\nq: a\nq: b\nq: c\n";
        assert_eq!(
            reason(errors),
            "qemu: -device foo: not a device; q: a; q: b"
        );
        assert_eq!(reason(""), "");
    }
}
