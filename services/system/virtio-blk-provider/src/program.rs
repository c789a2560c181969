//! From a claim to a disk that is served.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use provider::block::{self, Disk, Names, Unit};
use provider::{Item, QueueRing, submit, take};
use provider_core::block::Refused;
use provider_core::{Data, Direction};
use sdk::{
    Access, DeviceQueue, DmaPool, Env, Error, Interface, Object, Refusal, Timer, Window, error,
    fact, info,
};
use virtio_blk_provider::{Fields, GET_ID, Requests, shape, status_name};
use virtio_client::{Host, Virtio, host};
use virtio_format::blk::{self as format, config};

/// Bytes of the disk's name.
const ID_BYTES: u32 = format::ID_BYTES as u32;

/// The one queue that is used.
const REQUESTS: u16 = 0;

/// Commands in flight that the service asks for.
const DEPTH: u16 = 64;

/// What all windows together may take.
const POOL_BYTES: u64 = 32 << 20;

/// A page, in which the name lies.
const PAGE_BYTES: u64 = 4096;

/// How long the device may take to tell its name.
const PATIENCE_NS: u64 = 10_000_000_000;

/// How long to wait between two looks for it.
const PAUSE_NS: u64 = 100_000;

/// Brings the disk up and serves it until the device or the endpoint is taken away.
pub fn main(env: &Env) -> Result<(), Error> {
    host(env, bring_up, |host, disk| {
        block::serve(&host.endpoint, &host.timer, disk, report)
    })
}

fn bring_up(host: &Host) -> Result<Disk<Requests>, Refusal> {
    let virtio = Virtio::bring_up(&host.device, 1, host.depth, host.wake)?;
    let fields = fields(&virtio)?;
    let (mut geometry, commands) =
        shape(virtio.features, &fields, virtio.ring()).ok_or(Refusal::NotSupported)?;
    geometry.read_only |= host.is_read_only;
    let (queue, depth) = virtio.queue(&host.device, REQUESTS, DEPTH)?;
    let pool = host.device.pool(POOL_BYTES)?.pool;
    let serial = name(&queue, &pool, &host.timer)?;
    fact!(
        "blk.ready",
        transport = virtio.transport(),
        notice = virtio.notice.name(),
        blocks = geometry.blocks,
        block_bytes = geometry.block_bytes(),
        depth = depth,
        read_only = geometry.read_only,
        cache = geometry.write_cache,
    );
    info!(
        "virtio disk {:?}: {} blocks of {} bytes",
        serial,
        geometry.blocks,
        geometry.block_bytes()
    );
    Ok(Disk {
        pool,
        queue: QueueRing::open(queue)?,
        notice: virtio.notice,
        depth,
        units: Vec::from([Unit {
            number: 0,
            blocks: geometry.blocks,
            block_bytes: geometry.block_bytes(),
            shape: Ok((commands, geometry)),
        }]),
        names: Names {
            model: "virtio-blk".to_string(),
            serial,
            firmware: String::new(),
            address: host.device.info()?.address,
        },
        layout: sdk::Layout::Contiguous,
    })
}

fn fields(virtio: &Virtio) -> Result<Fields, Refusal> {
    let field = |bit, offset| {
        virtio
            .has(bit)
            .then(|| virtio.config.read(offset, 4))
            .transpose()
    };
    Ok(Fields {
        sectors: virtio.config.read_long(config::CAPACITY)?,
        size_max: field(format::F_SIZE_MAX, config::SIZE_MAX)?,
        seg_max: field(format::F_SEG_MAX, config::SEG_MAX)?,
        block_bytes: field(format::F_BLK_SIZE, config::BLK_SIZE)?,
        discard_sectors: field(format::F_DISCARD, config::MAX_DISCARD_SECTORS)?,
        zero_sectors: field(format::F_WRITE_ZEROES, config::MAX_WRITE_ZEROES_SECTORS)?,
    })
}

/// The name that the disk was given; empty where the device has none to tell.
fn name(queue: &DeviceQueue, pool: &DmaPool, timer: &Timer) -> Result<String, Refusal> {
    let buffer = pool.allocate(PAGE_BYTES, sdk::Layout::Contiguous)?.buffer;
    let window = Window::map(
        buffer.window(sdk::WindowAccess::Read)?.memory,
        PAGE_BYTES,
        Access::Read,
    )?;
    let item = Item {
        cookie: 0,
        template: &GET_ID,
        data: Some(Data {
            buffer: buffer.object().handle(),
            offset: 0,
            length: ID_BYTES,
            direction: Direction::FromDevice,
        }),
    };
    if let (0, refusal) = submit(queue, core::iter::once(item))? {
        return Err(refusal.unwrap_or(Refusal::Failed));
    }
    let give_up = timer.now()?.ns.saturating_add(PATIENCE_NS);
    // A dispatch that this raises is there still when the service begins to wait, and then finds an empty queue.
    let done = loop {
        if let Some(done) = take(queue)?.first() {
            break *done;
        }
        let now = timer.now()?.ns;
        if now >= give_up {
            return Err(Refusal::TimedOut);
        }
        timer.sleep(now.saturating_add(PAUSE_NS))?;
    };
    let mut text = [0; ID_BYTES as usize];
    if let Ok((0, _)) = done.outcome {
        window.read(0, &mut text)?;
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(text
        .iter()
        .filter(|byte| byte.is_ascii_graphic())
        .map(|byte| char::from(*byte))
        .collect())
}

fn report(refused: Refused) {
    let status = refused.status;
    let name = status_name(status);
    fact!("blk.command-failed", status = name, code = status, block ~ refused.block, blocks ~ refused.blocks);
    error!("the disk refused {refused}: {name} ({status})");
}
