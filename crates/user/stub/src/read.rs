//! Taking a message apart, with limits.
//!
//! The counterpart of [`crate::wire`]: one segment, so a pointer to another one is refused. Nothing is believed before
//! it was compared with the segment: every pointer is followed once, when its field is asked for, and what it spans is
//! charged to the message's budget, so that pointers which share a target cannot multiply it. Invariant: nothing
//! outside the segment is read, and no message makes a reader panic, recurse or loop.
//!
//! Encoding: Cap'n Proto (capnproto.org/encoding.html, "Structs", "Lists"). The `capnp` crate reads the same bytes in the
//! tests, as the oracle. It is not used here because its segments and limits are chosen at run time: that is about
//! half the cost of a small call.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::Refusal;
use crate::wire::{Element, WORD};

/// How deep structs and lists may nest.
pub const NESTING_LIMIT: i32 = 8;

const KIND_STRUCT: u64 = 0;
const KIND_LIST: u64 = 1;
const SIZE_POINTER: u64 = 6;
const SIZE_COMPOSITE: u64 = 7;

/// A message that is being read.
pub struct Message<'m> {
    segment: &'m [u8],
    /// Words that may still be traversed.
    budget: Cell<usize>,
}

impl<'m> Message<'m> {
    /// Opens the message that is `segment[0]`. Reading may traverse each word twice, no more.
    #[inline]
    pub fn new(segment: &'m [&'m [u8]; 1]) -> Self {
        let segment = segment[0];
        Self {
            segment,
            budget: Cell::new(segment.len() / WORD * 2 + 1),
        }
    }

    /// The root struct; an empty one where the root pointer is null.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when there is none inside the message.
    #[inline]
    pub fn root(&self) -> Result<Fields<'_>, Refusal> {
        let root = At {
            segment: self.segment,
            budget: &self.budget,
            depth: NESTING_LIMIT,
        };
        root.structure(0)
    }
}

/// A place in a message: what is left of its limits there.
#[derive(Clone, Copy)]
struct At<'m> {
    segment: &'m [u8],
    budget: &'m Cell<usize>,
    depth: i32,
}

impl<'m> At<'m> {
    /// The word at `index`.
    #[inline]
    fn word(self, index: usize) -> Result<u64, Refusal> {
        let at = index.checked_mul(WORD).ok_or(Refusal::BadMessage)?;
        let bytes = self.segment.get(at..).and_then(<[u8]>::first_chunk);
        bytes
            .map(|bytes| u64::from_le_bytes(*bytes))
            .ok_or(Refusal::BadMessage)
    }

    /// The word that the pointer `pointer` in slot `slot` names: its offset is signed and counts from the next word.
    #[inline]
    fn target(slot: usize, pointer: u64) -> Result<usize, Refusal> {
        let offset = (pointer as u32).cast_signed() >> 2;
        let next = slot.checked_add(1).ok_or(Refusal::BadMessage)?;
        next.checked_add_signed(offset as isize)
            .ok_or(Refusal::BadMessage)
    }

    /// `words` words from `start` on, paid for.
    #[inline]
    fn span(self, start: usize, words: usize) -> Result<&'m [u8], Refusal> {
        self.pay(words)?;
        let from = start.checked_mul(WORD).ok_or(Refusal::BadMessage)?;
        let bytes = words.checked_mul(WORD).ok_or(Refusal::BadMessage)?;
        self.segment
            .get(from..)
            .and_then(|rest| rest.get(..bytes))
            .ok_or(Refusal::BadMessage)
    }

    #[inline]
    fn pay(self, words: usize) -> Result<(), Refusal> {
        let left = self.budget.get().checked_sub(words);
        self.budget.set(left.ok_or(Refusal::BadMessage)?);
        Ok(())
    }

    /// The same place one level deeper.
    #[inline]
    fn deeper(self) -> Result<Self, Refusal> {
        if self.depth <= 0 {
            return Err(Refusal::BadMessage);
        }
        Ok(Self {
            depth: self.depth - 1,
            ..self
        })
    }

    /// The struct that the pointer in `slot` names.
    #[inline]
    fn structure(self, slot: usize) -> Result<Fields<'m>, Refusal> {
        let pointer = self.word(slot)?;
        if pointer == 0 {
            return Ok(self.empty());
        }
        if pointer & 3 != KIND_STRUCT {
            return Err(Refusal::BadMessage);
        }
        let inner = self.deeper()?;
        let start = Self::target(slot, pointer)?;
        let (data_words, pointers) = sizes(pointer);
        let whole = inner.span(start, data_words + pointers)?;
        Ok(inner.fields(whole, start, data_words, pointers))
    }

    #[inline]
    fn fields(
        self,
        whole: &'m [u8],
        start: usize,
        data_words: usize,
        pointers: usize,
    ) -> Fields<'m> {
        Fields {
            at: self,
            data: whole.get(..data_words * WORD).unwrap_or_default(),
            // In bounds of the segment, because `whole` is.
            first: start + data_words,
            pointers,
        }
    }

    const fn empty(self) -> Fields<'m> {
        Fields {
            at: self,
            data: &[],
            first: 0,
            pointers: 0,
        }
    }

    /// The bytes of the byte list that the pointer in `slot` names; `None` for a null pointer.
    #[inline]
    fn bytes(self, slot: usize) -> Result<Option<&'m [u8]>, Refusal> {
        self.elements::<u8>(slot)
    }

    /// The bytes of the list of `T` that the pointer in `slot` names; `None` for a null pointer.
    #[inline]
    fn elements<T: Element>(self, slot: usize) -> Result<Option<&'m [u8]>, Refusal> {
        let pointer = self.word(slot)?;
        if pointer == 0 {
            return Ok(None);
        }
        let (size, count) = list_shape(pointer);
        if pointer & 3 != KIND_LIST || size != T::SIZE {
            return Err(Refusal::BadMessage);
        }
        let start = Self::target(slot, pointer)?;
        // 29 bits times 8: no overflow.
        let bytes = count * T::BYTES;
        let whole = self.span(start, bytes.div_ceil(WORD))?;
        whole.get(..bytes).map(Some).ok_or(Refusal::BadMessage)
    }
}

