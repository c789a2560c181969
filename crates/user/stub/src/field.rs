//! One field of a struct: how a value of each type lies in a payload of four words, in a message that is read and in
//! one that is written.
//!
//! `at` counts as Cap'n Proto does: for data in units of the field's own size, for everything else in pointer slots.
//! Invariant: nothing is read or written outside the struct; a place that a shorter struct does not have reads as zero
//! or empty.

use crate::read::{Fields, List, Numbers, TextList};
use crate::wire::{Element, Encode, Full, StructWriter};
use crate::{Refusal, Words, words};

/// Data of fixed size: integers, truth values, enums.
pub trait Scalar: Copy {
    /// Reads it from a plain payload.
    ///
    /// # Errors
    /// [`Refusal::BadArgument`] for a number that no variant of an enum has.
    fn from_words(words: &Words, at: usize) -> Result<Self, Refusal>;

    /// Writes it into a plain payload, where it must still be zero.
    fn to_words(self, words: &mut Words, at: usize);

    /// What is on the wire where `default` stands for zero, and the other way round.
    #[must_use]
    fn masked(self, default: Self) -> Self;
}

/// Data that any bits are a value of.
pub trait Number: Scalar {
    /// Reads it from a message.
    fn number(from: &Fields<'_>, at: usize) -> Self;
}

/// What a getter of a message reads.
pub trait Field<'m>: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] where the message is malformed, [`Refusal::BadArgument`] for a number that no variant of an
    /// enum has.
    fn get(from: &Fields<'m>, at: usize) -> Result<Self, Refusal>;
}

/// What can be written into a message.
pub trait Put {
    /// Writes it.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full>;
}

macro_rules! scalars {
    ($($type:ty, $get:ident, $set:ident, |$value:ident, $default:ident| $masked:expr;)*) => { $(
        impl Scalar for $type {
            #[inline(always)]
            fn from_words(words: &Words, at: usize) -> Result<Self, Refusal> {
                Ok(words::$get(words, at))
            }
            #[inline(always)]
            fn to_words(self, words: &mut Words, at: usize) {
                words::$set(words, at, self);
            }
            #[inline(always)]
            fn masked(self, $default: Self) -> Self {
                let $value = self;
                $masked
            }
        }
        impl Number for $type {
            #[inline(always)]
            fn number(from: &Fields<'_>, at: usize) -> Self {
                from.$get(at)
            }
        }
        impl Field<'_> for $type {
            #[inline(always)]
            fn get(from: &Fields<'_>, at: usize) -> Result<Self, Refusal> {
                Ok(from.$get(at))
            }
        }
        impl Put for $type {
            #[inline(always)]
            fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
                to.$set(usize::from(at), *self);
                Ok(())
            }
        }
    )* };
}

scalars! {
    bool, get_bool, set_bool, |value, default| value != default;
    u8, get_u8, set_u8, |value, default| value ^ default;
    u16, get_u16, set_u16, |value, default| value ^ default;
    u32, get_u32, set_u32, |value, default| value ^ default;
    u64, get_u64, set_u64, |value, default| value ^ default;
    i8, get_i8, set_i8, |value, default| value ^ default;
    i16, get_i16, set_i16, |value, default| value ^ default;
    i32, get_i32, set_i32, |value, default| value ^ default;
    i64, get_i64, set_i64, |value, default| value ^ default;
}

/// The code of a refusal; 0 is none.
impl Scalar for Option<Refusal> {
    #[inline(always)]
    fn from_words(words: &Words, at: usize) -> Result<Self, Refusal> {
        refusal(words::get_u8(words, at))
    }
    #[inline(always)]
    fn to_words(self, words: &mut Words, at: usize) {
        words::set_u8(words, at, self.map_or(0, Refusal::code));
    }
    /// No schema gives one a default.
    #[inline(always)]
    fn masked(self, _: Self) -> Self {
        self
    }
}

impl Field<'_> for Option<Refusal> {
    #[inline(always)]
    fn get(from: &Fields<'_>, at: usize) -> Result<Self, Refusal> {
        refusal(from.get_u8(at))
    }
}

impl Put for Option<Refusal> {
    #[inline(always)]
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
        to.set_u8(usize::from(at), self.map_or(0, Refusal::code));
        Ok(())
    }
}

/// Reads a code as an enum is read: a number that nothing has is refused.
fn refusal(code: u8) -> Result<Option<Refusal>, Refusal> {
    match Refusal::from_code(code) {
        None if code != 0 => Err(Refusal::BadArgument),
        known => Ok(known),
    }
}

macro_rules! pointers {
    ($([$($generic:ident)?] $type:ty, $get:ident;)*) => { $(
        impl<'m $(, $generic: From<Fields<'m>>)?> Field<'m> for $type {
            #[inline(always)]
            fn get(from: &Fields<'m>, at: usize) -> Result<Self, Refusal> {
                from.$get(at)
            }
        }
    )* };
}

pointers! {
    [] &'m str, get_text;
    [] &'m [u8], get_data;
    [] TextList<'m>, get_text_list;
    [T] List<'m, T>, get_list;
}

impl<'m, T: Element> Field<'m> for Numbers<'m, T> {
    #[inline(always)]
    fn get(from: &Fields<'m>, at: usize) -> Result<Self, Refusal> {
        from.get_numbers(at)
    }
}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl Put for &[$type] {
            #[inline(always)]
            fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
                to.set_numbers(at, self)
            }
        }
    )* };
}

// Those of `u8` are `Data`.
numbers! { i8 u16 i16 u32 i32 u64 i64 }

impl Put for &str {
    #[inline(always)]
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
        to.set_text(at, self)
    }
}

impl Put for &[u8] {
    #[inline(always)]
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
        to.set_data(at, self)
    }
}

impl Put for &[&str] {
    #[inline(always)]
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
        to.set_text_list(at, self)
    }
}

impl<E: Encode> Put for &[E] {
    #[inline(always)]
    fn put(&self, to: &mut StructWriter<'_, '_>, at: u16) -> Result<(), Full> {
        to.set_list(at, self)
    }
}
