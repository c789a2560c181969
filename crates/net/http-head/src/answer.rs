//! The head of an answer, for a client whose answers have a stated length (RFC 9112, sections 4 and 6).

use httparse::{EMPTY_HEADER, Header, Response, Status};

use crate::head::number;
use crate::{Limits, MOST_HEADERS, Refusal};

/// What the head of an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// Where the body begins.
    pub body: usize,
    /// How many bytes it has.
    pub length: usize,
    /// How many seconds the other end asks to be left alone, if it does.
    pub retry_after_s: Option<u32>,
}

/// Reads the head at the beginning of `bytes`; `None` while it is not whole.
///
/// # Errors
/// What is no head of an answer, or states no length or two, or an encoding, and heads and bodies longer than `limits`.
pub fn answer(bytes: &[u8], limits: &Limits) -> Result<Option<Answer>, Refusal> {
    let head = bytes.get(..limits.head).unwrap_or(bytes);
    let mut space = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = Response::new(&mut space);
    let body = match response.parse(head) {
        Ok(Status::Complete(body)) => body,
        Ok(Status::Partial) if bytes.len() < limits.head => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::HeadLong);
        }
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Syntax),
    };
    let headers: &[Header<'_>] = response.headers;
    if once(headers, "transfer-encoding")?.is_some() {
        return Err(Refusal::Encoding);
    }
    let length = once(headers, "content-length")?.ok_or(Refusal::LengthMissing)?;
    let length = number(length)?;
    let length = Some(length).filter(|length| *length <= limits.body);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(Refusal::BodyLong)?;
    let retry_after_s = match once(headers, "retry-after")? {
        // A date is not what is asked for here, and says nothing to who has no clock.
        Some(value) => number(value)
            .ok()
            .and_then(|seconds| u32::try_from(seconds).ok()),
        None => None,
    };
    Ok(Some(Answer {
        status: response.code.ok_or(Refusal::Syntax)?,
        body,
        length,
        retry_after_s,
    }))
}

/// The value of a header that is there once at most.
fn once<'a>(headers: &[Header<'a>], name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut named = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name));
    let first = named.next().map(|header| header.value);
    match named.next() {
        Some(_) => Err(Refusal::Twice),
        None => Ok(first),
    }
}
