//! Synthetic memory: a kernel of three pages, one process, and each rule broken by itself.

use crate::image::Image;
use crate::walk::{ADDRESS, CACHE_DISABLE, DIRECT_MAP, NO_EXECUTE, PRESENT, USER, WRITE};
use crate::{Audit, Cpu, Kernel, Rule, Told, Use, When, audit, parse_registers};

const FRAMES: u64 = 1024;
const IMAGE: u64 = 0xffff_ffff_8000_0000;
/// Physical pages of the kernel's image: text, then data with `FRAME_WORDS`.
const TEXT: u64 = 0x10_0000;
const DATA: u64 = 0x10_1000;
const WORDS: u64 = 0x10_2000;
const STACK_AT: u64 = 0xffff_c000_0000_1000;
const DEVICE_AT: u64 = 0xffff_d000_0000_0000;
const USER_AT: u64 = 0x20_0000;
const TABLE: u64 = PRESENT | WRITE;
const READ: u64 = PRESENT | NO_EXECUTE;
const READ_WRITE: u64 = READ | WRITE;

/// A guest's memory in the making.
struct World {
    memory: Vec<u8>,
    next: u64,
    kernel_root: u64,
    root: u64,
    cpu: Cpu,
}

fn kernel() -> Kernel {
    Kernel {
        frame_words: IMAGE + 0x1010,
        fixed: std::iter::once(IMAGE..IMAGE + 0x1000).collect(),
    }
}

impl World {
    /// A kernel, a process with one page and an area, a CPU that runs it.
    fn new() -> Self {
        let mut world = Self {
            memory: vec![0; FRAMES as usize * 4096],
            next: 0x20_0000,
            kernel_root: 0,
            root: 0,
            cpu: Cpu {
                cr0: 0x8001_0033,
                cr4: 0x30_0820,
                efer: 0xd01,
                cpl: 3,
                ..Cpu::default()
            },
        };
        for (at, value) in [(0x10, DIRECT_MAP + WORDS), (0x18, FRAMES), (0x20, 0)] {
            world.put(DATA + at, value);
        }
        for frame in 0x200..FRAMES {
            world.set(frame * 4096, Use::Free, 0);
        }
        let root = world.frame(Use::KernelRoot);
        world.kernel_root = root;
        for page in 0..FRAMES {
            let fixed = if page * 4096 == TEXT {
                READ
            } else {
                READ_WRITE
            };
            world.map(root, DIRECT_MAP + page * 4096, (page * 4096) | fixed, TABLE);
        }
        world.map(root, IMAGE, TEXT | PRESENT, TABLE);
        world.map(root, IMAGE + 0x1000, DATA | READ_WRITE, TABLE);
        let stack = world.frame(Use::Stack);
        world.map(root, STACK_AT, stack | READ_WRITE, TABLE);
        world.map(
            root,
            DEVICE_AT,
            0xfee0_0000 | READ_WRITE | CACHE_DISABLE,
            TABLE,
        );
        world.root = world.space();
        world.page(Use::Object, USER_AT, READ_WRITE);
        world.page(Use::Area, USER_AT + 0x1000, READ_WRITE);
        world
    }

    fn space(&mut self) -> u64 {
        let root = self.frame(Use::Root);
        for at in 256..512 {
            let entry = self.memory.word(self.kernel_root + at * 8).unwrap();
            self.put(root + at * 8, entry);
        }
        root
    }

