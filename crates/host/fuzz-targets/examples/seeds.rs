//! Writes the part of the corpus that is made: `cargo run -p fuzz-targets --example seeds -- fuzz/corpus`. What a
//! fuzzer or a person added beside it stays.
#![allow(missing_docs)]

mod saved;

use std::fs;
use std::path::Path;

use partition::crc32;
use schema::process::{log_sink, process_spawner as spawner};
use stub::{CapArg, Outgoing, wire};

fn main() -> std::io::Result<()> {
    let root = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "fuzz/corpus".into());
    for (target, name, bytes) in all() {
        let folder = Path::new(&root).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

fn all() -> Vec<Seed> {
    let mut seeds = acpi();
    seeds.extend(pci());
    seeds.push(("elf", "two-segments", elf()));
    seeds.push(("fat", "fat12", fat(12, 40)));
    seeds.push(("fat", "fat32", fat(32, 200)));
    seeds.push(("partition", "mbr", mbr()));
    seeds.push(("partition", "gpt", gpt()));
    seeds.push(("newc", "package", archive()));
    seeds.push(("mp-table", "one-bus", mp_table()));
    seeds.extend(remapping());
    seeds.push(("virtio", "read", virtio()));
    seeds.push(("iso9660", "one-file", iso9660()));
    seeds.extend(nvme());
    seeds.extend(programs());
    seeds.extend(typed());
    seeds.extend(saved::seeds());
    seeds.extend(fuzz_targets::kept_seeds());
    seeds.extend(fuzz_targets::gve_seeds());
    seeds.extend(fuzz_targets::network_seeds());
    seeds.extend(fuzz_targets::volume_seeds());
    seeds
}

fn words16(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Selectors of `hardware::acpi`, with what follows the header.
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn acpi() -> Vec<Seed> {
    let mut madt = 0xfee0_0000u32.to_le_bytes().to_vec();
    madt.extend_from_slice(&[1, 0, 0, 0]);
    madt.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0]);
    madt.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    madt.extend_from_slice(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    madt.extend_from_slice(&[4, 6, 0xff, 0, 0, 1]);
    madt.extend_from_slice(&[9, 16, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
    madt.extend_from_slice(&[0x0b, 4, 0, 0]);
    let mut mcfg = vec![0; 8];
    mcfg.extend_from_slice(&0xb000_0000u64.to_le_bytes());
    mcfg.extend_from_slice(&[0, 0, 0, 255, 0, 0, 0, 0]);
    mcfg.extend_from_slice(&0x40_0000_0000u64.to_le_bytes());
    mcfg.extend_from_slice(&[1, 0, 16, 31, 0, 0, 0, 0]);
    let mut dmar = vec![38, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let drhd = |flags: u8, base: u64, scopes: &[u8]| {
        let mut bytes = words16(&[0, 16 + scopes.len() as u16]);
        bytes.extend_from_slice(&[flags, 0, 0, 0]);
        bytes.extend_from_slice(&base.to_le_bytes());
        bytes.extend_from_slice(scopes);
        bytes
    };
    dmar.extend(drhd(
        0,
        0xfed9_0000,
        &[1, 8, 0, 0, 0, 0, 2, 0, 2, 10, 0, 0, 0, 0, 28, 0, 0, 1],
    ));
    dmar.extend(drhd(1, 0xfed9_1000, &[3, 8, 0, 0, 2, 0xf0, 31, 0]));
    dmar.extend(words16(&[1, 32, 0, 0]));
    dmar.extend_from_slice(&0xd_0000u64.to_le_bytes());
    dmar.extend_from_slice(&0xd_ffffu64.to_le_bytes());
    dmar.extend_from_slice(&[1, 8, 0, 0, 0, 0, 29, 0]);
    dmar.extend_from_slice(&[2, 0, 16, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 28, 0]);
    dmar.extend_from_slice(&[4, 0, 12, 0, 0, 0, 0, 1, b'I', b'2', b'C', 0]);
    let mut ivrs = vec![0; 12];
    let entries = [
        &[3, 8, 0, 0, 4, 0xff, 0xff, 0][..],
        &[0x42, 9, 0, 0, 0, 8, 0, 0],
        &[72, 0, 0, 0, 0, 0xa0, 0, 1],
        &[2, 0, 1, 0],
    ]
    .concat();
    for (kind, fixed) in [(0x10, 24), (0x11, 40)] {
        let mut block = vec![0; fixed];
        block[0] = kind;
        put(
            &mut block,
            2,
            &(fixed as u16 + entries.len() as u16).to_le_bytes(),
        );
        put(&mut block, 4, &[0x10, 0, 0x40, 0]);
        put(&mut block, 8, &0xfed8_0000u64.to_le_bytes());
        ivrs.extend(block);
        ivrs.extend(&entries);
    }
    ivrs.extend_from_slice(&[0x21, 0, 32, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    ivrs.extend_from_slice(&0x1000u64.to_le_bytes());
    ivrs.extend_from_slice(&0x1000u64.to_le_bytes());
    let mut fadt = vec![0; 208];
    put(&mut fadt, 4, &0x7fe_0000u32.to_le_bytes());
    put(&mut fadt, 28, &0x604u32.to_le_bytes());
    put(&mut fadt, 40, &0x608u32.to_le_bytes());
    fadt[53] = 2;
    fadt[55] = 4;
    let mut hpet = 0x8086_a201u32.to_le_bytes().to_vec();
    hpet.extend_from_slice(&[0, 64, 0, 0]);
    hpet.extend_from_slice(&0xfed0_0000u64.to_le_bytes());
    hpet.extend_from_slice(&[0, 0x80, 0, 0]);
    let dsdt = b"\x10\x20\\_SB_\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05\0\0".to_vec();
    let mut viot = vec![2, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    viot.extend_from_slice(&[3, 0, 16, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    viot.extend(words16(&[1, 24, 0, 0, 0, 0, 0, 0xff, 48, 0, 0, 0]));
    let parts: [(&str, u8, &[u8]); 8] = [
        ("madt", 0, &madt),
        ("mcfg", 1, &mcfg),
        ("fadt", 2, &fadt),
        ("hpet", 3, &hpet),
        ("dmar", 4, &dmar),
        ("ivrs", 5, &ivrs),
        ("dsdt", 6, &dsdt),
        ("viot", 8, &viot),
    ];
    let mut seeds: Vec<Seed> = parts
        .into_iter()
        .map(|(name, selector, body)| ("acpi", name, [&[selector], body].concat()))
        .collect();
    seeds.push((
        "acpi-walk",
        "two-tables",
        walk(&[(b"APIC", &madt), (b"DMAR", &dmar)]),
    ));
    seeds.push((
        "acpi-walk",
        "twice",
        walk(&[(b"MCFG", &mcfg), (b"MCFG", &mcfg)]),
    ));
    seeds
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.resize(36, 1);
    bytes.extend_from_slice(body);
    seal(&mut bytes, 9);
    bytes
}

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

/// Memory from 0x1000 on: root pointer, XSDT at its offset 0x40, tables behind it.
fn walk(tables: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut memory = b"RSD PTR \0CAPOS \x02\0\0\0\0\x24\0\0\0".to_vec();
    seal(&mut memory[..20], 8);
    memory.extend_from_slice(&0x1040u64.to_le_bytes());
    memory.resize(36, 0);
    seal(&mut memory, 32);
    memory.resize(0x40, 0);
    let mut address = 0x1040 + 36 + 8 * tables.len() as u64;
    let mut root = Vec::new();
    let mut rest = Vec::new();
    for (signature, body) in tables {
        root.extend_from_slice(&address.to_le_bytes());
        let one = table(signature, body);
        address += one.len() as u64;
        rest.extend(one);
    }
    memory.extend(table(b"XSDT", &root));
    memory.extend(rest);
    memory
}

fn pci() -> Vec<Seed> {
    let function = |header: u8, class: [u8; 3], list: &[(usize, u8, &[u8])]| {
        let mut bytes = vec![0; 256];
        put(&mut bytes, 0, &[0x36, 0x1b, 0x10, 0, 7, 0, 0x10, 0]);
        put(&mut bytes, 9, &class);
        bytes[14] = header;
        put(&mut bytes, 16, &0xfeb0_0004u32.to_le_bytes());
        put(
            &mut bytes,
            24,
            if header == 0 {
                &[1, 0xc0, 0, 0]
            } else {
                &[0, 3, 4, 0]
            },
        );
        put(&mut bytes, 0x30, &0xfea0_0001u32.to_le_bytes());
        bytes[0x34] = list.first().map_or(0, |one| one.0 as u8);
        bytes[0x3d] = 1;
        for (index, (at, id, body)) in list.iter().enumerate() {
            bytes[*at] = *id;
            bytes[at + 1] = list.get(index + 1).map_or(0, |next| next.0 as u8);
            put(&mut bytes, at + 2, body);
        }
        [&[1, 0, 0xc0, 0xff, 0xff][..], &bytes].concat()
    };
    let msix = [0x40, 0x80, 0, 0x20, 0, 0, 0, 0x30, 0, 0];
    let express = [2, 0, 0, 0x80, 0, 0x10, 0x10, 0x28, 0, 0];
    vec![
        (
            "pci",
            "nvme",
            function(
                0,
                [2, 8, 1],
                &[
                    (0x40, 0x11, &msix),
                    (0x80, 0x10, &express),
                    (0x60, 1, &[3, 0, 8, 0]),
                ],
            ),
        ),
        (
            "pci",
            "old",
            function(
                0,
                [0, 0, 2],
                &[
                    (0x50, 5, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
                    (0x70, 0x13, &[6, 3, 0, 0]),
                ],
            ),
        ),
        (
            "pci",
            "bridge",
            function(1, [0, 4, 6], &[(0x40, 0x10, &[0x42, 0])]),
        ),
    ]
}

/// Text and data, linked at 4 MiB.
fn elf() -> Vec<u8> {
    let mut bytes = vec![0; 64 + 2 * 56];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &words16(&[2, 62]));
    put(&mut bytes, 20, &1u32.to_le_bytes());
    put(&mut bytes, 24, &0x40_0000u64.to_le_bytes());
    put(&mut bytes, 32, &64u64.to_le_bytes());
    put(&mut bytes, 52, &words16(&[64, 56, 2, 64, 0, 0]));
    let segments = [
        (5u32, 0x1000u64, 0x40_0000u64, 16u64, 16u64),
        (6, 0x1010, 0x40_1010, 8, 4096),
    ];
    for (index, (flags, offset, address, filled, size)) in segments.into_iter().enumerate() {
        let at = 64 + index * 56;
        put(&mut bytes, at, &1u32.to_le_bytes());
        put(&mut bytes, at + 4, &flags.to_le_bytes());
        for (place, value) in [offset, address, address, filled, size, 0x1000]
            .iter()
            .enumerate()
        {
            put(&mut bytes, at + 8 + place * 8, &value.to_le_bytes());
        }
    }
    bytes.resize(0x1018, 0x90);
    bytes
}

/// A volume with one FAT, a directory and two files, zeros at the end left out.
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn fat(width: u32, clusters: u32) -> Vec<u8> {
    // FAT32 needs many clusters to be one; the FAT says nothing of those at the end.
    let clusters = if width == 32 {
        7000.max(clusters)
    } else {
        clusters
    };
    let reserved = if width == 32 { 2 } else { 1 };
    let fat_sectors = ((clusters + 2) * width).div_ceil(8 * 512);
    let root_sectors = if width == 32 { 0 } else { 1 };
    let data = (reserved + fat_sectors + root_sectors) as usize * 512;
    let mut bytes = vec![0; data + 5 * 512];
    put(&mut bytes, 0, &[0xeb, 0x58, 0x90]);
    put(&mut bytes, 11, &words16(&[512]));
    bytes[13] = 1;
    put(&mut bytes, 14, &words16(&[reserved as u16]));
    bytes[16] = 1;
    put(&mut bytes, 17, &words16(&[root_sectors as u16 * 16]));
    bytes[21] = 0xf8;
    let total = reserved + fat_sectors + root_sectors + clusters;
    put(&mut bytes, 32, &total.to_le_bytes());
    put(&mut bytes, 510, &[0x55, 0xaa]);
    let fat_at = reserved as usize * 512;
    let root_at = if width == 32 {
        put(&mut bytes, 36, &fat_sectors.to_le_bytes());
        bytes[44] = 2;
        for (index, value) in [0x0fff_fff8u32, u32::MAX, u32::MAX, 4, u32::MAX, u32::MAX]
            .into_iter()
            .enumerate()
        {
            put(&mut bytes, fat_at + index * 4, &value.to_le_bytes());
        }
        data
    } else {
        put(&mut bytes, 22, &words16(&[fat_sectors as u16]));
        put(
            &mut bytes,
            fat_at,
            &[0xf8, 0xff, 0xff, 0xff, 0x4f, 0, 0xff, 0xff, 0xff],
        );
        data - 512
    };
    let entry = |name: &[u8; 11], kind: u8, cluster: u16, size: u32| {
        let mut entry = vec![0; 32];
        put(&mut entry, 0, name);
        entry[11] = kind;
        put(&mut entry, 26, &cluster.to_le_bytes());
        put(&mut entry, 28, &size.to_le_bytes());
        entry
    };
    put(&mut bytes, root_at, &entry(b"A          ", 0x10, 5, 0));
    put(
        &mut bytes,
        root_at + 32,
        &entry(b"FILE    TXT", 0x20, 3, 700),
    );
    put(
        &mut bytes,
        data + 3 * 512,
        &entry(b"C       TXT", 0x20, 4, 5),
    );
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn mbr() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    for (index, (kind, first, blocks)) in [(0x0cu8, 64u32, 2048u32), (0x83, 4096, 1024)]
        .into_iter()
        .enumerate()
    {
        let at = 446 + index * 16;
        bytes[at + 4] = kind;
        put(&mut bytes, at + 8, &first.to_le_bytes());
        put(&mut bytes, at + 12, &blocks.to_le_bytes());
    }
    put(&mut bytes, 510, &[0x55, 0xaa]);
    bytes
}

fn gpt() -> Vec<u8> {
    let mut bytes = vec![0; 34 * 512];
    bytes[446 + 4] = 0xee;
    put(&mut bytes, 446 + 8, &1u32.to_le_bytes());
    put(&mut bytes, 446 + 12, &8191u32.to_le_bytes());
    put(&mut bytes, 510, &[0x55, 0xaa]);
    let mut entries = vec![0; 128 * 128];
    put(
        &mut entries,
        0,
        &[0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11],
    );
    put(
        &mut entries,
        8,
        &[0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b],
    );
    entries[16] = 1;
    put(&mut entries, 32, &2048u64.to_le_bytes());
    put(&mut entries, 40, &4095u64.to_le_bytes());
    put(
        &mut entries,
        56,
        &words16(&[u16::from(b'E'), u16::from(b'S'), u16::from(b'P')]),
    );
    let mut header = vec![0; 92];
    put(&mut header, 0, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    for (at, value) in [(24, 1u64), (32, 8191), (40, 34), (48, 8158), (72, 2)] {
        put(&mut header, at, &value.to_le_bytes());
    }
    header[56] = 7;
    put(&mut header, 80, &128u32.to_le_bytes());
    put(&mut header, 84, &128u32.to_le_bytes());
    put(&mut header, 88, &crc32(&entries).to_le_bytes());
    let sum = crc32(&header);
    put(&mut header, 16, &sum.to_le_bytes());
    put(&mut bytes, 512, &header);
    put(&mut bytes, 1024, &entries);
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn archive() -> Vec<u8> {
    let mut writer = newc::Writer::new(Vec::new());
    for (path, data) in [
        ("boot/manifest.bin", &b"manifest"[..]),
        ("boot/bins/init", &[0x7f; 33]),
    ] {
        writer.file(path, data).expect("a vector takes everything");
    }
    writer.finish().expect("a vector takes everything")
}

fn nvme() -> Vec<Seed> {
    let mut controller = vec![0; 530];
    put(&mut controller, 1, &[0x36, 0x1b, 0xf4, 0x1a]);
    put(&mut controller, 5, b"serial              model");
    controller[78] = 7;
    put(&mut controller, 513, &[0x66, 0x44]);
    controller[517] = 1;
    let mut namespace = vec![0; 133];
    namespace[0] = 1;
    put(&mut namespace, 1, &0x1000u64.to_le_bytes());
    put(&mut namespace, 9, &0x1000u64.to_le_bytes());
    namespace[131] = 9;
    let mut read = vec![0; 65];
    read[0] = 4;
    read[1] = 2;
    read[5] = 1;
    read[49] = 7;
    let mut command = read;
    command.extend_from_slice(&namespace[1..]);
    vec![
        ("nvme", "controller", controller),
        ("nvme", "namespace", namespace),
        ("nvme", "list", vec![2, 1, 0, 0, 0, 5, 0, 0, 0]),
        (
            "nvme",
            "completion",
            vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 7, 0, 1, 0],
        ),
        ("nvme", "read", command),
    ]
}

fn message<P: Outgoing<CapArg>>(selector: u8, payload: P) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let mut writer = wire::MessageWriter::new(&mut buffer);
    let mut root = writer
        .root(P::DATA_WORDS, P::POINTERS)
        .expect("room enough");
    payload.encode(&mut root, &mut |_| ()).expect("room enough");
    let length = writer.len();
    buffer.truncate(length);
    [&[selector], &buffer[..]].concat()
}

fn programs() -> Vec<Seed> {
    let grant = |name, interface_id, transfer| spawner::Grant {
        name,
        interface_id,
        transfer,
        handle: 0,
    };
    let grants = [grant("console", 5, 1), grant("timer", 6, 0)];
    let spawn = spawner::SpawnParams {
        name: "a name",
        image: "an image",
        arguments: &["one", "two", ""],
        limits: spawner::Limits::default(),
        grants: &grants,
        transfers: &[],
    };
    let write = log_sink::WriteParams {
        level: log_sink::Level::Info,
        line: "a line",
    };
    let submission = |opcode: u8, method: u16| {
        let mut bytes = vec![0; 64];
        bytes[0] = opcode;
        put(&mut bytes, 2, &method.to_le_bytes());
        put(&mut bytes, 8, &0x100_0001u64.to_le_bytes());
        put(&mut bytes, 24, &u64::MAX.to_le_bytes());
        bytes
    };
    let both = [submission(1, 3), submission(4, 0)].concat();
    vec![
        (
            "stub",
            "spawn",
            message(spawner::method::SPAWN as u8 * 2, spawn),
        ),
        (
            "stub",
            "write",
            message(log_sink::method::WRITE as u8 * 2 + 1, write),
        ),
        ("ring", "two", both),
    ]
}

fn typed() -> Vec<Seed> {
    let line = "cat '/disk/a b' \"x\\\"y\" > out; ls Gr\u{f6}\u{df}e\n"
        .as_bytes()
        .to_vec();
    let keys =
        b"hello\x1b[D\x1b[D\x7f\x1b[A\x1b[B\x01\x05\x0b\tx\xc3\xb6\xe4\xb8\xad\r\x03\x04".to_vec();
    vec![("shell", "line", line), ("line-editor", "keys", keys)]
}

/// Refusals of a write and of an interrupt; tables of three levels by which device 0 of bus 0 reaches page 0.
fn remapping() -> [Seed; 2] {
    let (write, interrupt) = (0x8000_0005_0000_0020, 0x8000_0022_0000_0020u64);
    let refused = [0x30_0000, write, 0x14 << 48, interrupt].map(u64::to_le_bytes);
    let records = [&[0][..], refused.as_flattened()].concat();
    let mut tables = vec![0; 1 + 5 * 4096];
    tables[0] = 1;
    put(&mut tables, 0x1009, &[1, 7]);
    for (page, low) in [0x1001u16, 0x2001, 0x3003, 0x4003, 3].iter().enumerate() {
        put(&mut tables, 1 + page * 4096, &low.to_le_bytes());
    }
    [("iommu", "records", records), ("iommu", "vtd", tables)]
}

/// One PCI bus, one I/O APIC, one interrupt.
fn mp_table() -> Vec<u8> {
    let mut bytes = vec![0; 44];
    put(&mut bytes, 0, b"PCMP");
    put(&mut bytes, 34, &words16(&[3]));
    bytes.extend_from_slice(b"\x01\0PCI   ");
    bytes.extend_from_slice(&[2, 0, 0x11, 1, 0, 0, 0xc0, 0xfe]);
    bytes.extend_from_slice(&[3, 0, 0, 0, 0, 3 << 2, 0, 10]);
    let length = bytes.len() as u16;
    put(&mut bytes, 4, &length.to_le_bytes());
    bytes
}

/// 4096 bytes from sector 8 of a disk of 64.
fn virtio() -> Vec<u8> {
    let mut bytes = 4096u64.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[2, 8]);
    let mut header = [0; 16];
    header[8] = 8;
    bytes.extend_from_slice(&header);
    bytes
}

/// A volume of 24 sectors from its descriptor on, with one file in the root.
fn iso9660() -> Vec<u8> {
    let both16 = |value: u16| [value.to_le_bytes(), value.to_be_bytes()].concat();
    let both32 = |value: u32| [value.to_le_bytes(), value.to_be_bytes()].concat();
    let record = |name: &[u8], lba: u32, bytes: u32, flags: u8| {
        let length = (33 + name.len()).next_multiple_of(2);
        let mut record = vec![0; length];
        record[0] = length as u8;
        put(&mut record, 2, &both32(lba));
        put(&mut record, 10, &both32(bytes));
        put(&mut record, 18, &[126, 11, 22, 12, 0, 0, 0]);
        record[25] = flags;
        put(&mut record, 28, &both16(1));
        record[32] = name.len() as u8;
        put(&mut record, 33, name);
        record
    };
    let mut bytes = vec![0; 8 * 2048];
    put(&mut bytes, 0, b"\x01CD001\x01");
    put(&mut bytes, 80, &both32(24));
    put(&mut bytes, 120, &both16(1));
    put(&mut bytes, 124, &both16(1));
    put(&mut bytes, 128, &both16(2048));
    put(&mut bytes, 156, &record(&[0], 20, 2048, 2));
    bytes[881] = 1;
    put(&mut bytes, 2048, b"\xffCD001\x01");
    let records = [
        record(&[0], 20, 2048, 2),
        record(&[1], 20, 2048, 2),
        record(b"FILE.TXT;1", 21, 5, 0),
    ];
    put(&mut bytes, 4 * 2048, &records.concat());
    put(&mut bytes, 5 * 2048, b"hello");
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
