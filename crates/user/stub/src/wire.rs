//! Building a message in place, in one bounded buffer, and the two things a transport reads without a full reader.
//!
//! The encoding is Cap'n Proto's (capnproto.org/encoding.html): words of 8 bytes, little-endian; a struct is a data
//! section and a pointer section; every pointer is relative to the word behind it. Only what a message between
//! programs needs is here: one segment, so no far pointers. Invariant: nothing is written outside the buffer, and
//! running out of it is an error, never a panic.

use crate::{Refusal, Words};

/// Bytes of a word.
pub const WORD: usize = 8;

/// The buffer has no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A plain-value struct that can be written as a struct or as a list element.
pub trait Encode {
    /// Words of its data section.
    const DATA_WORDS: u16;
    /// Slots of its pointer section.
    const POINTERS: u16;
    /// The same struct with what it borrows living for `'a`.
    type At<'a>: Encode;
    /// Writes its fields.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    fn encode(&self, to: &mut StructWriter<'_, '_>) -> Result<(), Full>;
}

/// A message in the making.
pub struct MessageWriter<'b> {
    bytes: &'b mut [u8],
    used: usize,
}

impl<'b> MessageWriter<'b> {
    /// Starts an empty message at the front of `bytes`. What lies there need not be zero.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Writes the root pointer and makes room for the root struct.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn root(&mut self, data_words: u16, pointers: u16) -> Result<StructWriter<'_, 'b>, Full> {
        self.used = 0;
        let slot = self.take(1)?;
        self.structure(slot, data_words, pointers)
    }

    /// Bytes written so far: the length of the message.
    pub fn len(&self) -> usize {
        self.used * WORD
    }

    /// Nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Makes room for `words` zeroed words and returns the index of the first.
    fn take(&mut self, words: usize) -> Result<usize, Full> {
        let at = self.used;
        self.room(words)?.fill(0);
        Ok(at)
    }

    /// Makes room for `words` words, which hold whatever lay there before.
    fn room(&mut self, words: usize) -> Result<&mut [u8], Full> {
        let at = self.used;
        let end = at.checked_add(words).ok_or(Full)?;
        let room = end.checked_mul(WORD).ok_or(Full)?;
        let bytes = self.bytes.get_mut(at * WORD..room).ok_or(Full)?;
        self.used = end;
        Ok(bytes)
    }

    fn put(&mut self, byte: usize, value: &[u8]) {
        let Some(end) = byte.checked_add(value.len()) else {
            return;
        };
        if let Some(to) = self.bytes.get_mut(byte..end) {
            to.copy_from_slice(value);
        }
    }

    fn put_word(&mut self, index: usize, value: u64) {
        self.put(index * WORD, &value.to_le_bytes());
    }

    /// The relative offset that a pointer at word `slot` needs to name word `target`.
    fn offset(slot: usize, target: usize) -> u64 {
        (((target - slot - 1) as u64) << 2) & 0xffff_ffff
    }

    fn structure(
        &mut self,
        slot: usize,
        data_words: u16,
        pointers: u16,
    ) -> Result<StructWriter<'_, 'b>, Full> {
        let words = usize::from(data_words) + usize::from(pointers);
        if words == 0 {
            // A struct without any content points at itself, by convention, so that it differs from a null pointer.
            self.put_word(slot, 0xffff_fffc);
        } else {
            let at = self.take(words)?;
            let sections = u64::from(data_words) << 32 | u64::from(pointers) << 48;
            self.put_word(slot, Self::offset(slot, at) | sections);
        }
        let at = self.used - words;
        Ok(StructWriter {
            message: self,
            at,
            data_words,
            pointers,
        })
    }

    /// A text: its bytes and a terminator.
    fn text(&mut self, slot: usize, value: &str) -> Result<(), Full> {
        let count = value.len().checked_add(1).ok_or(Full)?;
        self.bytes(slot, value.as_bytes(), count)
    }

    /// A list of integers.
    fn numbers<T: Element>(&mut self, slot: usize, values: &[T]) -> Result<(), Full> {
        let count = values.len();
        if count >= 1 << 29 {
            return Err(Full);
        }
        let at = self.used;
        let bytes = count.checked_mul(T::BYTES).ok_or(Full)?;
        let room = self.room(bytes.div_ceil(WORD))?;
        // The end of the last word first: what lay there must not leak.
        if let Some(last) = room.last_chunk_mut::<WORD>() {
            *last = [0; WORD];
        }
        for (to, value) in room.chunks_exact_mut(T::BYTES).zip(values) {
            value.store(to);
        }
        let pointer = Self::offset(slot, at) | 1 | T::SIZE << 32;
        self.put_word(slot, pointer | (count as u64) << 35);
        Ok(())
    }

    /// A list of `count` bytes: those of `value`, then at most one that is zero.
    fn bytes(&mut self, slot: usize, value: &[u8], count: usize) -> Result<(), Full> {
        if count >= 1 << 29 {
            return Err(Full);
        }
        let at = self.used;
        let room = self.room(count.div_ceil(WORD))?;
        // The end of the last word first: what lay there must not leak, and a terminator is zero.
        if let Some(last) = room.last_chunk_mut::<WORD>() {
            *last = [0; WORD];
        }
        room.get_mut(..value.len())
            .ok_or(Full)?
            .copy_from_slice(value);
        self.put_word(
            slot,
            Self::offset(slot, at) | 1 | 2 << 32 | (count as u64) << 35,
        );
        Ok(())
    }
}

