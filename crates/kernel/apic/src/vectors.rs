//! The device vectors of all CPUs: the one pool of the machine, and which CPU answers to which local APIC identifier.

use core::sync::atomic::{AtomicU32, Ordering};

use cpu::{Lock, MAX_CPUS};
use vector_pool::{Counters, Pool, PoolError, Slot, VectorSet};

use crate::vector::{DEVICE_FIRST, DEVICE_LAST, DRAIN};
use crate::{message, send_ipi};

/// The largest identifier that a message or an I/O APIC entry can carry without interrupt remapping; 255 means all.
const LAST_ADDRESSABLE: u32 = 254;

static POOL: Lock<Pool<MAX_CPUS>> = Lock::new(Pool::new(DEVICE_FIRST, DEVICE_LAST));
/// Local APIC identifiers by CPU.
static IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// A vector, and the message that raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// CPU and number.
    pub slot: Slot,
    /// Local APIC identifier of the CPU.
    pub apic_id: u32,
    /// Address that a device writes.
    pub address: u64,
    /// Data that a device writes.
    pub data: u32,
}

/// Lets devices interrupt a CPU. `false`, and none ever will, where no message can name it.
pub fn add_cpu(cpu: usize, apic_id: u32) -> bool {
    let (Ok(number), Some(id)) = (u16::try_from(cpu), IDS.get(cpu)) else {
        return false;
    };
    if apic_id > LAST_ADDRESSABLE {
        return false;
    }
    id.store(apic_id, Ordering::Relaxed);
    POOL.lock().add_cpu(number).is_ok()
}

/// Takes a vector of this CPU, or of the least loaded one.
///
/// # Errors
/// [`PoolError::Exhausted`]; [`PoolError::NoSuchCpu`] for a CPU that no device can interrupt.
pub fn allocate(cpu: Option<u16>) -> Result<Routed, PoolError> {
    let slot = {
        let mut pool = POOL.lock();
        match cpu {
            Some(cpu) => pool.allocate_on(cpu)?,
            None => pool.allocate()?,
        }
    };
    let apic_id = id_of(slot.cpu);
    let (address, data) = message(apic_id, slot.vector);
    Ok(Routed {
        slot,
        apic_id,
        address,
        data,
    })
}

/// Takes a vector away from a source that has been told not to raise it any more, and asks its CPU to look whether
/// something is still on its way: `DRAIN` arrives there.
pub fn retire(slot: Slot) {
    // One that is dying already is drained already.
    if POOL.lock().retire(slot).is_ok() {
        send_ipi(id_of(slot.cpu), DRAIN);
    }
}

/// The vectors of a CPU that wait for it to be drained.
pub fn dying(cpu: u16) -> VectorSet {
    POOL.lock().dying(cpu)
}

/// Frees a vector on which nothing can arrive any more.
pub fn settle(slot: Slot) {
    // Only its own CPU settles a vector, once.
    let _ = POOL.lock().settle(slot);
}

/// How many vectors of a CPU are in use; `None` for one that no device can interrupt.
pub fn load(cpu: u16) -> Option<u16> {
    POOL.lock().load(cpu)
}

/// What has happened to vectors so far.
pub fn counters() -> Counters {
    POOL.lock().counters()
}

fn id_of(cpu: u16) -> u32 {
    let id = IDS.get(usize::from(cpu));
    id.map_or(0, |id| id.load(Ordering::Relaxed))
}
