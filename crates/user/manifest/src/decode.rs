//! From bytes to a [`Draft`]: framing, limits, names and references.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use capnp::{
    Word,
    message::{Reader, ReaderOptions, SegmentArray},
};

use schema::manifest_capnp::{grant, manifest, service};

use crate::{
    DmaPolicy, Error, Export, ExportRef, Grant, KernelSource, Limits, MAX_ARGUMENT_BYTES,
    MAX_ARGUMENTS, MAX_BYTES, MAX_DRIVERS, MAX_EXPORTS, MAX_GRANTS, MAX_SERVICES,
    MAX_TRUSTED_GROUPS, Place, Restart, Service, Source, VERSION,
    names::{NameKind, check_name},
};

/// What was decoded; nothing across services is checked yet but that references resolve.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) services: Vec<Service>,
    pub(crate) exit_with: Option<usize>,
    pub(crate) dma: DmaPolicy,
    pub(crate) drivers: Vec<String>,
    pub(crate) trusted_groups: Vec<String>,
}

/// Finds the one segment of a framed message, and copies it to where words are aligned.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Malformed`].
pub(crate) fn segment(bytes: &[u8]) -> Result<Vec<Word>, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len() });
    }
    let malformed = |why| Err(Error::Malformed { why });
    let Some((frame, segment)) = bytes.split_first_chunk::<8>() else {
        return malformed("it is shorter than its own frame");
    };
    let [a, b, c, d, e, f, g, h] = *frame;
    if u32::from_le_bytes([a, b, c, d]) != 0 {
        return malformed("it has more than one segment");
    }
    let words = usize::try_from(u32::from_le_bytes([e, f, g, h])).unwrap_or(usize::MAX);
    match words.checked_mul(8) {
        Some(0) => malformed("it is empty"),
        Some(length) if length == segment.len() => {
            let mut copy = Word::allocate_zeroed_vec(length / 8);
            Word::words_to_bytes_mut(&mut copy).copy_from_slice(segment);
            Ok(copy)
        }
        Some(length) if length > segment.len() => malformed("it is cut off"),
        _ => malformed("bytes follow its end"),
    }
}

