//! What the manifest says.

use core::net::Ipv4Addr;

use save_core::{Bounds, Name, Profile, Scope, Tenant, Writer};
use sdk::alloc::string::{String, ToString};
use sdk::alloc::vec::Vec;

/// The arguments.
pub struct Options {
    pub place: Place,
    /// In their order.
    pub exports: Vec<Export>,
}

/// What an export stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// A profile's saves.
    Facet(Facet),
    /// Capsules of them.
    Capsules(Capsules),
}

/// Capsules of a profile's saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capsules {
    /// Which export has the saves.
    pub of: usize,
    /// What the application calls their content.
    pub content: u32,
    pub secret: Secret,
}

/// Where the secret is from that capsules' keys are derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// It is this: in memory.
    Is([u8; 32]),
    /// The volume's file of that name has it.
    Key(String),
}

/// Where saves lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Memory,
    /// At a bridge.
    Bridge(Bridge),
    /// On a volume, and from there at a bridge.
    Volume {
        /// Where the disk has several volumes.
        partition: Option<u32>,
        bridge: Option<Bridge>,
    },
}

/// Where a bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub address: Ipv4Addr,
    pub port: u16,
}

/// A profile's saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    pub whose: Whose,
    pub writer: Writer,
    /// How much it may have on the volume; none where the volume's end is the only one.
    pub bounds: Option<Bounds>,
}

/// Whose saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process keeps them apart.
    Scope(Scope),
    /// The bridge knows whose they are.
    Token(String),
    /// This process keeps them apart, and the bridge knows whose they are by what the volume's file of that name says.
    Key(Scope, String),
}

impl Whose {
    /// Whether two of them are one: they would not see each other's changes.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(one, name), Self::Key(two, other)) => one == two || name == other,
            (one, two) => one == two,
        }
    }
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
        let mut exports: Vec<Export> = Vec::new();
        for argument in arguments {
            let export = match argument.starts_with("capsules ") {
                true => capsules(argument, place, &exports).map(Export::Capsules),
                false => facet(argument, place).map(Export::Facet),
            };
            let export = export.ok_or(argument)?;
            if exports.iter().any(|other| is_one(other, &export)) {
                return Err(argument);
            }
            exports.push(export);
        }
        Ok(Self { place, exports })
    }
}

/// Whether two facets are one.
fn is_one(one: &Export, other: &Export) -> bool {
    match (one, other) {
        (Export::Facet(one), Export::Facet(other)) => one.whose.is(&other.whose),
        _ => false,
    }
}

fn capsules(argument: &str, place: Place, before: &[Export]) -> Option<Capsules> {
    let (mut of, mut content, mut secret) = (None, 1, None);
    for word in argument.split(' ').skip(1) {
        match (word.split_once('=')?, place) {
            (("of", value), _) => of = Some(value.parse().ok()?),
            (("content", value), _) => content = value.parse().ok()?,
            (("secret", value), Place::Memory) => {
                let (one, two) = value.split_at_checked(32)?;
                let mut bytes = [0; 32];
                let (first, second) = bytes.split_at_mut(16);
                first.copy_from_slice(&hex(one)?);
                second.copy_from_slice(&hex(two)?);
                secret = Some(Secret::Is(bytes));
            }
            (("key", value), Place::Volume { .. }) => {
                secret = Some(Secret::Key(Name::new(value).ok()?.text().to_string()));
            }
            _ => return None,
        }
    }
    let of = of?;
    // A facet, which lies here.
    matches!(before.get(of)?, Export::Facet(_)).then_some(())?;
    let secret = secret?;
    Some(Capsules {
        of,
        content,
        secret,
    })
}

