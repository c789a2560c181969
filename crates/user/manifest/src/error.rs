//! Why a manifest is refused.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::{MAX_ARGUMENT_BYTES, MAX_BYTES, MAX_NAME_BYTES, VERSION};

/// Where in a manifest something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The manifest itself.
    Manifest,
    /// A service, by name, or by its position in the list where the name itself is at fault.
    Service(String),
    /// A grant of a service.
    Grant(String, String),
    /// An export of a service.
    Export(String, String),
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It has no characters.
    Empty,
    /// It is longer than [`MAX_NAME_BYTES`].
    TooLong,
    /// It does not begin with a lower-case letter, or holds a character that names of its kind do not.
    IllFormed,
}

/// Why a manifest is refused: whoever wrote it can cause each of these, and nobody else.
///
/// Checked in this order; the first one is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The manifest is over [`MAX_BYTES`].
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The bytes are not one framed single-segment message that can be read within the limits.
    Malformed {
        /// What is wrong with them.
        why: &'static str,
    },
    /// The version is not [`VERSION`].
    UnknownVersion {
        /// The version that stands there.
        found: u32,
    },
    /// An enumerant or union member has a number that this version does not know.
    UnknownValue {
        /// Where it stands.
        place: Place,
        /// The field.
        field: &'static str,
    },
    /// The message holds data that no field of this version accounts for.
    UnknownData,
    /// There are no services.
    NoServices,
    /// A list is longer than allowed.
    TooMany {
        /// Whose list it is.
        place: Place,
        /// What it lists.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A name is empty, too long or ill-formed.
    BadName {
        /// Whose name it is, or where the name is used.
        place: Place,
        /// Which field.
        field: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// An argument is longer than [`MAX_ARGUMENT_BYTES`].
    LongArgument {
        /// The service.
        service: String,
        /// The argument's position.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// Two entries of one list have the same name.
    Duplicate {
        /// Whose list it is.
        place: Place,
        /// What it lists.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An export names an interface that no schema declares.
    UnknownInterface {
        /// The service.
        service: String,
        /// The export.
        export: String,
        /// The interface.
        interface: String,
    },
    /// A grant names a service that is not there.
    UnknownService {
        /// The service that would get the grant.
        service: String,
        /// The grant.
        grant: String,
        /// The service it names.
        named: String,
    },
    /// A grant names an export that the service does not have.
    UnknownExport {
        /// The service that would get the grant.
        service: String,
        /// The grant.
        grant: String,
        /// The service it names.
        provider: String,
        /// The export it names.
        named: String,
    },
    /// A grant names a driver that the manifest's `drivers` do not list.
    UnlistedDriver {
        /// The service.
        service: String,
        /// The grant.
        grant: String,
        /// The driver.
        driver: String,
    },
    /// A service exports and has no grant of its endpoint, or has the grant, or two, without need.
    Endpoint {
        /// The service.
        service: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Two grants claim the same device.
    SharedDevice {
        /// The first service.
        first: String,
        /// The second service; may be the same.
        second: String,
        /// The driver.
        driver: String,
        /// Which of the driver's devices.
        nth: u32,
    },
    /// A limit or priority is outside what the kernel takes.
    BadLimit {
        /// The service.
        service: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The least that makes sense.
        least: u32,
        /// The most that the kernel takes.
        most: u32,
    },
    /// The restart policy contradicts itself.
    Restart {
        /// The service.
        service: String,
        /// What contradicts what.
        why: &'static str,
    },
    /// `exitWith` names a service that is not there.
    UnknownExit {
        /// The name.
        named: String,
    },
    /// Services wait for each other in a circle.
    Cycle {
        /// Their names, from the first in the file, each a user of the next and the last one of the first.
        path: Vec<String>,
    },
    /// A service may call one of a lower priority.
    UpwardCall {
        /// The caller.
        service: String,
        /// Its priority.
        priority: u8,
        /// The grant it would call through.
        grant: String,
        /// The service it would call.
        provider: String,
        /// That service's priority.
        provider_priority: u8,
    },
    /// Two services share a program of which one may use the FPU: it would have to be built in two ways.
    TwoBuilds {
        /// The program.
        binary: String,
        /// The service with `fpu`.
        with: String,
        /// The service without.
        without: String,
    },
    /// A service's binary is not in the boot package.
    MissingBinary {
        /// The service.
        service: String,
        /// The binary.
        binary: String,
    },
    /// The boot package holds no image for init itself.
    MissingInit,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest"),
            Self::Service(service) => write!(f, "service {service:?}"),
            Self::Grant(service, grant) => write!(f, "service {service:?}, grant {grant:?}"),
            Self::Export(service, export) => write!(f, "service {service:?}, export {export:?}"),
        }
    }
}

impl fmt::Display for Error {
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one sentence for each variant"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "manifest: {bytes} bytes, at most {MAX_BYTES} are allowed")
            }
            Self::Malformed { why } => write!(f, "manifest: not a manifest: {why}"),
            Self::UnknownVersion { found } => {
                write!(f, "manifest: version {found}, this system reads version {VERSION}")
            }
            Self::UnknownValue { place, field } => {
                write!(f, "{place}: {field} has a value that this system does not know")
            }
            Self::UnknownData => f.write_str(
                "manifest: holds data that no field of this system's schema accounts for; was it made for a newer one?",
            ),
            Self::NoServices => f.write_str("manifest: no services"),
            Self::TooMany { place, what, found, most } => {
                write!(f, "{place}: {found} {what}, at most {most} are allowed")
            }
            Self::BadName { place, field, name, fault } => match fault {
                NameFault::Empty => write!(f, "{place}: {field} is empty"),
                NameFault::TooLong => write!(
                    f,
                    "{place}: {field} {name:?} has {} bytes, at most {MAX_NAME_BYTES} are allowed",
                    name.len()
                ),
                NameFault::IllFormed => write!(f, "{place}: {field} {name:?} is not a well-formed name"),
            },
            Self::LongArgument { service, index, bytes } => write!(
                f,
                "service {service:?}: argument {index} has {bytes} bytes, at most {MAX_ARGUMENT_BYTES} are allowed"
            ),
            Self::Duplicate { place, what, name } => write!(f, "{place}: two {what} are named {name:?}"),
            Self::UnknownInterface { service, export, interface } => write!(
                f,
                "service {service:?}, export {export:?}: no interface is named {interface:?}"
            ),
            Self::UnknownService { service, grant, named } => {
                write!(f, "service {service:?}, grant {grant:?}: no service is named {named:?}")
            }
            Self::UnknownExport { service, grant, provider, named } => write!(
                f,
                "service {service:?}, grant {grant:?}: service {provider:?} exports nothing named {named:?}"
            ),
            Self::UnlistedDriver { service, grant, driver } => write!(
                f,
                "service {service:?}, grant {grant:?}: driver {driver:?} is not among the manifest's drivers"
            ),
            Self::Endpoint { service, why } => write!(f, "service {service:?}: {why}"),
            Self::SharedDevice { first, second, driver, nth } => write!(
                f,
                "service {second:?}: device {driver:?} {nth} is already granted to service {first:?}"
            ),
            Self::BadLimit { service, field, value, least, most } => write!(
                f,
                "service {service:?}: {field} is {value}, allowed is {least} to {most}"
            ),
            Self::Restart { service, why } => write!(f, "service {service:?}: {why}"),
            Self::UnknownExit { named } => write!(f, "manifest: exitWith: no service is named {named:?}"),
            Self::Cycle { path } => {
                f.write_str("manifest: services wait for each other: ")?;
                for name in path {
                    write!(f, "{name} -> ")?;
                }
                f.write_str(path.first().map_or("", String::as_str))
            }
            Self::UpwardCall { service, priority, grant, provider, provider_priority } => write!(
                f,
                "service {service:?}, grant {grant:?}: priority {priority} may not call service {provider:?} of the lower priority {provider_priority}"
            ),
            Self::TwoBuilds { binary, with, without } => write!(
                f,
                "service {without:?}: its program {binary:?} is also that of service {with:?}, which has fpu; a program is built in one way: give fpu to both or to neither"
            ),
            Self::MissingBinary { service, binary } => {
                write!(f, "service {service:?}: the boot package holds no binary {binary:?}")
            }
            Self::MissingInit => write!(f, "manifest: the boot package holds no binary {:?}", crate::INIT_IMAGE),
        }
    }
}

impl core::error::Error for Error {}