    fn put(&mut self, at: u64, value: u64) {
        self.memory[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn set(&mut self, physical: u64, use_: Use, entries: u32) {
        let number = Use::ALL.iter().position(|other| *other == use_).unwrap();
        let word = number as u32 | entries << 8;
        let at = (WORDS + physical / 4096 * 4) as usize;
        self.memory[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    fn frame(&mut self, use_: Use) -> u64 {
        let at = self.next;
        self.next += 4096;
        self.set(at, use_, 0);
        at
    }

    /// The place of the last entry for an address, with tables made on the way.
    fn slot(&mut self, root: u64, address: u64, flags: u64) -> u64 {
        let mut table = root;
        for level in (1..4).rev() {
            let slot = table + (address >> (12 + 9 * level) & 511) * 8;
            let entry = self.memory.word(slot).unwrap();
            table = entry & ADDRESS;
            if entry & PRESENT == 0 {
                table = self.frame(Use::Table);
                self.put(slot, table | flags);
            }
        }
        table + (address >> 12 & 511) * 8
    }

    /// The frame behind a mapped address.
    fn behind(&mut self, root: u64, address: u64) -> u64 {
        let slot = self.slot(root, address, TABLE);
        self.memory.word(slot).unwrap() & ADDRESS
    }

    fn map(&mut self, root: u64, address: u64, entry: u64, flags: u64) {
        let slot = self.slot(root, address, flags);
        self.put(slot, entry);
    }

    fn map_user(&mut self, root: u64, address: u64, entry: u64) {
        self.map(root, address, entry | USER, TABLE | USER);
    }

    /// A page of the process, mapped and counted.
    fn page(&mut self, use_: Use, address: u64, rights: u64) -> u64 {
        let frame = self.frame(use_);
        self.map_user(self.root, address, frame | rights);
        self.set(frame, use_, 1);
        frame
    }

    fn audit(&self) -> Audit {
        let cpu = Cpu {
            cr3: self.root,
            ..self.cpu
        };
        audit(&self.memory, &[cpu], &kernel(), &[]).unwrap()
    }

    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.audit().broken.iter().map(|found| found.rule).collect();
        rules.dedup();
        rules
    }
}

#[test]
fn a_sound_machine_breaks_no_rule() {
    let audit = World::new().audit();
    assert_eq!(audit.broken, []);
    assert_eq!(audit.suspected, []);
    assert!(audit.at_rest);
    assert_eq!((audit.counts.roots, audit.counts.mappings), (1, 2));
}

#[test]
fn a_freed_frame_that_stays_mapped_is_found() {
    let mut world = World::new();
    let frame = world.page(Use::Object, USER_AT + 0x3000, READ_WRITE);
    assert_eq!(world.broken(), []);
    // Freed with its entry in place, as an allocator without a count would.
    world.set(frame, Use::Free, 0);
    assert_eq!(world.broken(), [Rule::FreeMapped, Rule::Unaccounted]);
    // Handed out again, to somebody who maps it once: two entries, and one is accounted for.
    let other = world.space();
    world.map_user(other, USER_AT, frame | READ_WRITE);
    world.set(frame, Use::Object, 1);
    assert_eq!(world.broken(), [Rule::Unaccounted]);
}

#[test]
fn a_frame_that_became_a_page_table_is_found() {
    let mut world = World::new();
    let frame = world.page(Use::Object, USER_AT + 0x3000, READ_WRITE);
    let slot = world.slot(world.root, 1 << 40, TABLE | USER);
    let table = slot & ADDRESS;
    world.map_user(world.root, USER_AT + 0x4000, table | READ_WRITE);
    world.set(frame, Use::Withheld, 1);
    world.put(DATA + 0x20, 1);
    assert_eq!(
        world.broken(),
        [Rule::TableMapped, Rule::Unaccounted, Rule::Withheld]
    );
}

#[test]
fn what_no_process_maps_is_found_in_one() {
    for (use_, rule) in [
        (Use::Root, Rule::TableMapped),
        (Use::Queue, Rule::QueueMapped),
        (Use::Kernel, Rule::KernelMapped),
        (Use::Stack, Rule::KernelMapped),
        (Use::Foreign, Rule::KernelMapped),
    ] {
        let mut world = World::new();
        let frame = world.page(use_, USER_AT + 0x3000, READ);
        if use_ == Use::Root {
            // A root by its word has the upper half too.
            for at in 256..512 {
                let entry = world.memory.word(world.kernel_root + at * 8).unwrap();
                world.put(frame + at * 8, entry);
            }
        }
        assert_eq!(world.broken(), [rule], "{use_:?}");
    }
}

#[test]
fn rights_that_nobody_may_have_are_found() {
    let mut world = World::new();
    world.page(Use::Object, USER_AT + 0x3000, PRESENT | WRITE);
    assert_eq!(world.broken(), [Rule::WriteExecute]);

    for (rights, sound) in [
        (READ | CACHE_DISABLE, true),
        (READ_WRITE | CACHE_DISABLE, false),
        (PRESENT | CACHE_DISABLE, false),
        (READ, false),
    ] {
        let mut world = World::new();
        world.map_user(world.root, USER_AT + 0x3000, 0xfe00_0000 | rights);
        let rules: &[Rule] = if sound {
            &[]
        } else {
            &[Rule::RegistersWritable]
        };
        assert_eq!(world.broken(), rules, "{rights:#x}");
    }

    let mut world = World::new();
    world.map(
        world.kernel_root,
        DIRECT_MAP + TEXT,
        TEXT | READ_WRITE,
        TABLE,
    );
    assert_eq!(world.broken(), [Rule::TextWritable]);

    let mut world = World::new();
    let root = world.kernel_root;
    world.map(root, DIRECT_MAP, READ | USER, TABLE);
    assert_eq!(world.broken(), [], "a table above it keeps programs out");
    let top = root + 256 * 8;
    let mut table = top;
    for _ in 0..3 {
        let entry = world.memory.word(table).unwrap();
        world.put(table, entry | USER);
        table = entry & ADDRESS;
    }
    let entry = world.memory.word(top).unwrap();
    world.put(world.root + 256 * 8, entry);
    assert_eq!(world.broken(), [Rule::KernelForUser]);
}

#[test]
fn tables_out_of_place_are_found() {
    let mut world = World::new();
    let slot = world.slot(world.root, USER_AT, TABLE | USER);
    let other = world.space();
    let place = world.slot(other, USER_AT, TABLE | USER);
    let middle = world.memory.word(other).unwrap() & ADDRESS;
    let directory = world.memory.word(middle).unwrap() & ADDRESS;
    world.put(directory + 8, (slot & ADDRESS) | TABLE | USER);
    let broken = world.broken();
    assert!(broken.contains(&Rule::TwoParents), "{broken:?}");
    let _ = place;

    let mut world = World::new();
    let slot = world.slot(world.root, USER_AT, TABLE | USER);
    world.set(slot & ADDRESS, Use::Object, 0);
    assert_eq!(world.broken(), [Rule::NotATable]);

    let mut world = World::new();
    world.put(world.root + 300 * 8, TABLE);
    assert_eq!(world.broken(), [Rule::UpperHalf]);
}

#[test]
fn stacks_areas_and_registers_have_one_place() {
    let mut world = World::new();
    let area = world.behind(world.root, USER_AT + 0x1000);
    world.map_user(world.root, USER_AT + 0x5000, area | READ);
    world.set(area, Use::Area, 2);
    assert_eq!(world.broken(), [Rule::AreaTwice]);

    let mut world = World::new();
    let root = world.kernel_root;
    let stack = world.behind(root, STACK_AT);
    world.map(root, STACK_AT + 0x8000, stack | READ_WRITE, TABLE);
    assert_eq!(world.broken(), [Rule::StackShared]);

    let mut world = World::new();
    let object = world.behind(world.root, USER_AT);
    world.map(
        world.kernel_root,
        DEVICE_AT + 0x1000,
        object | READ_WRITE,
        TABLE,
    );
    assert_eq!(world.broken(), [Rule::RegistersOverMemory]);
}

#[test]
fn a_cpu_without_its_protections_or_with_a_strange_root_is_found() {
    for change in [
        |cpu: &mut Cpu| cpu.cr0 &= !(1 << 16),
        |cpu: &mut Cpu| cpu.efer &= !(1 << 11),
        |cpu: &mut Cpu| cpu.cr4 &= !(1 << 20),
        |cpu: &mut Cpu| cpu.cr4 &= !(1 << 21),
        |cpu: &mut Cpu| cpu.cr4 &= !(1 << 11),
    ] {
        let mut world = World::new();
        change(&mut world.cpu);
        assert_eq!(world.broken(), [Rule::Protections]);
    }
    let world = World::new();
    let cpu = Cpu {
        cr3: world.root,
        ..world.cpu
    };
    let strange = Cpu {
        cr3: 0x30_0000,
        ..world.cpu
    };
    let found = audit(&world.memory, &[cpu, strange], &kernel(), &[]).unwrap();
    assert_eq!(found.broken.len(), 1);
    assert_eq!(found.broken[0].rule, Rule::NotARoot);
}

#[test]
fn a_kernel_that_still_walks_the_loaders_tables_is_not_up_yet() {
    let mut world = World::new();
    let loaders = world.space();
    world.set(loaders, Use::Foreign, 0);
    let cpu = Cpu {
        cr3: loaders,
        ..world.cpu
    };
    let with_processes = audit(&world.memory, &[cpu], &kernel(), &[]).unwrap();
    assert_eq!(with_processes.broken[0].rule, Rule::NotARoot);
    world.set(world.root, Use::Free, 0);
    assert!(audit(&world.memory, &[cpu], &kernel(), &[]).is_err());
}

#[test]
fn a_device_that_reaches_what_is_no_buffer_is_found() {
    let mut world = World::new();
    let cpu = Cpu {
        cr3: world.root,
        ..world.cpu
    };
    let queue = world.frame(Use::Queue);
    let buffer = world.frame(Use::Buffer);
    let told = |address, bytes| Told {
        address,
        bytes,
        what: "a device".into(),
    };
    let broken = |world: &World, told: &[Told]| -> Vec<Rule> {
        let audit = audit(&world.memory, &[cpu], &kernel(), told).unwrap();
        audit.broken.iter().map(|found| found.rule).collect()
    };
    let sound = [told(queue, 8192), told(buffer + 100, 1), told(0x5000, 64)];
    assert_eq!(broken(&world, &sound), []);
    world.set(buffer, Use::Free, 0);
    assert_eq!(broken(&world, &sound), [Rule::DeviceReaches; 2]);
    assert_eq!(broken(&world, &[told(u64::MAX, 1)]), [], "no memory at all");
}

#[test]
fn what_the_processor_sets_makes_no_difference() {
    let mut world = World::new();
    let entry = world.memory.word(world.root + 256 * 8).unwrap();
    world.put(world.root + 256 * 8, entry | 0x60);
    assert_eq!(world.broken(), []);
}

#[test]
fn what_holds_at_rest_needs_two_stops_at_rest() {
    let mut world = World::new();
    let sound = world.audit();
    let frame = world.frame(Use::Object);
    world.set(frame, Use::Object, 3);
    let lost = world.frame(Use::Table);
    let first = world.audit();
    assert_eq!(first.broken, []);
    assert_eq!(first.wrong(None), []);
    assert_eq!(first.wrong(Some(&sound)), []);
    let again = world.audit();
    let wrong: Vec<_> = again
        .wrong(Some(&first))
        .iter()
        .map(|f| (f.rule, f.frame))
        .collect();
    assert_eq!(
        wrong,
        [(Rule::CountedTooOften, frame), (Rule::LostTable, lost)]
    );
    assert!(wrong.iter().all(|(rule, _)| rule.when() == When::Rest));
    world.cpu.cpl = 0;
    assert_eq!(world.audit().suspected, []);
    world.cpu.halted = true;
    assert_eq!(world.audit().suspected.len(), 2);
}

#[test]
fn memory_without_a_kernel_is_an_error_and_not_an_answer() {
    let world = World::new();
    let cpu = Cpu {
        cr3: world.root,
        ..world.cpu
    };
    let off = Cpu { cr0: 0, ..cpu };
    assert!(audit(&world.memory, &[off], &kernel(), &[]).is_err());
    assert!(audit(&world.memory, &[], &kernel(), &[]).is_err());
    assert!(audit(&vec![0; 4 << 20], &[cpu], &kernel(), &[]).is_err());
    let mut strange = World::new();
    strange.memory[WORDS as usize + 5] = 0xff;
    strange.memory[WORDS as usize + 4] = 0xff;
    assert!(audit(&strange.memory, &[cpu], &kernel(), &[]).is_err());
    let mut short = World::new();
    short.put(DATA + 0x18, u64::MAX);
    assert!(audit(&short.memory, &[cpu], &kernel(), &[]).is_err());
    // Tables that point out of memory are an error too, and end.
    let mut wild = World::new();
    wild.put(wild.root, 0x0000_0fff_ffff_f000 | TABLE | USER);
    assert_eq!(wild.broken(), [Rule::NotATable]);
}

#[test]
fn registers_are_read_as_the_monitor_prints_them() {
    let text = "\r\nCPU#0\r\nRAX=0000000000000000 RBX=1\r\n\
        RIP=ffffffff80001234 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n\
        CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r\n\
        CR0=80010033 CR2=0000000000000000 CR3=0000000000201000 CR4=00300820\r\n\
        EFER=0000000000000d01\r\n\nCPU#1\nCPL=3 HLT=0 CR0=1 CR3=2 CR4=3 EFER=4\n";
    let cpus = parse_registers(text).unwrap();
    assert_eq!(cpus.len(), 2);
    assert_eq!(cpus[0].cr3, 0x20_1000);
    assert!(cpus[0].is_at_rest() && cpus[0].cpl == 0);
    assert!(cpus[1].is_at_rest() && !cpus[1].halted);
    for bad in [
        "",
        "CPU#0 CR0=1",
        "nothing",
        "CPU#0\nCPL=3 HLT=0 CR0=x CR3=2 CR4=3 EFER=4",
    ] {
        assert!(parse_registers(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_numbers_of_uses_are_the_kernels() {
    use frames::Use as Kernels;
    let pairs = [
        (Kernels::Foreign, Use::Foreign),
        (Kernels::Free, Use::Free),
        (Kernels::Kernel, Use::Kernel),
        (Kernels::Table, Use::Table),
        (Kernels::Root, Use::Root),
        (Kernels::KernelRoot, Use::KernelRoot),
        (Kernels::Stack, Use::Stack),
        (Kernels::Object, Use::Object),
        (Kernels::Area, Use::Area),
        (Kernels::Buffer, Use::Buffer),
        (Kernels::Queue, Use::Queue),
        (Kernels::Withheld, Use::Withheld),
    ];
    for (kernels, own) in pairs {
        assert_eq!(Use::ALL.get(kernels as usize), Some(&own), "{kernels:?}");
    }
    assert_eq!(pairs.len(), Use::ALL.len());
}
