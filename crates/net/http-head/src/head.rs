//! The head of a request: read by httparse, after what it would let pass was looked for, and judged.

use httparse::{EMPTY_HEADER, Error, Header, Status};
use sabotage::sabotage;

use crate::{Refusal, target};

/// No request has more headers.
pub const MOST_HEADERS: usize = 48;

/// How much of a request is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of the head.
    pub head: usize,
    /// Octets of the target.
    pub target: usize,
    /// Octets of the body.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 8192,
            target: 1024,
            body: 65_536,
        }
    }
}

/// The methods that are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
}

/// The versions that are understood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// What follows the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// So many octets.
    Length(u64),
    /// Chunks: [`crate::Chunks`].
    Chunked,
}

/// A head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The path: absolute, without empty or dotted segments. Escapes stand in it as they came.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// The host, with its port.
    pub host: &'a str,
    /// What follows.
    pub body: Body,
    /// Whether another request may follow.
    pub keeps_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub expects_continue: bool,
    /// The site that the request was made by, as browsers say.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// `Cookie`.
    pub cookie: Option<&'a str>,
    /// `X-CSRF-Token`.
    pub token: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `If-None-Match`.
    pub none_match: Option<&'a str>,
}

/// What the bytes so far are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<'a> {
    /// The beginning of a head.
    Partial,
    /// A head, and how many octets it is long.
    Whole(Head<'a>, usize),
}

/// Reads the head of a request from all that has arrived of it.
///
/// # Errors
/// Why the connection is to be closed after an answer with that status.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, Refusal> {
    let looked_at = bytes.get(..limits.head).unwrap_or(bytes);
    check_lines(looked_at)?;
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(looked_at).map_err(refusal)? {
        Status::Complete(length) => length,
        Status::Partial if bytes.len() >= limits.head => return Err(too_long(looked_at, limits)),
        Status::Partial => {
            // A target that is too long already is not waited for.
            return if first_line(looked_at) > limits.target + 32 {
                Err(Refusal::TargetLong)
            } else {
                Ok(Parsed::Partial)
            };
        }
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => return Err(Refusal::Method),
    };
    let whole = request.path.ok_or(Refusal::Syntax)?;
    if whole.len() > limits.target {
        return Err(Refusal::TargetLong);
    }
    let target = target::read(whole)?;
    let version = if request.version == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    };
    let found = Found::collect(request.headers)?;
    let host = found.host()?;
    if target
        .authority
        .is_some_and(|named| !named.eq_ignore_ascii_case(host))
    {
        return Err(Refusal::Host);
    }
    let body = found.body(method, version, limits)?;
    let head = Head {
        method,
        path: target.path,
        query: target.query,
        host,
        body,
        keeps_alive: found.keeps_alive(version)?,
        expects_continue: found.expects_continue(version)?,
        origin: text(found.origin)?,
        fetch_site: text(found.fetch_site)?,
        cookie: text(found.cookie)?,
        token: text(found.token)?,
        content_type: text(found.content_type)?,
        none_match: text(found.none_match)?,
    };
    Ok(Parsed::Whole(head, length))
}

/// RFC 9112 section 2.2 lets a reader take a bare LF, and some take a bare CR: we take neither, and no empty line first.
fn check_lines(bytes: &[u8]) -> Result<(), Refusal> {
    if matches!(bytes, [b'\r' | b'\n', ..]) {
        return Err(Refusal::Line);
    }
    let mut before = 0;
    let mut was_empty = false;
    let mut line = 0usize;
    for byte in bytes {
        match (before, *byte) {
            (b'\r', b'\n') => {
                was_empty = line == 0;
                line = 0;
            }
            (b'\r', _) | (_, b'\n') => return Err(Refusal::Line),
            (_, b'\r') => {}
            _ => line += 1,
        }
        if was_empty {
            return Ok(());
        }
        before = *byte;
    }
    Ok(())
}

