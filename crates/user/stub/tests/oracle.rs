//! The reader against the `capnp` crate's: whatever ours takes, theirs takes too, and both see the same.

use std::marker::PhantomData;

use capnp::introspect::{Introspect, Type, TypeVariant};
use capnp::message::{Reader, ReaderOptions, SegmentArray};
use capnp::private::layout::{
    PointerBuilder, PointerReader, PrimitiveElement, StructBuilder, StructReader, StructSize,
};
use capnp::traits::{
    FromPointerReader, HasStructSize, IntoInternalStructReader, OwnedStruct, SetterInput,
};
use proptest::prelude::*;
use stub::read::{Fields, Message};
use stub::wire::{Element, Encode, Full, MessageWriter, StructWriter};

/// Any struct, as `capnp` sees it.
struct Theirs<'a>(StructReader<'a>);

impl<'a> From<StructReader<'a>> for Theirs<'a> {
    fn from(reader: StructReader<'a>) -> Self {
        Self(reader)
    }
}

impl<'a> FromPointerReader<'a> for Theirs<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        default: Option<&'a [capnp::Word]>,
    ) -> capnp::Result<Self> {
        reader.get_struct(default).map(Self)
    }
}

impl SetterInput<AnyStruct> for Theirs<'_> {
    fn set_pointer_builder(_: PointerBuilder<'_>, _: Self, _: bool) -> capnp::Result<()> {
        unreachable!("nothing is built")
    }
}

impl<'a> IntoInternalStructReader<'a> for Theirs<'a> {
    fn into_internal_struct_reader(self) -> StructReader<'a> {
        self.0
    }
}

/// Stands where `capnp` wants a generated type.
struct AnyStruct;

impl Introspect for AnyStruct {
    fn introspect() -> Type {
        TypeVariant::AnyPointer.into()
    }
}

impl OwnedStruct for AnyStruct {
    type Reader<'a> = Theirs<'a>;
    type Builder<'a> = Unbuilt<'a>;
}

struct Unbuilt<'a>(PhantomData<StructBuilder<'a>>);

impl<'a> From<StructBuilder<'a>> for Unbuilt<'a> {
    fn from(_: StructBuilder<'a>) -> Self {
        Self(PhantomData)
    }
}

impl HasStructSize for Unbuilt<'_> {
    const STRUCT_SIZE: StructSize = StructSize {
        data: 0,
        pointers: 0,
    };
}

type StructList<'a> = capnp::struct_list::Reader<'a, AnyStruct>;

const SLOTS: usize = 6;
const DEPTH: usize = 3;

/// Compares a list of integers.
fn numbers<T>(ours: Fields<'_>, theirs: &PointerReader<'_>, slot: usize) -> usize
where
    T: Element + PartialEq + std::fmt::Debug + PrimitiveElement + Introspect,
{
    let Ok(list) = ours.get_numbers::<T>(slot) else {
        return 0;
    };
    let other = capnp::primitive_list::Reader::<T>::get_from_pointer(theirs, None).unwrap();
    assert!(list.iter().eq(other.iter()));
    assert_eq!(list.get(list.len()), None);
    list.len()
}

/// Compares everything reachable. Returns how many things were seen.
fn same(ours: Fields<'_>, theirs: &StructReader<'_>, depth: usize) -> usize {
    let mut seen = 0;
    for index in 0..5 {
        assert_eq!(ours.get_u64(index), theirs.get_data_field::<u64>(index));
        assert_eq!(ours.get_i16(index), theirs.get_data_field::<i16>(index));
        assert_eq!(ours.get_u8(index), theirs.get_data_field::<u8>(index));
        assert_eq!(ours.get_bool(index), theirs.get_bool_field(index));
    }
    for slot in 0..SLOTS {
        let pointer = theirs.get_pointer_field(slot);
        if let Ok(data) = ours.get_data(slot) {
            assert_eq!(data, pointer.get_data(None).unwrap());
            seen += data.len();
        }
        if let Ok(text) = ours.get_text(slot) {
            assert_eq!(text, pointer.get_text(None).unwrap().to_str().unwrap());
            seen += text.len();
        }
        seen += numbers::<i8>(ours, &pointer, slot);
        seen += numbers::<u16>(ours, &pointer, slot);
        seen += numbers::<i32>(ours, &pointer, slot);
        seen += numbers::<u64>(ours, &pointer, slot);
        if let Ok(list) = ours.get_text_list(slot) {
            let other = capnp::text_list::Reader::get_from_pointer(&pointer, None).unwrap();
            assert_eq!(list.len(), other.len() as usize);
            for (index, text) in list.iter().enumerate().take(8) {
                if let Ok(text) = text {
                    let other = other.get(index as u32).unwrap();
                    assert_eq!(text, other.to_str().unwrap());
                    seen += 1;
                }
            }
        }
        if depth == 0 {
            continue;
        }
        if let Ok(inner) = ours.get_struct::<Fields<'_>>(slot) {
            seen += 1 + same(inner, &pointer.get_struct(None).unwrap(), depth - 1);
        }
        if let Ok(list) = ours.get_list::<Fields<'_>>(slot) {
            let other = StructList::get_from_pointer(&pointer, None).unwrap();
            assert_eq!(list.len(), other.len() as usize);
            for (index, element) in list.iter().enumerate().take(4) {
                let other = other.get(index as u32);
                seen += 1 + same(element, &other.0, depth - 1);
            }
        }
    }
    seen
}

