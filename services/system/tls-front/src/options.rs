//! What the manifest says, and how a hash is written.

use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use tls_core::Name;

/// Reads `names=NAME,...`.
///
/// # Errors
/// The argument that is something else, or what is missing.
pub fn names<'a>(arguments: &[&'a str]) -> Result<Vec<Name<'a>>, String> {
    let mut names = Vec::new();
    for argument in arguments {
        #[cfg(sabotage)]
        if let Some(point) = argument.strip_prefix("sabotage=") {
            let point = sabotage::Point::named(point).ok_or_else(|| (*argument).to_string())?;
            sabotage::choose(point);
            continue;
        }
        let Some(list) = argument.strip_prefix("names=") else {
            return Err((*argument).to_string());
        };
        names.extend(list.split(',').map(name));
    }
    if names.is_empty() {
        return Err("names=NAME,... is needed".to_string());
    }
    Ok(names)
}

fn name(text: &str) -> Name<'_> {
    match text.parse::<core::net::Ipv4Addr>() {
        Ok(address) => Name::Address(address.octets()),
        Err(_) => Name::Host(text),
    }
}

/// Base64 (RFC 4648 section 4), as clients take what they pin.
pub fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in octets.chunks(3) {
        let word = (0..3).fold(0_u32, |word, place| {
            word << 8 | u32::from(piece.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let letter = LETTERS.get((word >> (18 - 6 * place) & 63) as usize);
            text.push(match letter {
                Some(letter) if place <= piece.len() => char::from(*letter),
                _ => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, names};
    use tls_core::Name;

    #[test]
    fn what_is_wrong_is_named() {
        let both = [Name::Host("localhost"), Name::Address([127, 0, 0, 1])];
        assert_eq!(names(&["names=localhost,127.0.0.1"]).unwrap(), both);
        assert_eq!(names(&["port=1"]).unwrap_err(), "port=1");
        assert!(names(&[]).is_err());
    }

    #[test]
    fn base64_has_the_rfc_s_vectors() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(octets.as_bytes()), text);
        }
    }
}
