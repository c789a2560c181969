//! What the manifest says.

use core::net::Ipv4Addr;

use save_core::{Profile, Scope, Tenant, Writer};
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;

/// The arguments.
pub struct Options {
    pub place: Place,
    /// In the order of the exports.
    pub facets: Vec<Facet>,
}

/// Where saves lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Memory,
    /// At a bridge.
    Bridge { address: Ipv4Addr, port: u16 },
}

/// What an export stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    pub whose: Whose,
    pub writer: Writer,
}

/// Whose saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process keeps them apart.
    Scope(Scope),
    /// The bridge knows whose they are.
    Token(String),
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The one that is wrong.
    pub fn read<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut arguments = arguments.peekable();
        let first = arguments.next().ok_or("none says where saves lie")?;
        let place = place(first).ok_or(first)?;
        let mut facets: Vec<Facet> = Vec::new();
        for argument in arguments {
            #[cfg(sabotage)]
            if let Some(point) = argument.strip_prefix("sabotage=") {
                sabotage::choose(sabotage::Point::named(point).ok_or(argument)?);
                continue;
            }
            let facet = facet(argument, place).ok_or(argument)?;
            // Two that are one would not see each other's changes.
            if facets.iter().any(|other| other.whose == facet.whose) {
                return Err(argument);
            }
            facets.push(facet);
        }
        Ok(Self { place, facets })
    }
}

fn place(argument: &str) -> Option<Place> {
    let mut words = argument.split(' ');
    let kind = words.next()?;
    let (mut address, mut port) = (None, None);
    for word in words {
        match word.split_once('=')? {
            ("at", value) => address = Some(value.parse().ok()?),
            ("port", value) => port = Some(value.parse().ok().filter(|port| *port != 0)?),
            _ => return None,
        }
    }
    match (kind, address, port) {
        ("memory", None, None) => Some(Place::Memory),
        ("bridge", Some(address), Some(port)) => Some(Place::Bridge { address, port }),
        _ => None,
    }
}

fn facet(argument: &str, place: Place) -> Option<Facet> {
    let mut words = argument.split(' ');
    if words.next()? != "facet" {
        return None;
    }
    let (mut tenant, mut profile, mut token) = (None, None, None);
    let mut writer = Writer {
        schema: 1,
        epoch: 1,
    };
    for word in words {
        match word.split_once('=')? {
            ("tenant", value) => tenant = Some(Tenant(hex(value)?)),
            ("profile", value) => profile = Some(Profile(hex(value)?)),
            ("token", value) => token = Some(value.replace('~', " ")),
            ("schema", value) => writer.schema = value.parse().ok()?,
            ("epoch", value) => writer.epoch = value.parse().ok()?,
            _ => return None,
        }
    }
    let whose = match (place, tenant, profile, token) {
        (Place::Memory, Some(tenant), Some(profile), None) => {
            Whose::Scope(Scope { tenant, profile })
        }
        // It becomes a line of a head: nothing may end that line.
        (Place::Bridge { .. }, None, None, Some(token)) if is_plain(&token) => Whose::Token(token),
        _ => return None,
    };
    Some(Facet { whose, writer })
}

fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn hex(text: &str) -> Option<[u8; 16]> {
    let is_digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_digits.then(|| u128::from_str_radix(text, 16).ok())??;
    // Zeroes are the bridge's own.
    (number != 0).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Options, Place, Whose};
    use sdk::alloc::format;

    fn read<'a>(arguments: &[&'a str]) -> Result<Options, &'a str> {
        Options::read(arguments.iter().copied())
    }

    #[test]
    fn facets_are_taken_as_the_place_wants_them() {
        let one = format!("facet tenant={:032x} profile={:032x} epoch=3", 5, 6);
        let options = read(&["memory", &one]).unwrap();
        assert_eq!(options.facets[0].writer.epoch, 3);
        assert!(read(&["memory", &one, &one]).is_err(), "two that are one");
        let options = read(&["bridge at=10.0.2.2 port=80", "facet token=a~b"]).unwrap();
        assert!(matches!(options.place, Place::Bridge { port: 80, .. }));
        assert_eq!(options.facets[0].whose, Whose::Token("a b".into()));
        for wrong in [
            &["nowhere"][..],
            &["bridge at=10.0.2.2"],
            &["bridge at=x port=80"],
            &["bridge at=10.0.2.2 port=0"],
            &["memory", "facet token=a"],
            &["bridge at=10.0.2.2 port=80", &one],
            &["bridge at=10.0.2.2 port=80", "facet token=a\r\nb"],
            &["memory", "facet tenant=1 profile=2"],
            &[
                "memory",
                "facet tenant=00000000000000000000000000000000 profile=00000000000000000000000000000006",
            ],
            &["memory", "other"],
            &[],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
