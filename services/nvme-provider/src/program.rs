//! One thread that waits for calls and for interrupts at once, through its ring.

use nvme_format::Status;
use sdk::device::interrupt::call::{Acknowledge, Wait};
use sdk::{
    Device, Endpoint, Env, Error, Interrupt, NEVER, Refusal, Ring, Service, Timer, error, exit,
    fact, info, serve,
};

use crate::disk::{self, Disk};
use crate::service::{Absent, Provider};

/// Receives that are out at a time: so many calls can come in with one system call.
const RECEIVES: u16 = 8;

/// Slots of the ring: the receives, one wait, one acknowledgement.
const SLOTS: u16 = RECEIVES + 2;

/// Bytes of a slot. Every call to this service is plain, and so are the answers it waits for.
const SLOT_BYTES: u32 = 128;

/// How long the device may take for a command before it is given up, and with it this process: its successor gets the
/// device back through a reset.
const PATIENCE_NS: u64 = 15_000_000_000;

/// The `user` values of the ring.
const RECEIVE: u64 = 1;
const WAIT: u64 = 2;
const ACKNOWLEDGE: u64 = 3;

/// Brings the disk up and serves it until the device or the endpoint is taken away.
pub fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let read_only = env.arguments().any(|argument| argument == "read-only");
    let Ok(device) = env.get::<Device>("device") else {
        fact!("nvme.absent", refusal = Refusal::NoDevice.name());
        return refuse_all(&endpoint, Refusal::NoDevice);
    };
    match disk::bring_up(&device, &timer, read_only) {
        Ok(disk) => {
            announce(&disk);
            run(&endpoint, &timer, disk)
        }
        // Another try would end the same way, so this is not for the supervisor to repeat.
        Err(refusal @ (Refusal::NotSupported | Refusal::Quarantined | Refusal::NoDevice)) => {
            fact!("nvme.unusable", refusal = refusal.name());
            refuse_all(&endpoint, refusal)
        }
        Err(refusal) => {
            fact!("nvme.failed", refusal = refusal.name());
            Err(refusal.into())
        }
    }
}

fn refuse_all(endpoint: &Endpoint, refusal: Refusal) -> Result<(), Error> {
    Err(serve(sdk::Interface::object(endpoint), &mut Absent(refusal)).into())
}

fn announce(disk: &Disk) {
    let geometry = &disk.geometry;
    fact!(
        "nvme.ready",
        blocks = geometry.blocks,
        block_bytes = geometry.block_bytes(),
        depth = disk.depth,
        read_only = geometry.read_only,
        model = disk.names.model.as_str(),
    );
    info!(
        "{} (serial {}, firmware {}): {} blocks of {} bytes",
        disk.names.model,
        disk.names.serial,
        disk.names.firmware,
        geometry.blocks,
        geometry.block_bytes()
    );
}

/// What became of the operations that have completed since the last look.
#[derive(Default)]
struct Seen {
    received: u16,
    dispatched: bool,
}

fn run(endpoint: &Endpoint, timer: &Timer, disk: Disk) -> Result<(), Error> {
    let interrupt: Interrupt =
        sdk::Interface::from_object(sdk::Interface::object(&disk.interrupt).share());
    let mut provider = Provider::new(endpoint, disk);
    let mut ring = Ring::new(SLOTS, SLOT_BYTES)?;
    let mut patience = Patience::new(timer)?;
    let mut receives = 0;
    let mut dispatched = false;
    wait_for_interrupt(&mut ring, &interrupt)?;
    loop {
        provider.submit()?;
        // One completion is worth waking up for, beside that of the acknowledgement, which comes at once.
        let mut completions = 1;
        if dispatched {
            // Everything that was done before the dispatch is answered, so the source may raise again.
            ring.call::<Acknowledge>(object(&interrupt), (), ACKNOWLEDGE, NEVER)?;
            wait_for_interrupt(&mut ring, &interrupt)?;
            completions += 1;
        }
        // No more calls than there is room for: the others wait in the endpoint's queue.
        while receives < RECEIVES && usize::from(receives) < provider.room() {
            ring.receive(object(endpoint), RECEIVE)?;
            receives += 1;
        }
        ring.wait(completions, patience.deadline(&provider));
        let seen = look(&mut ring, &mut provider)?;
        receives -= seen.received;
        dispatched = seen.dispatched;
        if dispatched || (seen.received == 0 && patience.is_over(timer, &provider)?) {
            while provider.complete()? {}
        }
        if let Some(status) = provider.complaint.take() {
            complain(status);
        }
    }
}

fn object<I: sdk::Interface<sdk::Cap>>(client: &I) -> &sdk::Cap {
    client.object()
}

fn wait_for_interrupt(ring: &mut Ring, interrupt: &Interrupt) -> Result<(), Refusal> {
    ring.call::<Wait>(object(interrupt), (), WAIT, NEVER)
}

/// Takes every completion that is there.
fn look(ring: &mut Ring, provider: &mut impl Service) -> Result<Seen, Refusal> {
    let mut seen = Seen::default();
    while let Some(completion) = ring.completed() {
        match completion.user() {
            RECEIVE => {
                seen.received += 1;
                completion.serve(provider)?;
            }
            WAIT => {
                completion.read::<Wait, _>(|_| ())?;
                seen.dispatched = true;
            }
            _ => completion.read::<Acknowledge, _>(|()| ())?,
        }
    }
    Ok(seen)
}

fn complain(status: Status) {
    fact!(
        "nvme.command-failed",
        status = status.name(),
        kind = status.kind(),
        code = status.code(),
    );
    error!(
        "the disk refused a command: {} ({:#x})",
        status.name(),
        status.field()
    );
}

/// Notices a device that does not answer, without asking for the time at each command.
struct Patience {
    /// The time when it was last asked for.
    now_ns: u64,
    /// Commands completed by then.
    completed: u64,
    /// The queue has been looked at once without an interrupt.
    looked: bool,
}

impl Patience {
    fn new(timer: &Timer) -> Result<Self, Refusal> {
        Ok(Self {
            now_ns: timer.now()?.ns,
            completed: 0,
            looked: false,
        })
    }

    /// When to look again. The time known may be an old one: then the wait ends early, once, and the time is new.
    fn deadline(&self, provider: &Provider<'_>) -> u64 {
        if provider.in_flight() == 0 {
            NEVER
        } else {
            self.now_ns.saturating_add(PATIENCE_NS)
        }
    }

    /// Whether the queue should be looked at although nothing was heard of it. Ends the process when that has not
    /// helped the last time.
    fn is_over(&mut self, timer: &Timer, provider: &Provider<'_>) -> Result<bool, Refusal> {
        let now_ns = timer.now()?.ns;
        let waited = now_ns >= self.now_ns.saturating_add(PATIENCE_NS);
        if provider.in_flight() == 0 || provider.completed() != self.completed {
            *self = Self {
                now_ns,
                completed: provider.completed(),
                looked: false,
            };
            return Ok(false);
        }
        if !waited {
            return Ok(false);
        }
        if self.looked {
            exit(
                1,
                format_args!(
                    "the device has not answered {} commands",
                    provider.in_flight()
                ),
            );
        }
        *self = Self {
            now_ns,
            completed: provider.completed(),
            looked: true,
        };
        Ok(true)
    }
}
