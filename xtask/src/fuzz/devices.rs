//! What running devices were told of, as QEMU knows it: the queues of virtio functions with the buffers of requests that
//! are under way, and the administration queues of NVMe controllers.

use anyhow::{Context, Result};
use auditor::{Image, Told};
use serde_json::{Value, json};

use crate::fuzz::qmp::Qmp;

/// Bytes of a virtqueue's descriptor, and its flag for another one behind it (Virtual I/O Device 1.2, section 2.7.5).
const DESCRIPTOR_BYTES: u64 = 16;
const NEXT: u16 = 1;
/// The controller's registers: configuration with its enable bit, sizes and places of the administration queues (NVM
/// Express Base 2.0, section 3.1.3).
const CC: u64 = 0x14;
const AQA: u64 = 0x24;
const ASQ: u64 = 0x28;
const SQ_ENTRY: u64 = 64;
const CQ_ENTRY: u64 = 16;

/// Asks a stopped machine.
pub fn told(qmp: &mut Qmp, image: &dyn Image) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    virtio(qmp, image, &mut told)?;
    nvme(qmp, &mut told)?;
    Ok(told)
}

fn number(of: &Value, name: &str) -> Result<u64> {
    of.get(name)
        .and_then(Value::as_u64)
        .with_context(|| format!("QEMU's answer has no number {name}: {of}"))
}

fn virtio(qmp: &mut Qmp, image: &dyn Image, told: &mut Vec<Told>) -> Result<()> {
    let devices = qmp.execute("x-query-virtio", json!({}))?;
    for device in devices.as_array().into_iter().flatten() {
        let (Some(path), Some(name)) = (device["path"].as_str(), device["name"].as_str()) else {
            continue;
        };
        let status = qmp.execute("x-query-virtio-status", json!({ "path": path }))?;
        if !status["status"].to_string().contains("DRIVER_OK") {
            continue;
        }
        for queue in 0..number(&status, "num-vqs")? {
            let query = json!({ "path": path, "queue": queue });
            // A queue that was never set up is refused.
            let Ok(state) = qmp.execute("x-query-virtio-queue-status", query) else {
                continue;
            };
            if number(&state, "vring-desc")? != 0 {
                rings(image, &format!("{name} queue {queue}"), &state, told)?;
            }
        }
    }
    Ok(())
}

/// The three parts of a queue, and what requests that the device has not answered name.
fn rings(image: &dyn Image, name: &str, state: &Value, told: &mut Vec<Told>) -> Result<()> {
    let size = number(state, "vring-num")?;
    let descriptors = number(state, "vring-desc")?;
    let available = number(state, "vring-avail")?;
    let used = number(state, "vring-used")?;
    let mut add = |address, bytes| {
        told.push(Told {
            address,
            bytes,
            what: name.to_owned(),
        });
    };
    add(descriptors, size * DESCRIPTOR_BYTES);
    add(available, 6 + 2 * size);
    add(used, 6 + 8 * size);
    let half = |at: u64| -> Result<u16> {
        let mut bytes = [0; 2];
        image.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    };
    // What is made available and not used yet: at most a queue full.
    let (first, end) = (half(used + 2)?, half(available + 2)?);
    for at in 0..u64::from(end.wrapping_sub(first)).min(size) {
        let slot = (u64::from(first) + at) % size.max(1);
        let mut head = half(available + 4 + 2 * slot)?;
        for _ in 0..size {
            let place = descriptors + u64::from(head) % size.max(1) * DESCRIPTOR_BYTES;
            let (address, rest) = (image.word(place)?, image.word(place + 8)?);
            add(address, rest & 0xffff_ffff);
            if (rest >> 32) as u16 & NEXT == 0 {
                break;
            }
            head = (rest >> 48) as u16;
        }
    }
    Ok(())
}

fn nvme(qmp: &mut Qmp, told: &mut Vec<Told>) -> Result<()> {
    for registers in controllers(&qmp.monitor("info pci")?) {
        if qmp.physical(registers + CC)? & 1 == 0 {
            continue;
        }
        let sizes = qmp.physical(registers + AQA)?;
        for (at, entries, bytes) in [
            (ASQ, sizes & 0xfff, SQ_ENTRY),
            (ASQ + 8, sizes >> 16 & 0xfff, CQ_ENTRY),
        ] {
            let address = qmp.physical(registers + at)? | qmp.physical(registers + at + 4)? << 32;
            told.push(Told {
                address: address & !0xfff,
                bytes: (entries + 1) * bytes,
                what: "an NVMe administration queue".to_owned(),
            });
        }
    }
    Ok(())
}

/// Where the registers of NVMe controllers lie, from what `info pci` prints: class 0x0108, then the first BAR.
fn controllers(text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut wanted = false;
    for line in text.lines().map(str::trim) {
        if line.contains("PCI device") {
            wanted = line.contains("Class 0264") || line.contains("1b36:0010");
        }
        let bar = line.strip_prefix("BAR0: 64 bit memory at 0x");
        if let (true, Some(bar)) = (wanted, bar) {
            let digits = bar.split(' ').next().unwrap_or_default();
            found.extend(
                u64::from_str_radix(digits, 16)
                    .ok()
                    .filter(|at| *at != 0 && *at != u64::MAX),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::controllers;

    #[test]
    fn controllers_are_found_in_the_list() {
        let text = "  Bus  0, device   2, function 0:\r\n    Class 0264: PCI device 1b36:0010\r\n      IRQ 0, pin A\r\n\
             \x20     BAR0: 64 bit memory at 0xfebd0000 [0xfebd3fff].\r\n  Bus  0, device   3, function 0:\r\n\
             \x20   SCSI controller: PCI device 1af4:1001\r\n      BAR0: 64 bit memory at 0xfe000000 [0xfe003fff].\r\n";
        assert_eq!(controllers(text), [0xfebd_0000]);
        assert!(controllers("").is_empty());
    }
}