fn place(argument: &str) -> Option<Place> {
    let mut words = argument.split(' ');
    let kind = words.next()?;
    let (mut address, mut port, mut partition) = (None, None, None);
    for word in words {
        match word.split_once('=')? {
            ("at", value) => address = Some(value.parse().ok()?),
            ("port", value) => port = Some(value.parse().ok().filter(|port| *port != 0)?),
            ("partition", value) => partition = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    let bridge = match (address, port) {
        (Some(address), Some(port)) => Some(Bridge { address, port }),
        (None, None) => None,
        _ => return None,
    };
    match (kind, bridge, partition) {
        ("memory", None, None) => Some(Place::Memory),
        ("bridge", Some(bridge), None) => Some(Place::Bridge(bridge)),
        ("volume", bridge, partition) => Some(Place::Volume { partition, bridge }),
        _ => None,
    }
}

fn facet(argument: &str, place: Place) -> Option<Facet> {
    let mut words = argument.split(' ');
    if words.next()? != "facet" {
        return None;
    }
    let (mut tenant, mut profile, mut token, mut key) = (None, None, None, None);
    let (mut bytes, mut slots) = (None, None);
    let mut writer = Writer {
        schema: 1,
        epoch: 1,
    };
    for word in words {
        match word.split_once('=')? {
            ("tenant", value) => tenant = Some(Tenant(hex(value)?)),
            ("profile", value) => profile = Some(Profile(hex(value)?)),
            ("token", value) => token = Some(value.replace('~', " ")),
            ("key", value) => key = Some(Name::new(value).ok()?.text().to_string()),
            ("schema", value) => writer.schema = value.parse().ok()?,
            ("epoch", value) => writer.epoch = value.parse().ok()?,
            ("bytes", value) => bytes = Some(value.parse().ok()?),
            ("slots", value) => slots = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    let scope = match (tenant, profile) {
        (Some(tenant), Some(profile)) => Some(Scope { tenant, profile }),
        (None, None) => None,
        _ => return None,
    };
    let whose = match (place, scope, token, key) {
        (Place::Memory | Place::Volume { bridge: None, .. }, Some(scope), None, None) => {
            Whose::Scope(scope)
        }
        // It becomes a line of a head: nothing may end that line.
        (Place::Bridge(_), None, Some(token), None) if is_plain(&token) => Whose::Token(token),
        (
            Place::Volume {
                bridge: Some(_), ..
            },
            Some(scope),
            None,
            Some(key),
        ) => Whose::Key(scope, key),
        _ => return None,
    };
    let bounds = match (place, bytes, slots) {
        (_, None, None) => None,
        (Place::Volume { .. }, Some(bytes), Some(slots)) => Some(Bounds { bytes, slots }),
        _ => return None,
    };
    Some(Facet {
        whose,
        writer,
        bounds,
    })
}

/// Whether a text can stand in a line of a head.
pub fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A number of 32 digits that is not zero.
pub fn hex(text: &str) -> Option<[u8; 16]> {
    let is_digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_digits.then(|| u128::from_str_radix(text, 16).ok())??;
    // Zeroes are the bridge's own.
    (number != 0).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Export, Facet, Options, Place, Whose};
    use sdk::alloc::format;

    fn read<'a>(arguments: &[&'a str]) -> Result<Options, &'a str> {
        Options::read(arguments.iter().copied())
    }

    fn facet_of(options: &Options) -> &Facet {
        let Some(Export::Facet(facet)) = options.exports.first() else {
            panic!("no facet")
        };
        facet
    }

    #[test]
    fn capsules_are_of_a_facet_before() {
        let one = format!("facet tenant={:032x} profile={:032x}", 5, 6);
        let secret = format!("capsules of=0 content=7 secret={:032x}{:032x}", 1, 2);
        let options = read(&["memory", &one, &secret]).unwrap();
        assert!(matches!(&options.exports[1], Export::Capsules(capsules) if capsules.content == 7));
        let key = "capsules of=0 key=capsules";
        assert!(read(&["volume", &one, key]).is_ok());
        for wrong in [
            &["memory", &one, key][..],
            &["memory", &secret, &one],
            &["memory", &one, &secret, &secret.replace("of=0", "of=1")],
            &["memory", &one, "capsules of=0"],
            &["volume", &one, &secret],
            &["volume", &one, "capsules of=0 key=a/b"],
            &["memory", &one, &format!("{secret}0")],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn facets_are_taken_as_the_place_wants_them() {
        let one = format!("facet tenant={:032x} profile={:032x} epoch=3", 5, 6);
        let options = read(&["memory", &one]).unwrap();
        assert_eq!(facet_of(&options).writer.epoch, 3);
        assert!(read(&["memory", &one, &one]).is_err(), "two that are one");
        let options = read(&["bridge at=10.0.2.2 port=80", "facet token=a~b"]).unwrap();
        assert!(matches!(options.place, Place::Bridge(bridge) if bridge.port == 80));
        assert_eq!(facet_of(&options).whose, Whose::Token("a b".into()));
        let on_volume = format!("{one} key=bridge");
        let place = "volume partition=2 at=10.0.2.2 port=80";
        let options = read(&[place, &on_volume]).unwrap();
        assert!(matches!(&facet_of(&options).whose, Whose::Key(_, key) if key == "bridge"));
        let options = read(&["volume", &one]).unwrap();
        assert_eq!(facet_of(&options).bounds, None);
        let bounded = format!("{one} bytes=40000 slots=12");
        let (bytes, slots) = (40_000, 12);
        let options = read(&["volume", &bounded]).unwrap();
        assert_eq!(
            facet_of(&options).bounds,
            Some(save_core::Bounds { bytes, slots })
        );
        let same_key = format!("facet tenant={:032x} profile={:032x} key=bridge", 5, 7);
        for wrong in [
            &["nowhere"][..],
            &["volume", &on_volume],
            &["volume at=10.0.2.2 port=80", &one],
            &["volume at=10.0.2.2 port=80", "facet key=bridge"],
            &["volume at=10.0.2.2"],
            &["volume at=10.0.2.2 port=80", "facet token=a"],
            &["volume at=10.0.2.2 port=80", &on_volume, &same_key],
            &["volume at=10.0.2.2 port=80", &format!("{one} key=../x")],
            &["bridge partition=1 at=10.0.2.2 port=80"],
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
            &["memory", &format!("{one} bytes=9 slots=9")],
            &["volume", &format!("{one} bytes=9")],
            &["volume", &format!("{one} bytes=-1 slots=9")],
            &[],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
