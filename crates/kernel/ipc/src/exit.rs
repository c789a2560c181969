//! How a process ended, as everybody who asks is told.

use alloc::sync::Arc;

use schema::process::process_handle as wire;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It called `exit`.
    Exited,
    /// It panicked; the text says why.
    Panicked,
    /// It did what no correct program does; the text names the rule.
    Faulted,
    /// Somebody ended it.
    Killed,
}

/// How and why a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The kind of end.
    pub kind: End,
    /// Exit code.
    pub code: i64,
    /// Panic message or fault; `None` where nobody could pay for it.
    pub(crate) text: Option<Arc<str>>,
}

impl Exit {
    /// Panic message or fault, as far as there was memory to keep it.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("")
    }

    /// The answer to `ProcessHandle.wait`.
    pub(crate) fn told(&self) -> wire::WaitReply<'_> {
        let kind = match self.kind {
            End::Exited => wire::End::Exited,
            End::Panicked => wire::End::Panicked,
            End::Faulted => wire::End::Faulted,
            End::Killed => wire::End::Killed,
        };
        wire::WaitReply {
            kind,
            code: self.code,
            text: self.text(),
        }
    }
}

/// Longest text of an end that is kept.
pub(crate) const TEXT_BYTES: u64 = 1024;
/// Most that such a text takes beside its bytes.
pub(crate) const TEXT_EXTRA: u64 = 128;
