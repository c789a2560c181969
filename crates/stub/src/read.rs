//! Taking a message apart, with limits. The pointer walking is the `capnp` crate's; this turns its readers into ones
//! that need no generated schema, and its errors into refusals.

use core::marker::PhantomData;

use capnp::introspect::{Introspect, Type, TypeVariant};
use capnp::message::{Reader, ReaderOptions, SegmentArray};
use capnp::private::layout::{
    PointerBuilder, PointerReader, StructBuilder, StructReader, StructSize,
};
use capnp::traits::{
    FromPointerReader, HasStructSize, IntoInternalStructReader, OwnedStruct, SetterInput,
};

use crate::Refusal;
use crate::wire::WORD;

/// How deep structs and lists may nest.
pub const NESTING_LIMIT: i32 = 8;

/// A message that is being read.
pub struct Message<'m>(Reader<SegmentArray<'m>>);

impl<'m> Message<'m> {
    /// Opens the message that is `segment[0]`. Reading may traverse each word twice, no more.
    pub fn new(segment: &'m [&'m [u8]; 1]) -> Self {
        let options = ReaderOptions {
            traversal_limit_in_words: Some(segment[0].len() / WORD * 2 + 1),
            nesting_limit: NESTING_LIMIT,
        };
        Self(Reader::new(SegmentArray::new(segment), options))
    }

    /// The root struct; an empty one where the root pointer is null.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when there is none inside the message.
    pub fn root(&self) -> Result<Fields<'_>, Refusal> {
        self.0.get_root().map_err(bad)
    }
}

fn bad(_: capnp::Error) -> Refusal {
    Refusal::BadMessage
}

/// The fields of a struct, by position.
#[derive(Clone, Copy)]
pub struct Fields<'m>(StructReader<'m>);

macro_rules! getters {
    ($($get:ident, $t:ty;)*) => { $(
        #[doc = concat!("The `", stringify!($t), "` at `index`, counted in units of its size; 0 beyond the end.")]
        #[inline]
        pub fn $get(&self, index: usize) -> $t {
            self.0.get_data_field::<$t>(index)
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
        self.0.get_bool_field(index)
    }

    /// The text in pointer slot `slot`; empty for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed, over the limits or not UTF-8.
    pub fn get_text(&self, slot: usize) -> Result<&'m str, Refusal> {
        let text = self.0.get_pointer_field(slot).get_text(None).map_err(bad)?;
        text.to_str().map_err(|_| Refusal::BadMessage)
    }

    /// The bytes in pointer slot `slot`; empty for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when they are malformed or over the limits.
    pub fn get_data(&self, slot: usize) -> Result<&'m [u8], Refusal> {
        self.0.get_pointer_field(slot).get_data(None).map_err(bad)
    }

    /// The struct in pointer slot `slot`; an empty one, all defaults, for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits.
    pub fn get_struct<T: From<Fields<'m>>>(&self, slot: usize) -> Result<T, Refusal> {
        let inner = self.0.get_pointer_field(slot).get_struct(None);
        Ok(T::from(Fields(inner.map_err(bad)?)))
    }

    /// The list of structs in pointer slot `slot`; an empty one for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits.
    pub fn get_list<T: From<Fields<'m>>>(&self, slot: usize) -> Result<List<'m, T>, Refusal> {
        let pointer = self.0.get_pointer_field(slot);
        let list = FromPointerReader::get_from_pointer(&pointer, None).map_err(bad)?;
        Ok(List(list, PhantomData))
    }

    /// The list of texts in pointer slot `slot`; an empty one for a null pointer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed or over the limits.
    pub fn get_text_list(&self, slot: usize) -> Result<TextList<'m>, Refusal> {
        let pointer = self.0.get_pointer_field(slot);
        let list = FromPointerReader::get_from_pointer(&pointer, None).map_err(bad)?;
        Ok(TextList(list))
    }
}

/// A list of structs.
pub struct List<'m, T>(
    capnp::struct_list::Reader<'m, AnyStruct>,
    PhantomData<fn() -> T>,
);

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for List<'_, T> {}

impl<'m, T: From<Fields<'m>>> List<'m, T> {
    /// Count of elements.
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// It has no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<T> {
        let index = u32::try_from(index).ok()?;
        self.0.try_get(index).map(T::from)
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'m, T> {
        let list = *self;
        (0..list.len()).filter_map(move |index| list.get(index))
    }
}

/// A list of texts.
#[derive(Clone, Copy)]
pub struct TextList<'m>(capnp::text_list::Reader<'m>);

impl<'m> TextList<'m> {
    /// Count of texts.
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// It has no texts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text at `index`.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed, over the limits or not UTF-8; [`Refusal::OutOfRange`] when
    /// there is none.
    pub fn get(&self, index: usize) -> Result<&'m str, Refusal> {
        let index = u32::try_from(index).map_err(|_| Refusal::OutOfRange)?;
        let text = self.0.try_get(index).ok_or(Refusal::OutOfRange)?;
        text.map_err(bad)?.to_str().map_err(|_| Refusal::BadMessage)
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<&'m str, Refusal>> + use<'m> {
        let list = *self;
        (0..list.len()).map(move |index| list.get(index))
    }
}

/// Stands for every struct type where `capnp` wants a generated one. Only its reader is ever used.
#[doc(hidden)]
pub struct AnyStruct;

impl Introspect for AnyStruct {
    fn introspect() -> Type {
        TypeVariant::AnyPointer.into()
    }
}

impl OwnedStruct for AnyStruct {
    type Reader<'a> = Fields<'a>;
    type Builder<'a> = Unbuilt<'a>;
}

impl<'a> From<StructReader<'a>> for Fields<'a> {
    fn from(reader: StructReader<'a>) -> Self {
        Self(reader)
    }
}

impl<'a> FromPointerReader<'a> for Fields<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        default: Option<&'a [capnp::Word]>,
    ) -> capnp::Result<Self> {
        reader.get_struct(default).map(Self)
    }
}

impl SetterInput<AnyStruct> for Fields<'_> {
    fn set_pointer_builder(
        mut pointer: PointerBuilder<'_>,
        value: Self,
        canonicalize: bool,
    ) -> capnp::Result<()> {
        pointer.set_struct(&value.0, canonicalize)
    }
}

impl<'a> IntoInternalStructReader<'a> for Fields<'a> {
    fn into_internal_struct_reader(self) -> StructReader<'a> {
        self.0
    }
}

/// The builder that [`AnyStruct`] must name; messages are built by [`crate::wire`].
#[doc(hidden)]
pub struct Unbuilt<'a>(#[expect(dead_code, reason = "named by a trait only")] StructBuilder<'a>);

impl<'a> From<StructBuilder<'a>> for Unbuilt<'a> {
    fn from(builder: StructBuilder<'a>) -> Self {
        Self(builder)
    }
}

impl HasStructSize for Unbuilt<'_> {
    const STRUCT_SIZE: StructSize = StructSize {
        data: 0,
        pointers: 0,
    };
}
