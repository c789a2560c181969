//! Whether the kernel can read this loader's medium by itself: a CD behind legacy IDE ports.
//!
//! The firmware's path to the medium says whether it hangs at an IDE controller. Only then are the legacy ports touched, and
//! only a volume descriptor that was read through them, with this medium's identity, counts: what the loader can read so, the
//! kernel can.

use atapi::{Drive, Failure, Ports, Position};
use iso9660_format::{Medium, Volume};
use loader_cpu::port::{in16_into, inb, out, out16};
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, Tpl};
use uefi::proto::device_path::{DevicePath, DeviceSubType, DeviceType};
use uefi::proto::loaded_image::LoadedImage;

/// What a register access of a legacy device takes at least; there is no clock to ask.
const ACCESS_NS: u64 = 500;

/// The legacy channels, and the time their accesses took.
struct Legacy(u64);

impl Ports for &mut Legacy {
    fn read8(&mut self, port: u16) -> u8 {
        self.0 += ACCESS_NS;
        // SAFETY: a legacy channel's port, which the firmware leaves alone at this task priority.
        unsafe { inb(port) }
    }

    fn write8(&mut self, port: u16, value: u8) {
        self.0 += ACCESS_NS;
        // SAFETY: as above.
        unsafe { out(port, value) };
    }

    fn read_data(&mut self, port: u16, into: &mut [u8]) {
        // SAFETY: as above; the data register.
        unsafe { in16_into(port, into) };
    }

    fn write_data(&mut self, port: u16, word: u16) {
        // SAFETY: as above.
        unsafe { out16(port, word) };
    }

    fn now_ns(&mut self) -> u64 {
        self.0
    }
}

struct Disc<'a>(Drive<&'a mut Legacy>);

impl Medium for Disc<'_> {
    type Error = Failure;

    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), Failure> {
        self.0.read(lba, into).map_err(|(_, why)| why)
    }
}

/// Whether the volume called `identity` can be read through legacy ports, from the drive that this loader came from.
pub(crate) fn is_readable(identity: &[u8]) -> bool {
    if !is_behind_ide().unwrap_or(false) {
        return false;
    }
    // SAFETY: nothing is called here that needs a lower priority; the guard restores it.
    let _guard = unsafe { boot::raise_tpl(Tpl::NOTIFY) };
    let mut ports = Legacy(0);
    Position::ALL.into_iter().any(|position| {
        let found = holds(&mut ports, position, identity);
        // Interrupts as the firmware had them.
        (&mut ports).write8(position.control, 0);
        found
    })
}

fn holds(ports: &mut Legacy, position: Position, identity: &[u8]) -> bool {
    let Ok(drive) = Drive::open(ports, position) else {
        return false;
    };
    let sectors = drive.sectors();
    Volume::open(&mut Disc(drive), sectors).is_ok_and(|volume| volume.identity() == identity)
}

/// Whether the medium this loader was read from hangs at an IDE controller (UEFI 2.10, 10.3.4.1).
fn is_behind_ide() -> Option<bool> {
    let agent = boot::image_handle();
    let image = boot::open_protocol_exclusive::<LoadedImage>(agent).ok()?;
    let params = OpenProtocolParams {
        handle: image.device()?,
        agent,
        controller: None,
    };
    // SAFETY: the path is only read, at once; nobody is kept from using it.
    let path =
        unsafe { boot::open_protocol::<DevicePath>(params, OpenProtocolAttributes::GetProtocol) };
    let ide = (DeviceType::MESSAGING, DeviceSubType::MESSAGING_ATAPI);
    Some(path.ok()?.node_iter().any(|node| node.full_type() == ide))
}
