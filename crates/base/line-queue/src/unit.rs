//! What is handed over at once, and how it is held back.

use core::fmt;

use crate::{FACT_ROOM, LAST_ROOM, LOG_ROOM, Writer};

/// Whose room a unit may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// A fact of the kernel, which cannot wait.
    Fact,
    /// A log line, which is not waited for.
    Log,
    /// What a program writes, which waits.
    Program,
}

impl Rank {
    /// The room that this rank leaves to others.
    pub(crate) const fn reserved(self) -> usize {
        match self {
            Self::Fact => 2 * LAST_ROOM,
            Self::Log => FACT_ROOM,
            Self::Program => LOG_ROOM,
        }
    }
}

/// What a unit's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The text of one line: control characters are shown as `?`, and the line's end is added.
    Line,
    /// Bytes that go out as they are.
    Raw,
}

/// What stands before the bytes of a unit that is held back.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) writer: Writer,
    pub(crate) form: Form,
    pub(crate) len: u16,
}

const HEAD_BYTES: usize = 11;

impl Head {
    /// `len` is at most [`crate::UNIT_BYTES`].
    pub(crate) fn new(writer: Writer, form: Form, len: usize) -> Self {
        Self {
            writer,
            form,
            len: u16::try_from(len).unwrap_or(u16::MAX),
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        HEAD_BYTES
    }

    pub(crate) fn write(self, put: impl FnMut(u8)) {
        let form = match self.form {
            Form::Line => 0,
            Form::Raw => 1,
        };
        let writer = self.writer.0.to_le_bytes();
        writer
            .into_iter()
            .chain([form])
            .chain(self.len.to_le_bytes())
            .for_each(put);
    }

    pub(crate) fn read(mut take: impl FnMut() -> Option<u8>) -> Option<Self> {
        let mut head = [0; HEAD_BYTES];
        for byte in &mut head {
            *byte = take()?;
        }
        let [writer @ .., form, low, high] = head;
        Some(Self {
            writer: Writer(u64::from_le_bytes(writer)),
            form: if form == 0 { Form::Line } else { Form::Raw },
            len: u16::from_le_bytes([low, high]),
        })
    }
}

/// A short text.
pub(crate) struct Notice {
    text: [u8; 96],
    len: usize,
}

impl Notice {
    pub(crate) const fn new() -> Self {
        Self {
            text: [0; 96],
            len: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for Notice {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.text.get_mut(self.len).ok_or(fmt::Error)? = byte;
            self.len += 1;
        }
        Ok(())
    }
}
