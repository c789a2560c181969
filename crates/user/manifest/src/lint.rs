//! The rules across services.

use alloc::string::ToString;

use ring_abi::{FIRST_AREA, FIRST_STACK};
use schema::manifest_capnp::manifest;

use crate::{
    Error, MAX_PRIORITY, Manifest, Restart, Service, Source,
    decode::{Draft, decode, encoding, reader, segment},
    order::start_order,
    reencode::check_known,
};

/// Reads a framed manifest and checks every rule but that its binaries exist.
///
/// # Errors
/// The first rule that is broken, in the order of [`Error`].
pub fn read(bytes: &[u8]) -> Result<Manifest, Error> {
    let words = segment(bytes)?;
    let segment = capnp::Word::words_to_bytes(&words);
    let draft = {
        let segments = [segment];
        let message = reader(&segments);
        decode(
            message
                .get_root::<manifest::Reader<'_>>()
                .map_err(encoding)?,
        )?
    };
    check_known(segment)?;
    lint(draft)
}

fn lint(draft: Draft) -> Result<Manifest, Error> {
    for service in &draft.services {
        check_devices(service, &draft)?;
        check_endpoint(service)?;
        check_limits(service)?;
        check_restart(service)?;
    }
    if let Some(service) = draft.exit_with.and_then(|idx| draft.services.get(idx))
        && service.restart == Restart::Always
    {
        return Err(Error::Restart {
            service: service.name.clone(),
            why: "the system halts when it ends, so it cannot be restarted always",
        });
    }
    let start_order = start_order(&draft.services)?;
    check_calls(&draft.services)?;
    check_builds(&draft.services)?;
    let Draft {
        name,
        services,
        exit_with,
        dma,
        drivers,
        trusted_groups,
    } = draft;
    Ok(Manifest {
        name,
        services,
        exit_with,
        dma,
        drivers,
        trusted_groups,
        start_order,
    })
}

/// Each device goes to one service, once, and its driver is one of the manifest's.
fn check_devices(service: &Service, draft: &Draft) -> Result<(), Error> {
    for grant in &service.grants {
        let Source::Device { driver, nth, .. } = &grant.source else {
            continue;
        };
        if !draft.drivers.contains(driver) {
            return Err(Error::UnlistedDriver {
                service: service.name.clone(),
                grant: grant.name.clone(),
                driver: driver.clone(),
            });
        }
        let claims = |other: &&Service| {
            other.grants.iter().any(|g| {
                !core::ptr::eq(g, grant)
                    && matches!(&g.source, Source::Device { driver: d, nth: n, .. } if d == driver && n == nth)
            })
        };
        if let Some(other) = draft.services.iter().find(claims) {
            // Services are looked at in order, so `service` is the first of the two.
            return Err(Error::SharedDevice {
                first: service.name.clone(),
                second: other.name.clone(),
                driver: driver.clone(),
                nth: *nth,
            });
        }
    }
    Ok(())
}

fn check_endpoint(service: &Service) -> Result<(), Error> {
    let count = service
        .grants
        .iter()
        .filter(|g| g.source == Source::Endpoint)
        .count();
    let why = match (service.exports.is_empty(), count) {
        (true, 0) | (false, 1) => return Ok(()),
        (true, _) => "it is granted its endpoint but exports nothing",
        (false, 0) => "it exports but is not granted its endpoint",
        (false, _) => "it is granted its endpoint more than once",
    };
    Err(Error::Endpoint {
        service: service.name.clone(),
        why,
    })
}

fn check_limits(service: &Service) -> Result<(), Error> {
    // The ceilings are what the fields of the kernel's own tables hold.
    let l = &service.limits;
    let rows = [
        (
            "priority",
            u32::from(service.priority),
            1,
            u32::from(MAX_PRIORITY),
        ),
        ("limits.memoryPages", l.memory_pages, 16, 1 << 24),
        ("limits.handles", l.handles, 1, 1 << 16),
        ("limits.threads", u32::from(l.threads), 1, 256),
        ("limits.endpoints", u32::from(l.endpoints), 0, 4096),
        ("limits.facets", l.facets, 0, 1 << 20),
        ("limits.cpuPerMille", u32::from(l.cpu_per_mille), 0, 64_000),
    ];
    // Where a service says nothing of its first thread, that has the usual.
    let of_thread = [
        ("stackPages", service.stack_pages, FIRST_STACK),
        ("areaPages", service.area_pages, FIRST_AREA),
    ];
    let said = of_thread.iter().filter(|(_, pages, _)| *pages != 0);
    let said = said.map(|(field, pages, range)| {
        (
            *field,
            u32::from(*pages),
            u32::from(range.least),
            u32::from(range.most),
        )
    });
    for (field, value, least, most) in rows.into_iter().chain(said) {
        if value < least || value > most {
            return Err(Error::BadLimit {
                service: service.name.to_string(),
                field,
                value,
                least,
                most,
            });
        }
    }
    Ok(())
}

fn check_restart(service: &Service) -> Result<(), Error> {
    if service.restart != Restart::Never && service.max_restarts == 0 {
        return Err(Error::Restart {
            service: service.name.clone(),
            why: "it is to be restarted, but at most 0 times",
        });
    }
    Ok(())
}

/// A program is built once: for the FPU or without it.
fn check_builds(services: &[Service]) -> Result<(), Error> {
    for with in services.iter().filter(|service| service.fpu) {
        let shares = |other: &&Service| !other.fpu && other.binary == with.binary;
        if let Some(without) = services.iter().find(shares) {
            return Err(Error::TwoBuilds {
                binary: with.binary.clone(),
                with: with.name.clone(),
                without: without.name.clone(),
            });
        }
    }
    Ok(())
}

/// A call runs its server at the caller's priority or above, never below it: nobody waits for somebody less urgent.
fn check_calls(services: &[Service]) -> Result<(), Error> {
    for service in services {
        for (grant, reference) in service.providers() {
            let Some(provider) = services.get(reference.service_idx) else {
                continue;
            };
            if provider.priority < service.priority {
                return Err(Error::UpwardCall {
                    service: service.name.clone(),
                    priority: service.priority,
                    grant: grant.to_string(),
                    provider: provider.name.clone(),
                    provider_priority: provider.priority,
                });
            }
        }
    }
    Ok(())
}