/// Reads `bytes` both ways. Theirs gets a budget that is never the reason to refuse.
fn both(bytes: &[u8]) -> usize {
    // `capnp` reads words in place.
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect();
    let aligned: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let segment = [aligned.as_slice()];
    let options = ReaderOptions {
        traversal_limit_in_words: None,
        nesting_limit: 64,
    };
    let theirs = Reader::new(SegmentArray::new(&segment), options);
    let ours = Message::new(&segment);
    match ours.root() {
        Ok(root) => same(root, &theirs.get_root::<Theirs<'_>>().unwrap().0, DEPTH),
        Err(_) => 0,
    }
}

#[derive(Clone, Debug)]
struct Item(u64, String);

impl Encode for Item {
    const DATA_WORDS: u16 = 1;
    const POINTERS: u16 = 1;
    type At<'a> = Item;
    fn encode(&self, to: &mut StructWriter<'_, '_>) -> Result<(), Full> {
        to.set_u64(0, self.0);
        to.set_text(0, &self.1)
    }
}

/// A message with every kind of pointer in it.
fn message(values: &[u64], data: &[u8], texts: &[String]) -> Vec<u8> {
    let mut bytes = vec![0; 16384];
    let mut writer = MessageWriter::new(&mut bytes);
    let mut root = writer.root(3, SLOTS as u16).unwrap();
    for (index, value) in values.iter().take(3).enumerate() {
        root.set_u64(index, *value);
    }
    root.set_data(0, data).unwrap();
    let items: Vec<_> = texts
        .iter()
        .zip(0..)
        .map(|(t, n)| Item(n, t.clone()))
        .collect();
    root.set_list(1, &items).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    root.set_text_list(2, &texts).unwrap();
    root.set_text(3, texts.first().copied().unwrap_or(""))
        .unwrap();
    let halves: Vec<u16> = data.iter().map(|&byte| u16::from(byte) * 251).collect();
    root.set_numbers(4, &halves).unwrap();
    root.set_numbers(5, values).unwrap();
    let length = writer.len();
    bytes.truncate(length);
    bytes
}

fn parts() -> impl Strategy<Value = (Vec<u64>, Vec<u8>, Vec<String>)> {
    (
        proptest::collection::vec(any::<u64>(), 3),
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec("[a-zé]{0,9}", 1..5),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read((values, data, texts) in parts()) {
        let bytes = message(&values, &data, &texts);
        prop_assert!(both(&bytes) > texts.len() + 2 * data.len() + values.len());
    }

    #[test]
    fn what_was_bent_is_read_alike_or_refused(
        (values, data, texts) in parts(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message(&values, &data, &texts);
        for (at, value) in flips {
            // Half of them in the first words, where the pointers are.
            let at = if value.is_multiple_of(2) { at.index(64) } else { at.index(bytes.len()) };
            bytes[at] ^= value;
        }
        bytes.truncate((cut.index(bytes.len() * 4) / 8 * 8).min(bytes.len()));
        both(&bytes);
    }

    #[test]
    fn noise_is_read_alike_or_refused(words in proptest::collection::vec(
        prop_oneof![any::<u64>(), (0u64..64).prop_map(|x| x << 32 | x), Just(0u64), (0u64..16)], 0..40,
    )) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        both(&bytes);
    }
}

/// A list that lies in itself, as often as the budget lets it.
#[test]
fn shared_targets_do_not_multiply() {
    // Root: one pointer to a composite list of 200 elements with one pointer each, all to the same 100 bytes of data.
    let mut words = vec![1u64 << 48];
    let body = 200u64;
    words.push(1 | 7 << 32 | body << 35);
    words.push(200 << 2 | 1 << 48);
    for index in 0..body {
        let offset = body - index - 1;
        words.push(1 | offset << 2 | 2 << 32 | 100 << 35);
    }
    words.extend([0x0101_0101_0101_0101; 13]);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let segment = [bytes.as_slice()];
    let message = Message::new(&segment);
    let list = message.root().unwrap().get_list::<Fields<'_>>(0).unwrap();
    let read = list.iter().filter(|one| one.get_data(0).is_ok()).count();
    assert!(
        (1..30).contains(&read),
        "{read} times 13 words of {}",
        words.len()
    );
}

#[test]
fn a_pointer_into_another_segment_is_refused() {
    for far in [2u64, 2 | 1 << 32, 6] {
        let bytes = far.to_le_bytes();
        assert!(Message::new(&[bytes.as_slice()]).root().is_err());
    }
    assert!(Message::new(&[&[]]).root().is_err());
}