/// An integer as it lies in a list.
pub trait Element: Copy {
    /// Its size as a list pointer has it.
    const SIZE: u64;
    /// Its bytes.
    const BYTES: usize;
    /// Writes it over the first bytes of `to`.
    fn store(self, to: &mut [u8]);
    /// Reads it from exactly its bytes; zero from any other count of them.
    fn load(from: &[u8]) -> Self;
}

macro_rules! elements {
    ($($size:literal: $($t:ty)*;)*) => { $($(
        impl Element for $t {
            const SIZE: u64 = $size;
            const BYTES: usize = size_of::<$t>();
            #[inline]
            fn store(self, to: &mut [u8]) {
                if let Some(to) = to.first_chunk_mut() {
                    *to = self.to_le_bytes();
                }
            }
            #[inline]
            fn load(from: &[u8]) -> Self {
                from.try_into().map_or(0, Self::from_le_bytes)
            }
        }
    )*)* };
}

elements! {
    2: u8 i8;
    3: u16 i16;
    4: u32 i32;
    5: u64 i64;
}

/// One struct of a message in the making.
pub struct StructWriter<'w, 'b> {
    message: &'w mut MessageWriter<'b>,
    at: usize,
    data_words: u16,
    pointers: u16,
}

macro_rules! setters {
    ($($set:ident, $t:ty;)*) => { $(
        #[doc = concat!("Writes the `", stringify!($t), "` at `index`, counted in units of its size.")]
        #[inline]
        pub fn $set(&mut self, index: usize, value: $t) {
            self.data(index * size_of::<$t>(), &value.to_le_bytes());
        }
    )* };
}