/// Words of data and count of pointers, as a struct pointer or a list's tag has them.
#[inline]
const fn sizes(pointer: u64) -> (usize, usize) {
    (
        (pointer >> 32 & 0xffff) as usize,
        (pointer >> 48 & 0xffff) as usize,
    )
}

/// Size code and count (of words, where the size is composite) of a list pointer.
#[inline]
const fn list_shape(pointer: u64) -> (u64, usize) {
    (pointer >> 32 & 7, (pointer >> 35) as usize)
}

/// The fields of a struct, by position.
#[derive(Clone, Copy)]
pub struct Fields<'m> {
    at: At<'m>,
    data: &'m [u8],
    /// Word index of the first pointer.
    first: usize,
    pointers: usize,
}

macro_rules! getters {
    ($($get:ident, $t:ty;)*) => { $(
        #[doc = concat!("The `", stringify!($t), "` at `index`, counted in units of its size; 0 beyond the end.")]
        #[inline]
        pub fn $get(&self, index: usize) -> $t {
            let at = index.saturating_mul(size_of::<$t>());
            let bytes = self.data.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| <$t>::from_le_bytes(*bytes))
        }
    )* };
}

impl<'m> Fields<'m> {
    getters! {
        get_u8, u8; get_u16, u16; get_u32, u32; get_u64, u64;
        get_i8, i8; get_i16, i16; get_i32, i32; get_i64, i64;
    }

    /// The bit at `index`.
    pub fn get_bool(&self, index: usize) -> bool {
        let byte = self.data.get(index / 8).copied().unwrap_or(0);
        byte >> (index % 8) & 1 != 0
    }

    /// Word index of pointer slot `slot`; `None` beyond the end, which reads as null.
    #[inline]
    fn slot(&self, slot: usize) -> Option<usize> {
        (slot < self.pointers).then(|| self.first + slot)
    }

