//! Boots the workloads and collects what guest and plugin say.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

use crate::bench::plugin::{self, Counts, Log};
use crate::bench::profile::Names;
use crate::bench::rows::{Group, HOLD_START, ROWS, Start};
use crate::build::{Builder, Code, Flavour, Kind};
use crate::disk::{Disk, Writes};
use crate::image::Shape;
use crate::image::contents::Contents;
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{Accel, Drive, Firmware, Machine, Medium};
use crate::session::{Echo, End, Session};
use crate::toolchain::Toolchain;

/// Devices of the rows `hold_*`, beside `edu`.
const HELD_DEVICES: [&str; 6] = [
    "-drive",
    "if=none,id=hold,file=null-co://,file.size=64M,file.read-zeroes=on,format=raw",
    "-device",
    "nvme,drive=hold,serial=hold",
    "-device",
    "virtio-rng-pci",
];
/// Devices of the rows `hold_*_domain`, beside `edu`.
const LARGE_DEVICES: [&str; 4] = [
    "-drive",
    "if=none,id=hold,file=null-co://,file.size=64M,file.read-zeroes=on,format=raw",
    "-device",
    "nvme,drive=hold,serial=hold,max_ioqpairs=2047,msix_qsize=2048,cmb_size_mb=16",
];
/// Disks that use addresses of the bus, and so of a domain where there is one: a provider's, and one that the program drives.
const VIRTIO_DISKS: [&str; 8] = [
    "-drive",
    "if=none,id=virtio,file=null-co://,file.size=64M,file.read-zeroes=on,format=raw",
    "-device",
    "virtio-blk-pci,drive=virtio,iommu_platform=on,disable-legacy=on",
    "-drive",
    "if=none,id=driven,file=null-co://,file.size=64M,file.read-zeroes=on,format=raw",
    "-device",
    "virtio-blk-pci,drive=driven,iommu_platform=on,disable-legacy=on",
];
/// No boot takes longer, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(900);
/// The mark with which the workload begins.
const FIRST_MARK: u32 = 90;
/// Size of the disk that block rows read.
const DISK_MIB: u64 = 64;
/// Every so many instructions with interrupts off the plugin says where the kernel is.
const LONG: u32 = 2_000;
/// Bytes of the loader's first code by which the plugin knows it under UEFI.
const PATTERN_BYTES: usize = 24;

/// One repetition of a row.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The mark that it began with; 0 for a boot.
    pub mark: u32,
    /// How many operations lay between the marks.
    pub operations: u64,
    /// What the plugin counted.
    pub counts: Counts,
    /// What the guest's time stamp counter gained; 0 where nobody asked it.
    pub ticks: u64,
    /// Where the kernel was in the longest stretch with interrupts off; empty where nobody asked.
    pub places: Vec<String>,
}

/// What one boot brought.
#[derive(Default)]
pub struct Harvest {
    /// Repetitions by row, in order of time.
    pub samples: Vec<(String, Sample)>,
    /// Why rows of a group could not be measured.
    pub unavailable: Vec<String>,
    /// The plugin's log.
    pub log: Log,
}

/// Boots workloads.
pub struct Bench<'a> {
    project: &'a Project,
    toolchain: &'a Toolchain,
    guest: Guest<'a>,
    library: PathBuf,
    dir: PathBuf,
}

/// What one run of a workload records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// How many instructions lie between marks.
    Counts,
    /// Each of these instructions as well.
    Instructions,
}

impl<'a> Bench<'a> {
    /// Builds the guest and the plugin.
    pub fn new(
        project: &'a Project,
        toolchain: &'a Toolchain,
        version: (u32, u32),
    ) -> Result<Self> {
        let dir = project.target.join("bench");
        fs::create_dir_all(&dir)?;
        Ok(Self {
            project,
            toolchain,
            guest: Guest::build(project, toolchain, Flavour::Release, &[])?,
            library: plugin::build(project, version)?,
            dir,
        })
    }

    /// Runs the workload of `group` once.
    pub fn run(&self, group: Group, record: Record) -> Result<Harvest> {
        let manifest = manifest_of(group);
        let log = self.dir.join("plugin.json");
        let _ = fs::remove_file(&log);
        let machine = self.machine(group, record, &log)?;
        let command = machine.command(self.project)?;
        let mut session = Session::start(command, Echo::Kept, std::io::stderr())?;
        session.set_silence(PATIENCE);
        let (end, transcript) = session.finish(Instant::now() + PATIENCE);
        let serial = self
            .dir
            .join(format!("serial-{}.txt", manifest.replace('/', "-")));
        fs::write(&serial, &transcript.bytes)?;
        if end != End::Code(0) {
            bail!(
                "the workload {manifest} did not end well ({end:?}); what it said is in {}",
                self.project.show(&serial)
            );
        }
        let mut harvest = harvest(transcript.serial.lines(), Log::read(&log)?, group)?;
        if group.is_hold() {
            let kernel = Names::of(self.guest.kernel_path())?;
            for (_, sample) in &mut harvest.samples {
                sample.places = kernel.places(&sample.counts)?;
            }
        }
        Ok(harvest)
    }

