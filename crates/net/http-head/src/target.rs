//! Targets and hosts, without anything that two readers could understand differently.

use crate::Refusal;

/// A target taken apart.
pub(crate) struct Target<'a> {
    /// The host that the target names itself.
    pub authority: Option<&'a str>,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

/// RFC 9112 section 3.2: the origin form, or the absolute form, which a server must take too.
pub(crate) fn read(target: &str) -> Result<Target<'_>, Refusal> {
    let absolute = ["http://", "https://"]
        .iter()
        .find_map(|scheme| strip(target, scheme));
    let (authority, rest) = match absolute {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).ok_or(Refusal::Target)?;
            if !is_host(authority) {
                return Err(Refusal::Host);
            }
            (Some(authority), if rest.is_empty() { "/" } else { rest })
        }
        None => (None, target),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if !is_path(path) || !query.is_none_or(is_plain) {
        return Err(Refusal::Target);
    }
    Ok(Target {
        authority,
        path,
        query,
    })
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Segments with plain characters; none is empty but the last, and none is a dot or two.
fn is_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let mut rest = segments.split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_empty = segment.is_empty() && rest.peek().is_some();
        if is_empty || segment == "." || segment == ".." || !is_plain(segment) {
            return false;
        }
    }
    true
}

/// Characters of RFC 3986 section 3.3, with escapes of what is no separator, no dot and no control character.
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_right = match byte {
            b'%' => escaped(bytes.next(), bytes.next()).is_some_and(|byte| {
                (byte.is_ascii_graphic() || byte == b' ' || byte >= 0x80)
                    && !matches!(byte, b'/' | b'\\' | b'.' | b'%')
            }),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' => true,
            b'=' | b':' | b'@' | b'/' | b'?' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !is_right {
            return false;
        }
    }
    true
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high?)? * 16 + digit(low?)?) as u8)
}

/// RFC 3986 section 3.2.2: a name, an IPv4 address, or an IPv6 address in brackets; perhaps a port. No user.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, rest)) if name.parse::<core::net::Ipv6Addr>().is_ok() => ("v6", rest),
            _ => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_port = |port: &str| {
        !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(is_name) && has_port
}