/// A reader with limits that no manifest of [`MAX_BYTES`] needs to exceed, unless its pointers share what they name.
pub(crate) fn reader<'a>(segments: &'a [&'a [u8]]) -> Reader<SegmentArray<'a>> {
    let mut options = ReaderOptions::new();
    options
        .nesting_limit(8)
        .traversal_limit_in_words(Some(4 * MAX_BYTES / 8));
    Reader::new(SegmentArray::new(segments), options)
}

/// Turns an error of the encoding into ours. Its text would say where in memory, which helps nobody.
pub(crate) fn encoding(_: capnp::Error) -> Error {
    Error::Malformed {
        why: "a pointer in it leads outside it, or to something else than the schema says",
    }
}

fn text(value: capnp::Result<capnp::text::Reader<'_>>) -> Result<&str, Error> {
    value
        .map_err(encoding)?
        .to_str()
        .map_err(|_| Error::Malformed {
            why: "a text in it is not UTF-8",
        })
}

fn at_most(found: u32, most: usize, what: &'static str, place: Place) -> Result<(), Error> {
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > most {
        Err(Error::TooMany {
            place,
            what,
            found,
            most,
        })
    } else {
        Ok(())
    }
}

/// Decodes a manifest.
///
/// # Errors
/// Everything that concerns one entry by itself, and references that lead nowhere.
pub(crate) fn decode(root: manifest::Reader<'_>) -> Result<Draft, Error> {
    if root.get_version() != VERSION {
        return Err(Error::UnknownVersion {
            found: root.get_version(),
        });
    }
    let name = text(root.get_name())?;
    check_name(NameKind::Kebab, name, "name", || Place::Manifest)?;
    let dma = match root.get_dma() {
        Ok(manifest::DmaPolicy::Auto) => DmaPolicy::Auto,
        Ok(manifest::DmaPolicy::Bounce) => DmaPolicy::Bounce,
        Ok(manifest::DmaPolicy::Direct) => DmaPolicy::Direct,
        Err(_) => {
            return Err(Error::UnknownValue {
                place: Place::Manifest,
                field: "dma",
            });
        }
    };
    let drivers = decode_drivers(root)?;
    let list = root.get_services().map_err(encoding)?;
    if list.is_empty() {
        return Err(Error::NoServices);
    }
    at_most(list.len(), MAX_SERVICES, "services", Place::Manifest)?;
    let mut services: Vec<Service> = Vec::new();
    for (idx, entry) in list.iter().enumerate() {
        let service = decode_service(idx, entry)?;
        if services.iter().any(|s| s.name == service.name) {
            return Err(duplicate(Place::Manifest, "services", &service.name));
        }
        services.push(service);
    }
    // Grants name services that may come later in the file, so they wait until all of them are known.
    for (idx, entry) in list.iter().enumerate() {
        let grants = decode_grants(entry, idx, &services)?;
        if let Some(service) = services.get_mut(idx) {
            service.grants = grants;
        }
    }
    let exit_with = match text(root.get_exit_with())? {
        "" => None,
        named => Some(
            services
                .iter()
                .position(|s| s.name == named)
                .ok_or_else(|| Error::UnknownExit {
                    named: named.to_string(),
                })?,
        ),
    };
    Ok(Draft {
        name: name.to_string(),
        services,
        exit_with,
        dma,
        drivers,
        trusted_groups: decode_groups(root)?,
    })
}

fn decode_groups(root: manifest::Reader<'_>) -> Result<Vec<String>, Error> {
    let list = root.get_trusted_groups().map_err(encoding)?;
    let field = "trustedGroups";
    at_most(list.len(), MAX_TRUSTED_GROUPS, field, Place::Manifest)?;
    let mut groups: Vec<String> = Vec::new();
    for group in list.iter() {
        let group = text(group)?;
        check_name(NameKind::Group, group, field, || Place::Manifest)?;
        if groups.iter().any(|one| one == group) {
            return Err(duplicate(Place::Manifest, field, group));
        }
        groups.push(group.to_string());
    }
    Ok(groups)
}

fn decode_drivers(root: manifest::Reader<'_>) -> Result<Vec<String>, Error> {
    let list = root.get_drivers().map_err(encoding)?;
    at_most(list.len(), MAX_DRIVERS, "drivers", Place::Manifest)?;
    let mut drivers: Vec<String> = Vec::new();
    for driver in list.iter() {
        let driver = text(driver)?;
        check_name(NameKind::Kebab, driver, "driver", || Place::Manifest)?;
        if drivers.iter().any(|d| d == driver) {
            return Err(duplicate(Place::Manifest, "drivers", driver));
        }
        drivers.push(driver.to_string());
    }
    Ok(drivers)
}

fn duplicate(place: Place, what: &'static str, name: &str) -> Error {
    Error::Duplicate {
        place,
        what,
        name: name.to_string(),
    }
}

/// Decodes all of a service but its grants.
fn decode_service(idx: usize, entry: service::Reader<'_>) -> Result<Service, Error> {
    let name = text(entry.get_name())?.to_string();
    check_name(NameKind::Kebab, &name, "name", || {
        Place::Service(format!("#{idx}"))
    })?;
    let place = || Place::Service(name.clone());

    let binary = text(entry.get_binary())?.to_string();
    check_name(NameKind::Kebab, &binary, "binary", place)?;

    let arguments = decode_arguments(entry, &name)?;
    let exports = decode_exports(entry, &name)?;

    let restart = match entry.get_restart() {
        Ok(service::Restart::Never) => Restart::Never,
        Ok(service::Restart::OnFailure) => Restart::OnFailure,
        Ok(service::Restart::Always) => Restart::Always,
        Err(_) => {
            return Err(Error::UnknownValue {
                place: place(),
                field: "restart",
            });
        }
    };
    let limits = entry.get_limits().map_err(encoding)?;
    Ok(Service {
        binary,
        arguments,
        grants: Vec::new(),
        exports,
        restart,
        priority: entry.get_priority(),
        limits: Limits {
            memory_pages: limits.get_memory_pages(),
            handles: limits.get_handles(),
            threads: limits.get_threads(),
            endpoints: limits.get_endpoints(),
            facets: limits.get_facets(),
            cpu_per_mille: limits.get_cpu_per_mille(),
        },
        max_restarts: entry.get_max_restarts(),
        critical: entry.get_critical(),
        fpu: entry.get_fpu(),
        distrusting: entry.get_distrusting(),
        stack_pages: entry.get_stack_pages(),
        area_pages: entry.get_area_pages(),
        name,
    })
}

fn decode_arguments(entry: service::Reader<'_>, service: &str) -> Result<Vec<String>, Error> {
    let place = Place::Service(service.to_string());
    let list = entry.get_arguments().map_err(encoding)?;
    at_most(list.len(), MAX_ARGUMENTS, "arguments", place)?;
    let mut arguments = Vec::new();
    for (index, argument) in list.iter().enumerate() {
        let argument = text(argument)?;
        if argument.len() > MAX_ARGUMENT_BYTES {
            return Err(Error::LongArgument {
                service: service.to_string(),
                index,
                bytes: argument.len(),
            });
        }
        arguments.push(argument.to_string());
    }
    Ok(arguments)
}

fn decode_exports(entry: service::Reader<'_>, service: &str) -> Result<Vec<Export>, Error> {
    let place = || Place::Service(service.to_string());
    let list = entry.get_exports().map_err(encoding)?;
    at_most(list.len(), MAX_EXPORTS, "exports", place())?;
    let mut exports: Vec<Export> = Vec::new();
    for export in list.iter() {
        let name = text(export.get_name())?;
        check_name(NameKind::Camel, name, "export", place)?;
        if exports.iter().any(|e| e.name == name) {
            return Err(duplicate(place(), "exports", name));
        }
        let named = text(export.get_interface())?;
        let Some((interface_id, interface)) =
            schema::INTERFACES.iter().find(|i| i.1 == named).copied()
        else {
            return Err(Error::UnknownInterface {
                service: service.to_string(),
                export: name.to_string(),
                interface: named.to_string(),
            });
        };
        exports.push(Export {
            name: name.to_string(),
            interface,
            interface_id,
        });
    }
    Ok(exports)
}

fn decode_grants(
    entry: service::Reader<'_>,
    idx: usize,
    services: &[Service],
) -> Result<Vec<Grant>, Error> {
    let service = services.get(idx).map_or("", |s| s.name.as_str());
    let place = || Place::Service(service.to_string());
    let list = entry.get_grants().map_err(encoding)?;
    at_most(list.len(), MAX_GRANTS, "grants", place())?;
    let mut grants: Vec<Grant> = Vec::new();
    for (position, grant) in list.iter().enumerate() {
        let given = text(grant.get_name())?;
        // One without a name is told by its position until its source is known.
        let source = if given.is_empty() {
            decode_source(grant, service, &format!("#{position}"), services)?
        } else {
            check_name(NameKind::Camel, given, "grant", place)?;
            decode_source(grant, service, given, services)?
        };
        let name = if given.is_empty() {
            default_name(&source, services)
        } else {
            given
        };
        if grants.iter().any(|g| g.name == name) {
            return Err(duplicate(place(), "grants", name));
        }
        grants.push(Grant {
            name: name.to_string(),
            source,
        });
    }
    Ok(grants)
}

/// What a grant is called that has no name of its own.
fn default_name<'a>(source: &Source, services: &'a [Service]) -> &'a str {
    match source {
        Source::Kernel(source) => source.name(),
        Source::Export(ExportRef {
            service_idx,
            export_idx,
        }) => services
            .get(*service_idx)
            .and_then(|service| service.exports.get(*export_idx))
            .map_or("", |export| export.name.as_str()),
        Source::Device { .. } => "device",
        Source::Endpoint => "endpoint",
    }
}

