//! HTTP/1.1 as far as the bridge needs it: whole messages with bounds, read from any stream.

use std::io::{self, Read, Write};

/// The longest head.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// A request, whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// With its query.
    pub path: String,
    /// As they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why there is no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// The other end is gone or silent.
    Gone,
    /// It speaks no HTTP that is known here.
    Malformed,
    /// The body is longer than it may be.
    TooLong,
}

impl From<io::Error> for Bad {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Request {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&found.1).ok()
    }

    /// Reads one, with a body of a stated length and of at most `longest` bytes.
    ///
    /// # Errors
    /// See [`Bad`].
    pub fn read(stream: &mut impl Read, longest: usize) -> Result<Self, Bad> {
        let (head, mut body) = read_head(stream)?;
        let mut space = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut space);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Bad::Malformed),
        }
        let headers = parsed.headers.iter();
        let mut request = Self {
            method: parsed.method.ok_or(Bad::Malformed)?.to_owned(),
            path: parsed.path.ok_or(Bad::Malformed)?.to_owned(),
            headers: headers
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
            body: Vec::new(),
        };
        // Two readings of where a message ends are how requests are smuggled: only one is known here.
        let lengths = request.headers.iter();
        let lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if request.header("transfer-encoding").is_some() || lengths.count() > 1 {
            return Err(Bad::Malformed);
        }
        let length = match request.header("content-length") {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| Bad::TooLong)?
            }
            Some(_) => return Err(Bad::Malformed),
            None => 0,
        };
        if length > longest {
            return Err(Bad::TooLong);
        }
        if request.header("expect").is_some() || body.len() > length {
            return Err(Bad::Malformed);
        }
        let have = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[have..])?;
        request.body = body;
        Ok(request)
    }
}

/// Everything up to the empty line, and what came after it.
fn read_head(stream: &mut impl Read) -> Result<(Vec<u8>, Vec<u8>), Bad> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let body = bytes.split_off(end + 4);
            return Ok((bytes, body));
        }
        if bytes.len() > MAX_HEAD {
            return Err(Bad::Malformed);
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(Bad::Gone);
        }
        bytes.extend(&chunk[..count]);
    }
}

/// Writes an answer, after which the connection is closed.
///
/// # Errors
/// The stream's.
pub fn answer(
    stream: &mut impl Write,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let message = [head.as_bytes(), body].concat();
    stream.write_all(&message)?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::{Bad, Request};

    fn read(text: &str) -> Result<Request, Bad> {
        Request::read(&mut text.as_bytes(), 10)
    }

    #[test]
    fn a_message_is_whole_or_refused() {
        let request = read("POST /v1 HTTP/1.1\r\nContent-Length: 3\r\nA: b\r\n\r\nabc").unwrap();
        assert_eq!(
            (request.body.as_slice(), request.header("a")),
            (&b"abc"[..], Some("b"))
        );
        for (text, bad) in [
            ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", Bad::Gone),
            (
                "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nabc",
                Bad::Malformed,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 11\r\n\r\n",
                Bad::TooLong,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
                Bad::TooLong,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc",
                Bad::Malformed,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                Bad::Malformed,
            ),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                Bad::Malformed,
            ),
            ("nothing\r\n\r\n", Bad::Malformed),
            ("GET / HTTP/1.1\r\n", Bad::Gone),
        ] {
            assert_eq!(read(text).map(|_| ()), Err(bad), "{text:?}");
        }
        assert_eq!(read(&"x".repeat(20_000)).map(|_| ()), Err(Bad::Malformed));
    }
}
