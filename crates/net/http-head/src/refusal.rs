//! Why a request is refused, and with which status.

macro_rules! refusals {
    ($($name:ident = $text:literal, $status:literal: $why:literal,)*) => {
        /// Why a request is refused. Whoever sends it causes it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Refusal {
            $(#[doc = $why] $name,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as counters show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The status of the answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }
        }
    };
}

refusals! {
    Line = "line", 400: "A line ends otherwise than with CR LF, or the head begins with an empty one.",
    Syntax = "syntax", 400: "The request line or a header is no such thing.",
    Version = "version", 505: "It is neither HTTP/1.1 nor HTTP/1.0.",
    Method = "method", 501: "The method is none that is served.",
    HeadLong = "head-long", 431: "The head is too long, or has too many headers.",
    TargetLong = "target-long", 414: "The target is too long.",
    Target = "target", 400: "The target is no plain path: dots, empty escapes, control characters or another form.",
    Host = "host", 400: "There is no host, more than one, or another than in the target.",
    Twice = "twice", 400: "A header that is there once at most is there twice.",
    Length = "length", 400: "The length is no number, or contradicts the encoding.",
    Encoding = "encoding", 501: "The encoding of the body is not `chunked` alone.",
    BodyLong = "body-long", 413: "The body is too long.",
    BodyUnasked = "body-unasked", 400: "There is a body where the method has none.",
    LengthMissing = "length-missing", 411: "The body's length is not stated.",
    Expectation = "expectation", 417: "Something else is expected than `100-continue`.",
    Value = "value", 400: "A header that matters has characters that it cannot have.",
    Chunk = "chunk", 400: "A chunk's size, end or trailer is malformed.",
    Misdirected = "misdirected", 421: "It is for another host.",
    Origin = "origin", 403: "It comes from another site.",
    Cookie = "cookie", 400: "The session's cookie is malformed, or there twice.",
    Session = "session", 401: "There is no such session, or it is over.",
    Token = "token", 403: "The token against forged requests is missing or wrong.",
}