    /// The machine of a group, with the plugin that writes what it saw to `log`.
    fn machine(&self, group: Group, record: Record, log: &Path) -> Result<Machine> {
        let mut option = OsString::from(&self.library);
        option.push(",out=");
        option.push(log);
        if record == Record::Instructions {
            option.push(",profile=on");
        }
        if group.is_hold() {
            option.push(format!(",long={LONG}"));
        }
        let (firmware, start) = self.firmware(group, manifest_of(group))?;
        option.push(start);
        let model = match group {
            Group::Reset(start) => start.model,
            _ => "q35",
        };
        let mut extra = vec![OsString::from("-plugin"), option];
        let below_unit = matches!(group, Group::Domain | Group::HoldDomain);
        let has_disk = group.has_marks() && group != Group::Calls;
        let in_real_time = has_disk || group.is_hold();
        if below_unit {
            extra.extend(["-device", "intel-iommu,aw-bits=39"].map(OsString::from));
        }
        if group == Group::Requests {
            extra.extend(["-device", "virtio-iommu-pci,addr=3"].map(OsString::from));
        }
        if matches!(group, Group::Device | Group::Domain) || group.is_hold() {
            extra.extend(["-device", "edu"].map(OsString::from));
        }
        if group == Group::Domain {
            extra.extend(VIRTIO_DISKS.map(OsString::from));
        }
        if group == Group::HoldDomain {
            extra.extend(LARGE_DEVICES.map(OsString::from));
        } else if group.is_hold() {
            extra.extend(HELD_DEVICES.map(OsString::from));
        }
        if !in_real_time {
            extra.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
        }
        Ok(Machine {
            model: model.into(),
            smp: if group == Group::HoldTwo { 2 } else { 1 },
            memory: if group.is_hold() { "2560" } else { "512" }.into(),
            accel: if group == Group::HoldTwo {
                Accel::TcgInTurn
            } else {
                Accel::Tcg
            },
            firmware,
            disks: if has_disk {
                vec![self.disk()?]
            } else {
                Vec::new()
            },
            gdb: false,
            reboots: false,
            extra,
        })
    }

    /// What a group's machine starts from, and how the plugin knows where counting begins.
    fn firmware(&self, group: Group, manifest: &str) -> Result<(Firmware, String)> {
        let cmdline = "log=quiet";
        Ok(match group {
            // Only the count since reset is wanted; the kernel's first instruction is before a program's, whoever loads it.
            Group::Reset(start) => (
                self.reset(start, manifest, cmdline)?,
                format!(",watch={:#x}", entry(self.guest.kernel_path())?),
            ),
            Group::BootUefi => (
                Firmware::Uefi {
                    medium: Medium::new(
                        self.guest.uefi_disk(&self.dir, manifest, cmdline)?,
                        Drive::Disk,
                    ),
                    work: self.dir.clone(),
                },
                format!(",pattern={}", self.uefi_entry()?),
            ),
            _ => (
                Firmware::Direct {
                    loader: self.guest.loader.clone(),
                    archive: self.guest.archive(manifest)?,
                    cmdline: cmdline.into(),
                },
                format!(",watch={:#x}", entry(&self.guest.loader)?),
            ),
        })
    }

    /// What starts the machine of a `Reset` row.
    fn reset(&self, start: Start, manifest: &str, cmdline: &str) -> Result<Firmware> {
        let Some(shape) = start.shape else {
            return Ok(Firmware::Direct {
                loader: self.guest.loader.clone(),
                archive: self.guest.archive(manifest)?,
                cmdline: cmdline.into(),
            });
        };
        let path = self.dir.join(format!("medium.{}", shape.ending()));
        let contents = Contents::of(&self.guest, manifest, cmdline, start.loader)?;
        shape.write(&path, &contents)?;
        let drive = match shape {
            Shape::Disk => Drive::Disk,
            Shape::Iso => Drive::Cd,
        };
        Ok(start.firmware.boots(Medium::new(path, drive), &self.dir))
    }

    /// The built programs, for their symbols.
    pub fn programs(&self) -> Result<Vec<PathBuf>> {
        let builder = Builder::new(self.project, self.toolchain, Code::Release);
        let services = builder.build_services()?;
        let mut paths: Vec<PathBuf> = services.into_iter().map(|p| p.path).collect();
        paths.insert(0, self.guest.kernel_path().to_owned());
        Ok(paths)
    }

    /// A disk of random bytes, always the same ones.
    fn disk(&self) -> Result<Disk> {
        let path = self.dir.join("disk.raw");
        let bytes = DISK_MIB * 1024 * 1024;
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
            return Disk::open(&path, Writes::Dropped);
        }
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let words = (0..bytes / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        fs::write(&path, words.collect::<Vec<u8>>())?;
        Disk::open(&path, Writes::Dropped)
    }