fn first_line(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'\r')
        .unwrap_or(bytes.len())
}

fn too_long(bytes: &[u8], limits: &Limits) -> Refusal {
    if first_line(bytes) > limits.target + 32 {
        Refusal::TargetLong
    } else {
        Refusal::HeadLong
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::TooManyHeaders => Refusal::HeadLong,
        Error::Version => Refusal::Version,
        Error::NewLine => Refusal::Line,
        Error::HeaderName | Error::HeaderValue | Error::Status | Error::Token => Refusal::Syntax,
    }
}

/// A value that matters is visible ASCII.
fn text(value: Option<&[u8]>) -> Result<Option<&str>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    if !value
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    {
        return Err(Refusal::Value);
    }
    core::str::from_utf8(value)
        .map(Some)
        .map_err(|_| Refusal::Value)
}

/// The headers that matter.
#[derive(Default)]
struct Found<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    connection: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    fetch_site: Option<&'a [u8]>,
    cookie: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    none_match: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn collect(headers: &[Header<'a>]) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let place = [
                ("host", &mut found.host),
                ("content-length", &mut found.length),
                ("transfer-encoding", &mut found.encoding),
                ("connection", &mut found.connection),
                ("expect", &mut found.expect),
                ("origin", &mut found.origin),
                ("sec-fetch-site", &mut found.fetch_site),
                ("cookie", &mut found.cookie),
                ("x-csrf-token", &mut found.token),
                ("content-type", &mut found.content_type),
                ("if-none-match", &mut found.none_match),
            ];
            let Some((_, place)) = place.into_iter().find(|(name, _)| is(name)) else {
                continue;
            };
            if place.replace(header.value).is_some() && !sabotage!(HTTP_TAKE_TWICE) {
                return Err(if is("host") {
                    Refusal::Host
                } else {
                    Refusal::Twice
                });
            }
        }
        Ok(found)
    }

    /// RFC 9112 section 3.2: one, also from a client of HTTP/1.0, since without one it cannot be told what it is for.
    fn host(&self) -> Result<&'a str, Refusal> {
        let host = text(self.host)?.ok_or(Refusal::Host)?;
        if !target::is_host(host) {
            return Err(Refusal::Host);
        }
        Ok(host)
    }

    /// RFC 9112 section 6.3; where it lets a reader choose, the request is refused.
    fn body(&self, method: Method, version: Version, limits: &Limits) -> Result<Body, Refusal> {
        let body = match (self.encoding, self.length) {
            (Some(_), Some(_)) => return Err(Refusal::Length),
            (Some(_), None) if version == Version::Http10 => return Err(Refusal::Encoding),
            (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"chunked") => Body::Chunked,
            (Some(_), None) => return Err(Refusal::Encoding),
            (None, Some(length)) => Body::Length(number(length)?),
            (None, None) => Body::None,
        };
        match (method, body) {
            (Method::Post, Body::None) => Err(Refusal::LengthMissing),
            (Method::Post, Body::Length(length)) if length > limits.body => Err(Refusal::BodyLong),
            (Method::Post, body) => Ok(body),
            (_, Body::None | Body::Length(0)) => Ok(Body::None),
            _ => Err(Refusal::BodyUnasked),
        }
    }

    fn keeps_alive(&self, version: Version) -> Result<bool, Refusal> {
        let tokens = text(self.connection)?.unwrap_or_default();
        let has = |wanted: &str| {
            tokens
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case(wanted))
        };
        Ok(if version == Version::Http10 {
            has("keep-alive") && !has("close")
        } else {
            !has("close")
        })
    }

    fn expects_continue(&self, version: Version) -> Result<bool, Refusal> {
        match self.expect {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
                Ok(version == Version::Http11)
            }
            Some(_) => Err(Refusal::Expectation),
        }
    }
}

/// Digits alone, not more than any length needs: no sign, no list, no spaces.
pub(crate) fn number(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Length);
    }
    Ok(value
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}
