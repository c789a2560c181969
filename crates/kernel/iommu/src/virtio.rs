//! A virtio-iommu: no tables, but requests for each mapping, which it has carried out when it answers (Virtio 1.2, 5.13).
//! It judges no interrupts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cpu::Lock;
use iommu_format::virtio::WANTED;
use iommu_tables::{DomainId, Geometry, LargestPage, Levels};
use pci_format::{Command, ConfigAccess, update_command};
use sabotage::sabotage;
use units::Bdf;
use virtio_format::{iommu, status};

use crate::facts::{Fault, Wanted};
use crate::queue::{NoAnswer, Requests};
use crate::terms::NotOn;

mod events;
mod transport;

use events::Events;
pub(crate) use transport::{Doorbell, Transport, look};

/// Device addresses that domains use.
const USED: (u64, u64) = (4096, 0xffff_ffff);

/// What a unit calls functions: first and last requester id, and the first one's endpoint.
pub(crate) type Endpoints = (u16, u16, u32);

/// A virtio-iommu that is on.
#[derive(Debug)]
pub(crate) struct Virtio {
    transport: Transport,
    events: Box<Lock<Events>>,
    endpoints: Vec<Endpoints>,
    /// Its first domain, and how many it has.
    domains: (u32, u32),
    /// Bytes of what a probe is answered, if it answers any.
    probe_bytes: Option<usize>,
    features: u64,
}

impl Virtio {
    /// Never looked at: it reads no tables.
    pub(crate) const GEOMETRY: Geometry = Geometry {
        levels: Levels::Three,
        largest: LargestPage::Page,
    };

    /// Takes a unit over and turns it on: every function below it is blocked.
    ///
    /// # Errors
    /// Those of [`NotOn`].
    #[expect(clippy::disallowed_methods, reason = "boot: one for each unit")]
    pub(crate) fn turn_on(
        transport: Transport,
        function: Bdf,
        endpoints: Vec<Endpoints>,
        config: &mut dyn ConfigAccess,
        now_ns: fn() -> u64,
    ) -> Result<(Self, Requests), NotOn> {
        let mut requests = Requests::new(now_ns).ok_or(NotOn::NoMemory)?;
        let events = Events::new().ok_or(NotOn::NoMemory)?;
        let events = Box::new(Lock::new(events));
        transport.reset()?;
        let features = transport.features()? & WANTED;
        transport.accept(features)?;
        let has = |bit| features & bit != 0;
        let settings = transport.config()?;
        // Before it runs, so that nothing passes while no function has a domain.
        if has(iommu::F_BYPASS_CONFIG) && !sabotage!(LEAVE_DEVICE_OPEN) {
            transport.set_bypass(0)?;
        }
        let (layout, at) = requests.ring();
        requests.ring_at(transport.set_queue(iommu::REQUESTS, layout, at)?);
        let (layout, at) = events.lock().ring();
        let doorbell = transport.set_queue(iommu::EVENTS, layout, at)?;
        events.lock().ring_at(doorbell);
        // What it reads and writes are the rings, and what they name: all of it stays for good.
        let wanted = Command::MEMORY_SPACE.union(Command::BUS_MASTER);
        if !update_command(config, function, wanted, Command::empty()).contains(wanted) {
            return Err(NotOn::ReadsBack);
        }
        transport.start()?;
        let open = has(iommu::F_BYPASS_CONFIG) && transport.config()?.bypass != 0;
        if open && !sabotage!(LEAVE_DEVICE_OPEN) {
            return Err(NotOn::ReadsBack);
        }
        let (first, last) = settings.domains(features);
        let count = last.saturating_sub(first).saturating_add(1);
        let unit = Self {
            transport,
            events,
            endpoints,
            domains: (first, count.min(1 << 16)),
            probe_bytes: has(iommu::F_PROBE).then_some(settings.probe_bytes as usize),
            features,
        };
        unit.events.lock().offer_all(&unit.transport)?;
        Ok((unit, requests))
    }

    /// Domain numbers there are.
    pub(crate) const fn domains(&self) -> u32 {
        self.domains.1
    }

    /// What the device calls a domain.
    pub(crate) const fn domain(&self, domain: DomainId) -> u32 {
        // There are no more domains than numbers behind the first.
        self.domains.0 + domain.get() as u32
    }

    /// What it calls a function.
    pub(crate) fn endpoint(&self, source: u16) -> Option<u32> {
        let mut all = self.endpoints.iter();
        let found = all.find(|(first, last, _)| (*first..=*last).contains(&source))?;
        Some(found.2 + u32::from(source - found.0))
    }

    /// Which function it calls so.
    fn source(&self, endpoint: u32) -> Option<u16> {
        self.endpoints.iter().find_map(|(first, last, from)| {
            let step = u16::try_from(endpoint.checked_sub(*from)?).ok()?;
            (step <= last - first).then(|| first + step)
        })
    }

    pub(crate) fn notify(&self, doorbell: Doorbell) -> Result<(), NoAnswer> {
        self.transport.notify(doorbell)
    }

    /// Whether it reserves device addresses of a function that a domain might use; `true` where it does not say.
    pub(crate) fn reserves(&self, requests: &mut Requests, source: u16) -> Result<bool, NoAnswer> {
        let Some(bytes) = self.probe_bytes else {
            return Ok(false);
        };
        let Some(endpoint) = self.endpoint(source) else {
            return Ok(true);
        };
        let mut answer = [0; iommu::MAX_PROBE_BYTES];
        let answer = answer.get_mut(..bytes).ok_or(NoAnswer)?;
        let read = |answer: &[u8]| iommu::reserves(answer, USED) != Ok(false);
        let reserved = requests.probe(self, endpoint, answer, read)?;
        Ok(reserved.unwrap_or(true))
    }

    /// What its registers say now.
    pub(crate) fn status(&self) -> Option<crate::Status> {
        let running = self.transport.status().ok()? & status::DRIVER_OK != 0;
        let bypass = self.transport.config().ok()?.bypass;
        let open = self.features & iommu::F_BYPASS_CONFIG != 0 && bypass != 0;
        Some(crate::Status {
            translating: running && !open,
            faults: 0,
        })
    }

    /// Takes what it has told of, at most `most`, and returns whether it may have left some out.
    pub(crate) fn take_faults(&self, most: usize, tell: &mut impl FnMut(Fault)) -> bool {
        self.events.lock().take(&self.transport, most, |event| {
            // It calls no function so that it serves.
            let Some(source) = self.source(event.endpoint) else {
                return;
            };
            tell(Fault {
                source,
                reason: event.reason.name(),
                wanted: Wanted::Memory {
                    iova: event.address.unwrap_or(0) & !0xfff,
                    request: match event.write {
                        Some(true) => "write",
                        Some(false) => "read",
                        None => "any",
                    },
                },
            });
        })
    }
}
