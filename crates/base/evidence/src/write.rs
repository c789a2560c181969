//! Writes a line of evidence.

use core::fmt;

use plain_text::Shown;

use crate::is_word_byte;

/// A value that can stand in a fact.
pub trait WriteValue {
    /// Writes the value in the grammar.
    ///
    /// # Errors
    /// Those of `sink`.
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result;
}

/// A number written as `0x` and hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub u64);

/// Starts a fact about `topic` on `sink`; [`FactWriter::end`] closes the line.
pub fn write_fact<'s>(sink: &'s mut dyn fmt::Write, topic: &str) -> FactWriter<'s> {
    let result = write!(sink, "@{topic}");
    FactWriter { sink, result }
}

/// A fact that is being written. An error of the sink is kept until [`FactWriter::end`].
#[must_use = "a fact is complete only with `end`"]
pub struct FactWriter<'s> {
    sink: &'s mut dyn fmt::Write,
    result: fmt::Result,
}

impl FactWriter<'_> {
    /// Adds a value that is the same in every run.
    pub fn stable(self, key: &str, value: impl WriteValue) -> Self {
        self.pair(key, '=', &value)
    }

    /// Adds a value that differs between runs.
    pub fn volatile(self, key: &str, value: impl WriteValue) -> Self {
        self.pair(key, '~', &value)
    }

    /// Ends the line.
    ///
    /// # Errors
    /// The first error the sink gave.
    pub fn end(self) -> fmt::Result {
        self.result.and_then(|()| self.sink.write_char('\n'))
    }

    fn pair(mut self, key: &str, mark: char, value: &dyn WriteValue) -> Self {
        if self.result.is_ok() {
            self.result =
                write!(self.sink, " {key}{mark}").and_then(|()| value.write_value(self.sink));
        }
        self
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl WriteValue for $int {
            fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
                write!(sink, "{self}")
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl WriteValue for Hex {
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        write!(sink, "{:#x}", self.0)
    }
}

impl WriteValue for bool {
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        sink.write_str(if *self { "true" } else { "false" })
    }
}

/// A word where that reads back as the same text, else a quoted string.
impl WriteValue for str {
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        let starts_as_text = self
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic());
        if starts_as_text && self.bytes().all(is_word_byte) {
            return sink.write_str(self);
        }
        sink.write_char('"')?;
        let mut shown = Shown::new();
        for char in self.chars() {
            let takes = shown.takes(char);
            match char {
                '"' | '\\' => write!(sink, "\\{char}")?,
                '\n' => sink.write_str("\\n")?,
                '\r' => sink.write_str("\\r")?,
                '\t' => sink.write_str("\\t")?,
                char if !takes => write!(sink, "\\u{{{:x}}}", u32::from(char))?,
                char => sink.write_char(char)?,
            }
        }
        sink.write_char('"')
    }
}

impl<T: WriteValue + ?Sized> WriteValue for &T {
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        (**self).write_value(sink)
    }
}

impl WriteValue for fmt::Arguments<'_> {
    /// Written as a quoted string, whatever it prints.
    fn write_value(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        struct Escape<'s>(&'s mut dyn fmt::Write, Shown);
        impl fmt::Write for Escape<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for char in text.chars() {
                    let takes = self.1.takes(char);
                    match char {
                        '"' | '\\' => write!(self.0, "\\{char}")?,
                        char if !takes => {
                            write!(self.0, "\\u{{{:x}}}", u32::from(char))?;
                        }
                        char => self.0.write_char(char)?,
                    }
                }
                Ok(())
            }
        }
        sink.write_char('"')?;
        fmt::write(&mut Escape(sink, Shown::new()), *self)?;
        sink.write_char('"')
    }
}