fn decode_source(
    entry: grant::Reader<'_>,
    service: &str,
    grant: &str,
    services: &[Service],
) -> Result<Source, Error> {
    let place = || Place::Grant(service.to_string(), grant.to_string());
    let unknown = |field| Error::UnknownValue {
        place: place(),
        field,
    };
    match entry.which().map_err(|_| unknown("source"))? {
        grant::Which::Kernel(source) => {
            let source = source.map_err(|_| unknown("kernel"))?;
            // The schema's numbers count from 0 in the order of `ALL`; a test holds the two together.
            let source = KernelSource::ALL.get(usize::from(u16::from(source)));
            Ok(Source::Kernel(*source.ok_or_else(|| unknown("kernel"))?))
        }
        grant::Which::Export(source) => {
            let source = source.map_err(encoding)?;
            let (provider, export) = (text(source.get_service())?, text(source.get_export())?);
            let Some((service_idx, found)) = services
                .iter()
                .enumerate()
                .find(|(_, s)| s.name == provider)
            else {
                return Err(Error::UnknownService {
                    service: service.to_string(),
                    grant: grant.to_string(),
                    named: provider.to_string(),
                });
            };
            let Some(export_idx) = found.exports.iter().position(|e| e.name == export) else {
                return Err(Error::UnknownExport {
                    service: service.to_string(),
                    grant: grant.to_string(),
                    provider: provider.to_string(),
                    named: export.to_string(),
                });
            };
            Ok(Source::Export(ExportRef {
                service_idx,
                export_idx,
            }))
        }
        grant::Which::Device(source) => {
            let source = source.map_err(encoding)?;
            let driver = text(source.get_driver())?;
            check_name(NameKind::Kebab, driver, "driver", place)?;
            Ok(Source::Device {
                driver: driver.to_string(),
                nth: source.get_nth(),
                optional: source.get_optional(),
            })
        }
        grant::Which::Endpoint(()) => Ok(Source::Endpoint),
    }
}
