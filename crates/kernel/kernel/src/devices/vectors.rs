//! Interrupt vectors: who takes one, and when one that was given back is free again.

use apic::{PoolError, Slot};
use device_manager::Message;
use stub::Refusal;

use super::interrupts::{self, NothingRaises};
use super::manager;

/// Takes a vector of this CPU, or of the least loaded one.
///
/// # Errors
/// `Exhausted`; `OutOfRange` for a CPU that no device can interrupt.
pub fn take_vector(cpu: Option<u16>) -> Result<Message, Refusal> {
    let routed = apic::allocate_vector(cpu).map_err(|error| match error {
        PoolError::Exhausted => Refusal::Exhausted,
        PoolError::NoSuchCpu | PoolError::WrongState => Refusal::OutOfRange,
    })?;
    Ok(Message {
        cpu: routed.slot.cpu,
        vector: routed.slot.vector,
        apic_id: routed.apic_id,
        address: routed.address,
        data: routed.data,
        entry: None,
    })
}

/// Takes a vector away from its source, and its entry before that; [`drain_vectors`] on its CPU frees it. One whose entry could
/// not be taken away is nobody's for good.
pub fn retire_vector(message: &Message) {
    let Message { cpu, vector, .. } = *message;
    match interrupts::end(message) {
        Ok(NothingRaises) => apic::retire_vector(Slot { cpu, vector }),
        Err(refusal) => crate::fact!(
            "interrupt.vector-lost",
            reason = refusal.name(),
            cpu ~ cpu,
            vector ~ vector
        ),
    }
}

/// Frees this CPU's dying vectors: their sources were told to stop, and what they had sent has arrived. Interrupts are
/// off, so a vector on which nothing is pending now is quiet for good. Returns whether one has to wait.
pub fn drain_vectors() -> bool {
    let cpu = cpu::index() as u16;
    let mut waits = false;
    for vector in apic::dying_vectors(cpu).iter() {
        if apic::is_requested(vector) {
            waits = true;
        } else {
            manager().vector_settled(cpu, vector);
            apic::settle_vector(Slot { cpu, vector });
        }
    }
    waits
}