    /// The first bytes of the UEFI loader's code, in hexadecimal.
    fn uefi_entry(&self) -> Result<String> {
        let builder = Builder::new(self.project, self.toolchain, Code::Release);
        let path = builder.build_one(Kind::LoaderUefi, "loader-uefi")?.path;
        let bytes = fs::read(&path)?;
        let file = object::File::parse(&*bytes)?;
        let code = file
            .sections()
            .find_map(|section| {
                let at = file.entry().checked_sub(section.address())?;
                let data = section.data().ok()?;
                data.get(usize::try_from(at).ok()?..)?.get(..PATTERN_BYTES)
            })
            .context("the UEFI loader's entry lies in no section")?;
        Ok(code.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn entry(path: &Path) -> Result<u64> {
    let bytes = fs::read(path)?;
    Ok(object::File::parse(&*bytes)?.entry())
}

/// What the guest of a group runs.
const fn manifest_of(group: Group) -> &'static str {
    match group {
        Group::Boot | Group::BootUefi | Group::Reset(_) => "bench/boot",
        Group::Calls => "bench/cpu",
        Group::Block => "bench/block",
        Group::Device => "bench/device",
        Group::Domain => "bench/domain",
        Group::Requests => "bench/requests",
        Group::Hold | Group::HoldTwo => "bench/hold",
        Group::HoldDomain => "bench/hold-domain",
    }
}

/// A sample that the guest says nothing of: one operation, which took these.
const fn unmarked(counts: Counts) -> Sample {
    Sample {
        mark: 0,
        operations: 1,
        counts,
        ticks: 0,
        places: Vec::new(),
    }
}

/// What the plugin saw of the way from a start to a program.
fn stages(log: &Log, group: Group) -> Result<Vec<(String, Sample)>> {
    let stage = |from: Option<&Counts>, to: Option<&Counts>| {
        let (from, to) = from
            .zip(to)
            .context("the plugin saw no loader, kernel or program begin")?;
        anyhow::Ok(unmarked(to.since(from)))
    };
    let (loader, kernel, user) = (log.loader.as_ref(), log.kernel.as_ref(), log.user.as_ref());
    let (whole, part) = match group {
        Group::Boot => ("boot_user", "boot_loader"),
        Group::BootUefi => ("boot_user_uefi", "boot_loader_uefi"),
        Group::Reset(_) => {
            let name = ROWS.iter().find(|row| row.group == group);
            let name = name.context("every group has a row")?.name;
            return Ok(vec![(name.into(), stage(Some(&Counts::default()), user)?)]);
        }
        Group::Calls
        | Group::Block
        | Group::Device
        | Group::Domain
        | Group::Requests
        | Group::Hold
        | Group::HoldTwo
        | Group::HoldDomain => return Ok(Vec::new()),
    };
    Ok(vec![
        (whole.into(), stage(loader, user)?),
        (part.into(), stage(loader, kernel)?),
    ])
}

/// Joins the guest's lines with the plugin's counts.
fn harvest(lines: &[String], log: Log, group: Group) -> Result<Harvest> {
    let mut harvest = Harvest {
        samples: stages(&log, group)?,
        ..Harvest::default()
    };
    let mut seen = std::collections::BTreeMap::<u32, usize>::new();
    for line in lines {
        if let Some(rest) = line.strip_prefix("UNAVAILABLE ") {
            harvest.unavailable.push(rest.to_owned());
        }
        let Some(rest) = line.strip_prefix("BENCH ") else {
            continue;
        };
        let field = |key: &str| {
            rest.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .with_context(|| format!("the guest said {line:?} without {key}"))
        };
        let mark: u32 = field("mark")?.parse()?;
        let at = seen.entry(mark).or_default();
        let counts = log.between(mark).get(*at).cloned();
        *at += 1;
        let operations: u64 = field("n")?.parse()?;
        ensure!(operations > 0, "the guest said {line:?}");
        let sample = Sample {
            mark,
            operations,
            counts: counts.with_context(|| format!("the plugin saw no marks for {line:?}"))?,
            ticks: field("tsc")?.parse()?,
            places: Vec::new(),
        };
        // Which piece a stretch of the other CPU belongs to, nobody can tell.
        if group != Group::HoldTwo {
            harvest.samples.push((field("name")?.to_owned(), sample));
        }
    }
    if let Some(name) = group.longest() {
        // The stretches between the marks count, too; what came before the first instruction of a program, the plugin has
        // reported by itself.
        let begun = log.marks.iter().skip_while(|(id, _)| *id != FIRST_MARK);
        if group == Group::Hold
            && let Some((_, start)) = begun.clone().next()
        {
            harvest
                .samples
                .push((HOLD_START.into(), unmarked(start.clone())));
        }
        // With two CPUs one of them may still be busy with the boot then.
        let before = usize::from(group == Group::HoldTwo);
        let longest = begun.skip(before).map(|(_, counts)| counts);
        let longest = longest.max_by_key(|counts| counts.hold).cloned();
        let longest = longest.context("the plugin saw no marks")?;
        harvest.samples.push((name.into(), unmarked(longest)));
    }
    harvest.log = log;
    Ok(harvest)
}
