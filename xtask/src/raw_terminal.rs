//! A terminal on which every key goes to the guest.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Writes to a terminal in raw mode, where a line feed alone does not begin a line.
pub struct RawLines<W>(pub W);

impl<W: Write> Write for RawLines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, end): (_, &[u8]) = match line.strip_suffix(b"\n") {
                Some(text) => (text, b"\r\n"),
                None => (line, b""),
            };
            self.0.write_all(text)?;
            self.0.write_all(end)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A terminal that passes every key on; dropping it puts the old settings back.
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Sets it so.
    pub fn enter() -> Result<Self> {
        let stdin = std::io::stdin();
        let fd: BorrowedFd<'_> = stdin.as_fd();
        let old = tcgetattr(fd).context("cannot read the terminal's settings")?;
        let mut raw = old.clone();
        cfmakeraw(&mut raw);
        tcsetattr(fd, SetArg::TCSANOW, &raw).context("cannot set the terminal to raw mode")?;
        Ok(Self(old))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}

/// Rows and columns of the terminal; what most have where it does not say.
pub fn size() -> (u16, u16) {
    let said = rustix::termios::tcgetwinsize(std::io::stdin().as_fd());
    said.ok()
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
        .map_or((24, 80), |size| (size.ws_row, size.ws_col))
}
