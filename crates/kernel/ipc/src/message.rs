//! A message into a thread's area: the one place that decides whether it fits, and that writes it where it is not a plain copy.

use ring_abi::{Refusal, StatusWord, completion_flags};
use sabotage::sabotage;

use crate::area::{Area, Span};
use crate::finished::{Finished, Route};

/// Parameters or results on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    /// Four words.
    Inline([u64; 4]),
    /// In the sender's message area.
    Message(Span),
}

/// Pointer to a root struct right behind it, of four data words and no pointers.
const ROOT_OF_FOUR_WORDS: u64 = 4 << 32;

/// What a message is made of.
pub(crate) enum Content<'a> {
    /// Four words: in registers as they are, in a ring as a root struct of four data words.
    Words([u64; 4]),
    /// A checked span of the area of the thread that sends.
    Area(&'a Area, Span),
    /// Built by the kernel.
    Built(&'a [u8]),
}

impl<'a> Content<'a> {
    /// Parameters or results of the thread whose area this is.
    #[inline(always)]
    pub(crate) const fn of(sender: &'a Area, payload: Payload) -> Self {
        match payload {
            Payload::Inline(words) => Self::Words(words),
            Payload::Message(span) => Self::Area(sender, span),
        }
    }

    /// Bytes as a message.
    #[inline(always)]
    const fn bytes(&self) -> usize {
        match self {
            Self::Words(_) => 5 * 8,
            Self::Area(_, span) => span.bytes() as usize,
            Self::Built(bytes) => bytes.len(),
        }
    }
}

/// Where a message goes.
pub(crate) struct Place<'a> {
    /// The area of the thread that gets it.
    pub(crate) area: &'a Area,
    pub(crate) route: Route,
    pub(crate) buffer: Span,
    /// What becomes of a message that does not fit.
    pub(crate) too_long: Refusal,
}

/// A message that is there.
pub(crate) struct Placed<T> {
    /// What went with it.
    pub(crate) given: T,
    pub(crate) status: StatusWord,
    /// The message itself, if it goes in registers.
    pub(crate) words: [u64; 4],
}

/// Where in `buffer` a message of `bytes` goes, and `count` handles behind it. `None`: they do not fit.
#[inline(always)]
pub(crate) fn fit(buffer: Span, bytes: usize, count: usize) -> Option<(Span, Span)> {
    let buffer = if sabotage!(OVERRUN_BUFFER) {
        buffer.without_end()
    } else {
        buffer
    };
    buffer.divide(bytes, count)
}

/// Writes a message. Once it is known to fit, `give` hands over the `count` capabilities that go with it, and writes
/// their handles to the span behind it that it gets; if it refuses, nothing is written.
///
/// # Errors
/// `place.too_long`, and those of `give`.
#[inline(always)]
pub(crate) fn place_message<T>(
    place: &Place<'_>,
    content: &Content<'_>,
    count: usize,
    give: impl FnOnce(Span) -> Result<T, Refusal>,
) -> Result<Placed<T>, Refusal> {
    if let (Content::Words(words), Route::Register) = (content, place.route) {
        let given = give(Span::EMPTY)?;
        let status = StatusWord {
            flags: completion_flags::INLINE,
            words: 4,
            ..StatusWord::default()
        };
        return Ok(Placed {
            given,
            status,
            words: *words,
        });
    }
    let bytes = content.bytes();
    let (message, handles) = fit(place.buffer, bytes, count).ok_or(place.too_long)?;
    let given = give(handles)?;
    let area = place.area;
    match content {
        Content::Words(words) => {
            area.set_word(message, 0, ROOT_OF_FOUR_WORDS);
            for (i, word) in words.iter().enumerate() {
                area.set_word(message, i + 1, *word);
            }
        }
        Content::Area(from, span) => area.copy_message(message, from, *span),
        Content::Built(bytes) => area.write(message, bytes),
    }
    let status = StatusWord {
        caps: count as u8,
        words: (bytes / 8) as u16,
        ..StatusWord::default()
    };
    Ok(Placed {
        given,
        status,
        words: [0; 4],
    })
}

impl Placed<()> {
    /// As the result of a call.
    #[inline(always)]
    pub(crate) fn finished(self) -> Finished {
        Finished {
            status: self.status.pack(),
            words: self.words,
            ..Finished::default()
        }
    }
}
