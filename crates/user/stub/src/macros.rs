//! What generated modules are written with: a row per field, per method, per interface.
//!
//! Generated code holds the names, places and numbers of the schema and nothing else; what is done with them stands here,
//! once. A field is `name: Type = place`, its place counted as [`Scalar`](crate::field::Scalar) says.

/// An enum and its numbers.
///
/// A number that no variant has is refused `badArgument`.
#[macro_export]
macro_rules! enumeration {
    ($(#[$meta:meta])* pub enum $name:ident {
        $(#[$first_meta:meta])* $first:ident = $zero:literal, $($(#[$variant_meta:meta])* $variant:ident = $number:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(u16)]
        pub enum $name { #[default] $(#[$first_meta])* $first = $zero, $($(#[$variant_meta])* $variant = $number,)* }
        impl $name {
            /// Reads the number on the wire.
            pub const fn from_u16(number: u16) -> Result<Self, $crate::Refusal> {
                Ok(match number {
                    $zero => Self::$first,
                    $($number => Self::$variant,)*
                    _ => return Err($crate::Refusal::BadArgument),
                })
            }
        }
        impl $crate::field::Scalar for $name {
            #[inline(always)]
            fn from_words(words: &$crate::Words, at: usize) -> Result<Self, $crate::Refusal> {
                Self::from_u16($crate::words::get_u16(words, at))
            }
            #[inline(always)]
            fn to_words(self, words: &mut $crate::Words, at: usize) {
                $crate::words::set_u16(words, at, self as u16);
            }
            /// An enum's default is its first variant: the code generator refuses another.
            #[inline(always)]
            fn masked(self, _: Self) -> Self {
                self
            }
        }
        impl $crate::field::Field<'_> for $name {
            #[inline(always)]
            fn get(from: &$crate::read::Fields<'_>, at: usize) -> Result<Self, $crate::Refusal> {
                Self::from_u16(from.get_u16(at))
            }
        }
        impl $crate::field::Put for $name {
            #[inline(always)]
            fn put(&self, to: &mut $crate::wire::StructWriter<'_, '_>, at: u16) -> Result<(), $crate::wire::Full> {
                to.set_u16(usize::from(at), *self as u16);
                Ok(())
            }
        }
    };
}

/// Parameters or results that fit into four words and bear no pointer.
#[macro_export]
macro_rules! plain {
    ($(#[$meta:meta])* pub struct $name:ident: $words:literal words { $($field:ident: $type:ty = $at:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $(#[allow(missing_docs)] pub $field: $type,)* }
        impl<K> $crate::Outgoing<K> for $name {
            const PLAIN: bool = true;
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = 0;
            #[inline]
            fn words(&self) -> $crate::Words {
                let mut words = [0; 4];
                $($crate::field::Scalar::to_words(self.$field, &mut words, $at);)*
                words
            }
        }
        impl $crate::Plain for $name {
            #[inline]
            fn from_words(words: &$crate::Words) -> Result<Self, $crate::Refusal> {
                Ok(Self { $($field: $crate::field::Scalar::from_words(words, $at)?,)* })
            }
        }
        impl<O> $crate::FromAnswer<O> for $name {
            #[inline]
            fn from_answer(answer: &mut $crate::Answer<'_, '_, O>) -> Result<Self, $crate::Refusal> {
                $crate::Plain::from_words(&answer.payload().words()?)
            }
        }
    };
}

/// Parameters that travel as a message: values, then capabilities in the order in which the message counts them, then
/// capabilities that the values name by index.
#[macro_export]
macro_rules! params {
    (
        $(#[$meta:meta])* pub struct $name:ident $(<$a:lifetime>)?: $words:literal words, $pointers:literal pointers {
            $($field:ident: $type:ty = $at:literal;)*
        }
        $(caps { $($cap:ident = $index:literal at $slot:literal;)* })?
        $(transfers $transfers:ident;)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$a>)? {
            $(#[allow(missing_docs)] pub $field: $type,)*
            $($(#[allow(missing_docs)] pub $cap: $crate::CapArg,)*)?
            $(/// Capabilities that the other fields name by index.
            pub $transfers: &'a [$crate::CapArg],)?
        }
        impl $(<$a>)? $crate::Outgoing<$crate::CapArg> for $name $(<$a>)? {
            const PLAIN: bool = false;
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = $pointers;
            fn encode(
                self,
                root: &mut $crate::wire::StructWriter<'_, '_>,
                caps: &mut dyn FnMut($crate::CapArg),
            ) -> Result<(), $crate::wire::Full> {
                let _ = &caps;
                $($crate::field::Put::put(&self.$field, root, $at)?;)*
                $($(root.set_cap($slot, $index)?; caps(self.$cap);)*)?
                $(self.$transfers.iter().copied().for_each(caps);)?
                Ok(())
            }
        }
    };
}

/// Results that travel as a message without capabilities, as a server sends them.
#[macro_export]
macro_rules! reply {
    ($(#[$meta:meta])* pub struct $name:ident $(<$a:lifetime>)?: $words:literal words, $pointers:literal pointers {
        $($field:ident: $type:ty = $at:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name $(<$a>)? { $(#[allow(missing_docs)] pub $field: $type,)* }
        impl<$($a,)? K> $crate::Outgoing<K> for $name $(<$a>)? {
            const PLAIN: bool = false;
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = $pointers;
            fn encode(
                self,
                root: &mut $crate::wire::StructWriter<'_, '_>,
                _: &mut dyn FnMut(K),
            ) -> Result<(), $crate::wire::Full> {
                $($crate::field::Put::put(&self.$field, root, $at)?;)*
                Ok(())
            }
        }
    };
}

/// Results with capabilities: `Reply` as a server sends them, `Results` as a client gets them.
#[macro_export]
macro_rules! caps {
    ($(#[$meta:meta])* pub struct $reply:ident, $results:ident: $words:literal words, $pointers:literal pointers {
        $($field:ident: $type:ty = $at:literal;)*
    } caps {
        $($cap:ident: $client:ty = $index:literal at $slot:literal;)*
    }) => {
        /// As a server sends it.
        #[derive(Clone, Copy, Debug)]
        pub struct $reply<K> {
            $(#[allow(missing_docs)] pub $cap: K,)*
            $(#[allow(missing_docs)] pub $field: $type,)*
        }
        impl<K> $crate::Outgoing<K> for $reply<K> {
            const PLAIN: bool = false;
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = $pointers;
            fn encode(
                self,
                root: &mut $crate::wire::StructWriter<'_, '_>,
                caps: &mut dyn FnMut(K),
            ) -> Result<(), $crate::wire::Full> {
                $($crate::field::Put::put(&self.$field, root, $at)?;)*
                $(root.set_cap($slot, $index)?; caps(self.$cap);)*
                Ok(())
            }
        }
        $(#[$meta])*
        pub struct $results<O> {
            $(#[allow(missing_docs)] pub $cap: $client,)*
            $(#[allow(missing_docs)] pub $field: $type,)*
        }
        impl<O> $crate::FromAnswer<O> for $results<O> {
            fn from_answer(answer: &mut $crate::Answer<'_, '_, O>) -> Result<Self, $crate::Refusal> {
                Ok(Self {
                    $($cap: $crate::Interface::from_object(answer.take_cap($slot)?),)*
                    $($field: answer.read(|fields| $crate::field::Field::get(&fields, $at))?,)*
                })
            }
        }
    };
}

/// A struct or the results of a method, read from a message in place. What follows `try` is refused `badMessage` where the
/// message is malformed.
#[macro_export]
macro_rules! reader {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $at:literal $(, default $default:expr)?;)*
    } try {
        $($(#[$try_meta:meta])* $try:ident: $try_type:ty = $try_at:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub struct $name<'m>($crate::read::Fields<'m>);
        impl<'m> From<$crate::read::Fields<'m>> for $name<'m> {
            fn from(fields: $crate::read::Fields<'m>) -> Self {
                Self(fields)
            }
        }
        impl<'m> $crate::field::Field<'m> for $name<'m> {
            #[inline(always)]
            fn get(from: &$crate::read::Fields<'m>, at: usize) -> Result<Self, $crate::Refusal> {
                from.get_struct(at)
            }
        }
        impl<'m> $name<'m> {
            $(
                $(#[$field_meta])*
                pub fn $field(&self) -> $type {
                    let value = <$type as $crate::field::Number>::number(&self.0, $at);
                    $(let value = $crate::field::Scalar::masked(value, $default);)?
                    value
                }
            )*
            $(
                $(#[$try_meta])*
                pub fn $try(&self) -> Result<$try_type, $crate::Refusal> {
                    $crate::field::Field::get(&self.0, $try_at)
                }
            )*
        }
    };
}

/// A struct of the schema as a value to write.
#[macro_export]
macro_rules! structure {
    ($(#[$meta:meta])* pub struct $name:ident $(<$a:lifetime>)?: $words:literal words, $pointers:literal pointers {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $at:literal $(, default $default:expr)?;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$a>)? { $($(#[$field_meta])* #[allow(missing_docs)] pub $field: $type,)* }
        impl $(<$a>)? Default for $name $(<$a>)? {
            fn default() -> Self {
                Self { $($field: $crate::or_default!($($default)?),)* }
            }
        }
        impl $(<$a>)? $crate::wire::Encode for $name $(<$a>)? {
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = $pointers;
            type At<'at> = $crate::at_lifetime!($name $(, $a)?);
            fn encode(&self, to: &mut $crate::wire::StructWriter<'_, '_>) -> Result<(), $crate::wire::Full> {
                $(
                    let value = self.$field;
                    $(let value = $crate::field::Scalar::masked(value, $default);)?
                    $crate::field::Put::put(&value, to, $at)?;
                )*
                Ok(())
            }
        }
        impl $(<$a>)? $crate::field::Put for $name $(<$a>)? {
            #[inline(always)]
            fn put(&self, to: &mut $crate::wire::StructWriter<'_, '_>, at: u16) -> Result<(), $crate::wire::Full> {
                to.set_struct(at, self)
            }
        }
    };
}

/// All fields of a struct that holds nothing but data, as a value.
#[macro_export]
macro_rules! value_of {
    ($reader:ident, $name:ident { $($field:ident = $at:literal $(, default $default:expr)?;)* }) => {
        impl $reader<'_> {
            /// All fields as a value.
            pub fn value(&self) -> Result<$name, $crate::Refusal> {
                Ok($name {
                    $($field: {
                        let value = $crate::field::Field::get(&self.0, $at)?;
                        $(let value = $crate::field::Scalar::masked(value, $default);)?
                        value
                    },)*
                })
            }
        }
    };
}

/// A default that the schema gives, or the type's own.
#[doc(hidden)]
#[macro_export]
macro_rules! or_default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// A struct with what it borrows living for `'at`.
#[doc(hidden)]
#[macro_export]
macro_rules! at_lifetime {
    ($name:ident) => {
        $name
    };
    ($name:ident, $a:lifetime) => {
        $name<'at>
    };
}

/// Results with lists, built in place by a closure; for `Reply::send_with`.
#[macro_export]
macro_rules! fill {
    (
        $writer:ident, $fill:ident, $make:ident for $call:ident: $words:literal words, $pointers:literal pointers {
            $(list $list:ident: $item:ty = $list_at:literal;)*
            $(texts $texts:ident = $texts_at:literal;)*
            $(scalar $scalar:ident: $scalar_type:ty = $scalar_at:literal;)*
            $(field $field:ident: $type:ty = $at:literal;)*
        }
    ) => {
        /// Writes the results in place.
        pub struct $writer<'r, 'w, 'b>(&'r mut $crate::wire::StructWriter<'w, 'b>);
        impl<'b> $writer<'_, '_, 'b> {
            $(#[allow(missing_docs)]
            pub fn $list(
                &mut self,
                capacity: usize,
                fill: impl FnOnce(&mut $crate::wire::ListWriter<'_, 'b, $item>) -> Result<(), $crate::wire::Full>,
            ) -> Result<(), $crate::wire::Full> {
                self.0.fill_list($list_at, capacity, fill)
            })*
            $(#[allow(missing_docs)]
            pub fn $texts(
                &mut self,
                capacity: usize,
                fill: impl FnOnce(&mut $crate::wire::TextListWriter<'_, 'b>) -> Result<(), $crate::wire::Full>,
            ) -> Result<(), $crate::wire::Full> {
                self.0.fill_text_list($texts_at, capacity, fill)
            })*
            $(#[allow(missing_docs)]
            pub fn $scalar(&mut self, value: $scalar_type) {
                // Data lies in the root struct, which is there already.
                let _ = $crate::field::Put::put(&value, self.0, $scalar_at);
            })*
            $(#[allow(missing_docs)]
            pub fn $field(&mut self, value: $type) -> Result<(), $crate::wire::Full> {
                $crate::field::Put::put(&value, self.0, $at)
            })*
        }
        /// Results made by a closure.
        pub struct $fill<F>(F);
        /// Makes results with a closure that writes them in place, for `Reply::send_with`.
        pub fn $make<F>(fill: F) -> $fill<F>
        where
            F: FnOnce(&mut $writer<'_, '_, '_>) -> Result<(), $crate::wire::Full>,
        {
            $fill(fill)
        }
        impl<F> $crate::Fills<call::$call> for $fill<F> {}
        impl<K, F> $crate::Outgoing<K> for $fill<F>
        where
            F: FnOnce(&mut $writer<'_, '_, '_>) -> Result<(), $crate::wire::Full>,
        {
            const PLAIN: bool = false;
            const DATA_WORDS: u16 = $words;
            const POINTERS: u16 = $pointers;
            fn encode(
                self,
                root: &mut $crate::wire::StructWriter<'_, '_>,
                _: &mut dyn FnMut(K),
            ) -> Result<(), $crate::wire::Full> {
                self.0(&mut $writer(root))
            }
        }
    };
}

/// An interface: its id and name, and the client's type over an object.
#[macro_export]
macro_rules! interface {
    ($name:literal = $id:literal) => {
        /// Its id.
        pub const INTERFACE_ID: u64 = $id;
        /// Its name.
        pub const NAME: &str = $name;

        /// Calls the interface on an object.
        #[derive(Clone, Copy, Debug)]
        pub struct Client<O>(O);
        impl<O> $crate::Interface<O> for Client<O> {
            const INTERFACE_ID: u64 = INTERFACE_ID;
            const NAME: &'static str = NAME;
            fn from_object(object: O) -> Self {
                Self(object)
            }
            fn object(&self) -> &O {
                &self.0
            }
            fn into_object(self) -> O {
                self.0
            }
        }
        impl<O: $crate::Object> From<&Client<O>> for $crate::CapArg {
            fn from(client: &Client<O>) -> Self {
                client.cap()
            }
        }
        impl<O: $crate::Object> Client<O> {
            /// The same object, each call ending by the absolute time `deadline_ns`.
            pub fn with_deadline(&self, deadline_ns: u64) -> Client<$crate::Deadline<'_, O>> {
                Client($crate::Deadline::new(&self.0, deadline_ns))
            }
            /// The same object; idempotent methods are called again when the server died.
            pub fn retrying(&self) -> Client<$crate::Retry<'_, O>> {
                Client($crate::Retry::new(&self.0))
            }
            /// Sends a copy of this capability.
            pub fn cap(&self) -> $crate::CapArg {
                $crate::CapArg::copy(self.0.handle())
            }
            /// Gives this capability away.
            pub fn into_cap(self) -> $crate::CapArg {
                $crate::CapArg::moved(self.0.into_handle())
            }
        }
    };
}

/// The methods of an interface: a number and a type each, with what they take, what a server sends and a client gets.
///
/// A row is `Type NUMBER_NAME = number, name, how often it may be done, bytes of a reply buffer, (parameters) -> (reply, results)`;
/// results that are read in place are marked `in place`.
#[macro_export]
macro_rules! methods {
    ($interface:literal; $(
        $call:ident $constant:ident = $number:literal $name:literal $often:ident, reply $bytes:expr,
        ($params:ty) -> ($reply:ty, $($results:tt)+);
    )*) => {
        /// Method numbers.
        pub mod method { $(#[allow(missing_docs)] pub const $constant: u16 = $number;)* }
        /// One type per method.
        pub mod call {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[doc = concat!("`", $interface, ".", $name, "`.")]
                pub struct $call;
                impl $crate::Method for $call {
                    const INTERFACE_ID: u64 = INTERFACE_ID;
                    const ORDINAL: u16 = $number;
                    const NAME: &'static str = concat!($interface, ".", $name);
                    const IDEMPOTENT: bool = $crate::idempotent!($often);
                    const REPLY_BYTES: u32 = $bytes;
                    type Params<'a> = $params;
                    type Reply<'a, K> = $reply;
                    type Results<'m, O: $crate::Object> = $crate::results_type!($($results)+);
                    #[inline]
                    fn read<O: $crate::Object, R>(
                        answer: &mut $crate::Answer<'_, '_, O>,
                        read: impl FnOnce(Self::Results<'_, O>) -> R,
                    ) -> Result<R, $crate::Refusal> {
                        $crate::read_results!(answer, read, $($results)+)
                    }
                }
            )*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! idempotent {
    (idempotent) => {
        true
    };
    (once) => {
        false
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! results_type {
    (in place $results:ty) => {
        $results
    };
    ($results:ty) => {
        $results
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! read_results {
    ($answer:ident, $read:ident, in place $results:ty) => {
        $answer.read(|fields| Ok($read(fields.into())))
    };
    ($answer:ident, $read:ident, $results:ty) => {
        Ok($read($crate::FromAnswer::from_answer($answer)?))
    };
}

/// One arm of a dispatch: takes the parameters of a method apart and calls the server.
#[macro_export]
macro_rules! serve {
    ($server:ident.$method:ident($payload:expr, $call:ident) plain $params:ident { $($field:ident),* }) => {
        match $payload.words().and_then(|words| <$params as $crate::Plain>::from_words(&words)) {
            Ok(params) => $server.$method($crate::Reply::new($call), $(params.$field),*),
            Err(refusal) => $crate::refuse($call, refusal),
        }
    };
    ($server:ident.$method:ident($payload:expr, $call:ident) message { $($kind:ident $field:ident = $at:literal),* }) => {{
        let $crate::Payload::Message(segment) = $payload else {
            return $crate::refuse($call, $crate::Refusal::BadMessage);
        };
        let segment = [segment];
        let message = $crate::read::Message::new(&segment);
        #[allow(unused_mut)]
        let mut call = $call;
        let params = (|| {
            let root = message.root()?;
            let _ = &root;
            Ok(($($crate::param!($kind call segment root $at),)*))
        })();
        match params {
            Ok(($($field,)*)) => $server.$method($crate::Reply::new(call), $($field),*),
            Err(refusal) => $crate::refuse(call, refusal),
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! param {
    (cap $call:ident $segment:ident $root:ident $at:literal) => {
        $crate::take_cap(&mut $call, $segment[0], $at)?
    };
    (field $call:ident $segment:ident $root:ident $at:literal) => {
        $crate::field::Field::get(&$root, $at)?
    };
}