impl<'b> StructWriter<'_, 'b> {
    #[inline]
    fn data(&mut self, byte: usize, value: &[u8]) {
        if byte + value.len() <= usize::from(self.data_words) * WORD {
            self.message.put(self.at * WORD + byte, value);
        }
    }

    setters! {
        set_u8, u8; set_u16, u16; set_u32, u32; set_u64, u64;
        set_i8, i8; set_i16, i16; set_i32, i32; set_i64, i64;
    }

    /// Writes the bit at `index`.
    #[expect(clippy::fn_params_excessive_bools, reason = "the value of a field")]
    pub fn set_bool(&mut self, index: usize, value: bool) {
        let byte = self.at * WORD + index / 8;
        if index / 8 < usize::from(self.data_words) * WORD
            && let Some(to) = self.message.bytes.get_mut(byte)
        {
            let bit = 1 << (index % 8);
            *to = if value { *to | bit } else { *to & !bit };
        }
    }

    /// Writes the data section of a plain payload.
    pub fn set_words(&mut self, words: &Words) {
        for (index, word) in words.iter().enumerate() {
            self.set_u64(index, *word);
        }
    }

    fn slot(&self, slot: u16) -> Result<usize, Full> {
        if slot >= self.pointers {
            return Err(Full);
        }
        Ok(self.at + usize::from(self.data_words) + usize::from(slot))
    }

    /// Writes a text into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_text(&mut self, slot: u16, value: &str) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        self.message.text(slot, value)
    }

    /// Writes bytes into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_data(&mut self, slot: u16, value: &[u8]) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        self.message.bytes(slot, value, value.len())
    }

    /// Writes a list of integers into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_numbers<T: Element>(&mut self, slot: u16, values: &[T]) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        self.message.numbers(slot, values)
    }

    /// Writes a capability pointer: the capability is the `index`th of those that travel with the message.
    ///
    /// # Errors
    /// [`Full`] when the struct has no such slot.
    pub fn set_cap(&mut self, slot: u16, index: u32) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        self.message.put_word(slot, u64::from(index) << 32 | 3);
        Ok(())
    }

    /// Writes a struct into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_struct<E: Encode>(&mut self, slot: u16, value: &E) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        let mut inner = self.message.structure(slot, E::DATA_WORDS, E::POINTERS)?;
        value.encode(&mut inner)
    }

    /// Writes a list of structs into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_list<E: Encode>(&mut self, slot: u16, values: &[E]) -> Result<(), Full> {
        self.fill_list::<E>(slot, values.len(), |list| {
            values.iter().try_for_each(|value| list.push_raw(value))
        })
    }

    /// Writes a list of at most `capacity` structs into pointer slot `slot`, pushed by `fill`.
    ///
    /// # Errors
    /// [`Full`] when the buffer has no room for `capacity` elements, or what `fill` returns.
    pub fn fill_list<E: Encode>(
        &mut self,
        slot: u16,
        capacity: usize,
        fill: impl FnOnce(&mut ListWriter<'_, 'b, E>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        let step = usize::from(E::DATA_WORDS) + usize::from(E::POINTERS);
        let words = step.checked_mul(capacity).ok_or(Full)?;
        if words >= 1 << 29 || capacity >= 1 << 29 {
            return Err(Full);
        }
        let tag = self.message.take(1)?;
        self.message.take(words)?;
        let mut list = ListWriter {
            message: self.message,
            at: tag + 1,
            capacity,
            len: 0,
            _element: core::marker::PhantomData,
        };
        let filled = fill(&mut list);
        let len = list.len;
        let sections = u64::from(E::DATA_WORDS) << 32 | u64::from(E::POINTERS) << 48;
        self.message.put_word(tag, (len as u64) << 2 | sections);
        let pointer = MessageWriter::offset(slot, tag) | 1 | 7 << 32;
        self.message
            .put_word(slot, pointer | ((len * step) as u64) << 35);
        filled
    }

    /// Writes a list of texts into pointer slot `slot`.
    ///
    /// # Errors
    /// [`Full`] when the buffer is too small.
    pub fn set_text_list(&mut self, slot: u16, values: &[&str]) -> Result<(), Full> {
        self.fill_text_list(slot, values.len(), |list| {
            values.iter().try_for_each(|value| list.push(value))
        })
    }

    /// Writes a list of at most `capacity` texts into pointer slot `slot`, pushed by `fill`.
    ///
    /// # Errors
    /// [`Full`] when the buffer has no room for `capacity` pointers, or what `fill` returns.
    pub fn fill_text_list(
        &mut self,
        slot: u16,
        capacity: usize,
        fill: impl FnOnce(&mut TextListWriter<'_, 'b>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let slot = self.slot(slot)?;
        if capacity >= 1 << 29 {
            return Err(Full);
        }
        let at = self.message.take(capacity)?;
        let mut list = TextListWriter {
            message: self.message,
            at,
            capacity,
            len: 0,
        };
        let filled = fill(&mut list);
        let len = list.len;
        let pointer = MessageWriter::offset(slot, at) | 1 | 6 << 32;
        self.message.put_word(slot, pointer | (len as u64) << 35);
        filled
    }
}

/// A list of structs in the making.
pub struct ListWriter<'w, 'b, E> {
    message: &'w mut MessageWriter<'b>,
    at: usize,
    capacity: usize,
    len: usize,
    _element: core::marker::PhantomData<fn(&E)>,
}

impl<E: Encode> ListWriter<'_, '_, E> {
    /// Appends an element. One that does not fit leaves the list as it was, so a server may stop there and answer.
    ///
    /// # Errors
    /// [`Full`] when the capacity or the buffer is used up.
    pub fn push(&mut self, value: &E::At<'_>) -> Result<(), Full> {
        self.push_raw(value)
    }

    fn push_raw<V: Encode>(&mut self, value: &V) -> Result<(), Full> {
        if self.len >= self.capacity {
            return Err(Full);
        }
        let before = self.message.used;
        let step = usize::from(E::DATA_WORDS) + usize::from(E::POINTERS);
        let at = self.at + self.len * step;
        let done = value.encode(&mut StructWriter {
            message: self.message,
            at,
            data_words: E::DATA_WORDS,
            pointers: E::POINTERS,
        });
        match done {
            Ok(()) => self.len += 1,
            Err(Full) => {
                self.message.used = before;
                let end = at + step;
                if let Some(bytes) = self.message.bytes.get_mut(at * WORD..end * WORD) {
                    bytes.fill(0);
                }
            }
        }
        done
    }

    /// Elements so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No element so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A list of texts in the making.
pub struct TextListWriter<'w, 'b> {
    message: &'w mut MessageWriter<'b>,
    at: usize,
    capacity: usize,
    len: usize,
}

impl TextListWriter<'_, '_> {
    /// Appends a text. One that does not fit leaves the list as it was.
    ///
    /// # Errors
    /// [`Full`] when the capacity or the buffer is used up.
    pub fn push(&mut self, value: &str) -> Result<(), Full> {
        if self.len >= self.capacity {
            return Err(Full);
        }
        self.message.text(self.at + self.len, value)?;
        self.len += 1;
        Ok(())
    }
}

/// A copy of word `index` of a message.
fn word(message: &[u8], index: usize) -> Option<u64> {
    let at = index.checked_mul(WORD)?;
    let bytes = message.get(at..at.checked_add(WORD)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Where the root struct lies: word index, data words, pointers. `None` for a null root.
fn root(message: &[u8]) -> Result<Option<(usize, u16, u16)>, Refusal> {
    let pointer = word(message, 0).ok_or(Refusal::BadMessage)?;
    if pointer == 0 {
        return Ok(None);
    }
    if pointer & 3 != 0 {
        return Err(Refusal::BadMessage);
    }
    let offset = i64::from((pointer as i32) >> 2);
    let at = usize::try_from(offset + 1).map_err(|_| Refusal::BadMessage)?;
    let (data, pointers) = ((pointer >> 32) as u16, (pointer >> 48) as u16);
    let end = at + usize::from(data) + usize::from(pointers);
    if end > message.len() / WORD {
        return Err(Refusal::BadMessage);
    }
    Ok(Some((at, data, pointers)))
}

/// The results of a plain method out of a message of `len` words, of which `word` reads one: what the caller of such a method
/// gets in registers, however its server answered. `None`: it is anything but a root struct of one to four data words and
/// nothing else.
#[inline]
pub fn plain_words(len: usize, word: impl Fn(usize) -> u64) -> Option<Words> {
    let data = len.checked_sub(1).filter(|data| (1..=4).contains(data))?;
    // A pointer to a struct right behind it, its data words counted in bits 32 to 47.
    if word(0) != (data as u64) << 32 {
        return None;
    }
    Some(core::array::from_fn(
        |i| if i < data { word(i + 1) } else { 0 },
    ))
}

/// The first four words of the root struct's data section, with zeroes where it is shorter.
///
/// # Errors
/// [`Refusal::BadMessage`] when the root is not a struct inside the message.
pub fn data_words(message: &[u8]) -> Result<Words, Refusal> {
    let mut words = [0; 4];
    if let Some((at, data, _)) = root(message)? {
        for (index, to) in words.iter_mut().enumerate().take(usize::from(data)) {
            *to = word(message, at + index).ok_or(Refusal::BadMessage)?;
        }
    }
    Ok(words)
}

/// The index that the capability pointer in slot `slot` of the root struct holds; `None` for a null pointer.
///
/// # Errors
/// [`Refusal::BadMessage`] when the slot holds anything else.
pub fn cap_index(message: &[u8], slot: u16) -> Result<Option<usize>, Refusal> {
    let Some((at, data, pointers)) = root(message)? else {
        return Ok(None);
    };
    if slot >= pointers {
        return Ok(None);
    }
    let at = at + usize::from(data) + usize::from(slot);
    let pointer = word(message, at).ok_or(Refusal::BadMessage)?;
    match pointer as u32 {
        0 if pointer == 0 => Ok(None),
        3 => Ok(Some((pointer >> 32) as usize)),
        _ => Err(Refusal::BadMessage),
    }
}
