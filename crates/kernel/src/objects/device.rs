//! `DeviceRegistry`: what is plugged in, and the one way to claim it.

use alloc::sync::Arc;

use cap::Epoch;
use ipc::KernelCall;
use schema::device::device_registry;
use stub::{Answered, Refusal};

use super::{Owed, Served, kernel_object};

/// The registry.
pub struct Registry {
    epoch: Epoch,
}

impl Registry {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Registry, device_registry);

impl<'a> device_registry::Server<KernelCall<'a>> for Served<Registry> {
    fn list(&mut self, reply: Owed<'a, device_registry::call::List>, _from: u32) -> Answered {
        reply.send(device_registry::ListReply {
            next: 0,
            functions: &[],
        })
    }

    fn claim(
        &mut self,
        reply: Owed<'a, device_registry::call::Claim>,
        _driver: &str,
        _nth: u32,
    ) -> Answered {
        reply.refuse(Refusal::NoDevice)
    }
}