    /// The text in pointer slot `slot`; empty for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed, over the limits or not UTF-8.
    pub fn get_text(&self, slot: usize) -> Result<&'m str, Refusal> {
        let Some(slot) = self.slot(slot) else {
            return Ok("");
        };
        text(self.at, slot)
    }

    /// The bytes in pointer slot `slot`; empty for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when they are malformed or over the limits.
    #[inline]
    pub fn get_data(&self, slot: usize) -> Result<&'m [u8], Refusal> {
        let Some(slot) = self.slot(slot) else {
            return Ok(&[]);
        };
        Ok(self.at.bytes(slot)?.unwrap_or_default())
    }

    /// The struct in pointer slot `slot`; an empty one, all defaults, for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits.
    pub fn get_struct<T: From<Fields<'m>>>(&self, slot: usize) -> Result<T, Refusal> {
        match self.slot(slot) {
            Some(slot) => self.at.structure(slot).map(T::from),
            None => Ok(T::from(self.at.empty())),
        }
    }

    /// The list of structs in pointer slot `slot`; an empty one for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits, or no list of structs as a writer of this
    /// schema makes one (a list of bare values in its place).
    pub fn get_list<T: From<Fields<'m>>>(&self, slot: usize) -> Result<List<'m, T>, Refusal> {
        let mut list = List {
            at: self.at,
            elements: &[],
            start: 0,
            len: 0,
            data_words: 0,
            pointers: 0,
            kind: PhantomData,
        };
        let Some(slot) = self.slot(slot) else {
            return Ok(list);
        };
        let pointer = self.at.word(slot)?;
        if pointer == 0 {
            return Ok(list);
        }
        let (size, words) = list_shape(pointer);
        if pointer & 3 != KIND_LIST || size != SIZE_COMPOSITE {
            return Err(Refusal::BadMessage);
        }
        let inner = self.at.deeper()?;
        let tag_at = At::target(slot, pointer)?;
        let tag = inner.word(tag_at)?;
        if tag & 3 != KIND_STRUCT {
            return Err(Refusal::BadMessage);
        }
        inner.pay(1)?;
        list.at = inner;
        list.start = tag_at + 1;
        list.elements = inner.span(list.start, words)?;
        // In a tag the offset's place holds the count of elements.
        list.len = (tag as u32 >> 2) as usize;
        (list.data_words, list.pointers) = sizes(tag);
        let step = list.data_words + list.pointers;
        // 30 bits times 17: no overflow.
        if list.len * step > words {
            return Err(Refusal::BadMessage);
        }
        if step == 0 {
            // Elements of no size cost nothing to send, but each costs a look.
            inner.pay(list.len)?;
        }
        Ok(list)
    }

    /// The list of integers in pointer slot `slot`; an empty one for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits, or a list of anything of another size.
    pub fn get_numbers<T: Element>(&self, slot: usize) -> Result<Numbers<'m, T>, Refusal> {
        let bytes = match self.slot(slot) {
            Some(slot) => self.at.elements::<T>(slot)?.unwrap_or_default(),
            None => &[],
        };
        Ok(Numbers {
            bytes,
            kind: PhantomData,
        })
    }

    /// The list of texts in pointer slot `slot`; an empty one for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits.
    pub fn get_text_list(&self, slot: usize) -> Result<TextList<'m>, Refusal> {
        let mut list = TextList {
            at: self.at,
            start: 0,
            len: 0,
        };
        let Some(slot) = self.slot(slot) else {
            return Ok(list);
        };
        let pointer = self.at.word(slot)?;
        if pointer == 0 {
            return Ok(list);
        }
        let (size, count) = list_shape(pointer);
        if pointer & 3 != KIND_LIST || size != SIZE_POINTER {
            return Err(Refusal::BadMessage);
        }
        list.at = self.at.deeper()?;
        list.start = At::target(slot, pointer)?;
        list.at.span(list.start, count)?;
        list.len = count;
        Ok(list)
    }
}

fn text(at: At<'_>, slot: usize) -> Result<&str, Refusal> {
    let Some(bytes) = at.bytes(slot)? else {
        return Ok("");
    };
    // A text ends with a zero byte that is not part of it.
    let Some((0, text)) = bytes.split_last() else {
        return Err(Refusal::BadMessage);
    };
    core::str::from_utf8(text).map_err(|_| Refusal::BadMessage)
}

/// A list of structs.
pub struct List<'m, T> {
    at: At<'m>,
    elements: &'m [u8],
    /// Word index of the first element.
    start: usize,
    len: usize,
    data_words: usize,
    pointers: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for List<'_, T> {}

impl<'m, T: From<Fields<'m>>> List<'m, T> {
    /// Count of elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// It has no elements.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        if index >= self.len {
            return None;
        }
        let step = self.data_words + self.pointers;
        let first = index * step;
        // `get_list` checked that all of them lie in `elements`.
        let whole = self.elements.get(first * WORD..(first + step) * WORD)?;
        let start = self.start + first;
        let fields = self.at.fields(whole, start, self.data_words, self.pointers);
        Some(T::from(fields))
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'m, T> {
        let list = *self;
        (0..list.len()).filter_map(move |index| list.get(index))
    }
}

/// A list of integers.
pub struct Numbers<'m, T> {
    /// Whole elements.
    bytes: &'m [u8],
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Numbers<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Numbers<'_, T> {}

impl<'m, T: Element> Numbers<'m, T> {
    /// Count of elements.
    pub const fn len(&self) -> usize {
        self.bytes.len() / T::BYTES
    }

    /// It has no elements.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        let from = index.checked_mul(T::BYTES)?;
        let bytes = self.bytes.get(from..)?.get(..T::BYTES)?;
        Some(T::load(bytes))
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator + use<'m, T> {
        self.bytes.chunks_exact(T::BYTES).map(T::load)
    }
}

/// A list of texts.
#[derive(Clone, Copy)]
pub struct TextList<'m> {
    at: At<'m>,
    /// Word index of the first pointer.
    start: usize,
    len: usize,
}

impl<'m> TextList<'m> {
    /// Count of texts.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// It has no texts.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The text at `index`.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed, over the limits or not UTF-8; [`Refusal::OutOfRange`] when
    /// there is none.
    pub fn get(&self, index: usize) -> Result<&'m str, Refusal> {
        if index >= self.len {
            return Err(Refusal::OutOfRange);
        }
        text(self.at, self.start + index)
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<&'m str, Refusal>> + use<'m> {
        let list = *self;
        (0..list.len()).map(move |index| list.get(index))
    }
}
