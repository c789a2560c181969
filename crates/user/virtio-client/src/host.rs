//! From the grants of a provider to a device that is served.

use provider::refuse_all;
use sdk::{Device, Endpoint, Env, Error, Refusal, Timer, fact};

use crate::Wake;

/// What a provider was granted.
pub struct Host {
    /// Where its calls come in.
    pub endpoint: Endpoint,
    /// The clock.
    pub timer: Timer,
    /// The claim. It ends with the last handle, so this one is kept as long as the device is served.
    pub device: Device,
    /// Argument `polled`: [`Wake::Polling`].
    pub wake: Wake,
    /// Argument `read-only`.
    pub is_read_only: bool,
    /// Argument `depth=N`: places of each queue; 0 leaves them to the broker.
    pub depth: u16,
}

/// Brings a device up and serves it: `endpoint`, `timer` and, where there is the device, `device` are granted. Without
/// a device that can be used every call is refused, for the reason that `virtio.absent` or `virtio.unusable` states.
///
/// # Errors
/// What is missing, what bringing the device up came to (`virtio.failed`), and what ended its service.
pub fn host<D>(
    env: &Env,
    bring_up: impl FnOnce(&Host) -> Result<D, Refusal>,
    serve: impl FnOnce(&Host, D) -> Result<(), Error>,
) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    // Asked for first: without a device it is not needed, and the grant is right all the same.
    let timer = env.get("timer");
    let Ok(device) = env.get::<Device>("device") else {
        fact!("virtio.absent", refusal = Refusal::NoDevice.name());
        return refuse_all(&endpoint, Refusal::NoDevice);
    };
    let host = Host {
        endpoint,
        timer: timer?,
        device,
        wake: if env.arguments().any(|argument| argument == "polled") {
            Wake::Polling
        } else {
            Wake::Interrupts
        },
        is_read_only: env.arguments().any(|argument| argument == "read-only"),
        depth: env
            .arguments()
            .find_map(|argument| argument.strip_prefix("depth="))
            .and_then(|number| number.parse().ok())
            .unwrap_or(0),
    };
    match bring_up(&host) {
        Ok(up) => serve(&host, up),
        // Another try would end the same way, so this is not for the supervisor to repeat.
        Err(refusal @ (Refusal::NotSupported | Refusal::Quarantined | Refusal::NoDevice)) => {
            fact!("virtio.unusable", refusal = refusal.name());
            refuse_all(&host.endpoint, refusal)
        }
        Err(refusal) => {
            fact!("virtio.failed", refusal = refusal.name());
            Err(refusal.into())
        }
    }
}
