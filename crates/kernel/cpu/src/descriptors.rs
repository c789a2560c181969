//! The tables of segments, interrupts and tasks that each CPU loads.

use core::ptr::addr_of_mut;

use x86_64::VirtAddr;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::{Entry, HandlerFunc, InterruptDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::MAX_CPUS;

/// Interrupt stack of the double fault.
pub const IST_DOUBLE_FAULT: u16 = 0;
/// Interrupt stack of the NMI.
pub const IST_NMI: u16 = 1;
/// Interrupt stack of the machine check.
pub const IST_MACHINE_CHECK: u16 = 2;
/// Code that is not optimised needs several times as much.
const IST_BYTES: usize = if cfg!(debug_assertions) { 65536 } else { 8192 };

pub(crate) const KERNEL_CODE: u16 = 0x08;
pub(crate) const USER_DATA: u16 = 0x1b;
pub(crate) const USER_CODE: u16 = 0x23;

#[repr(C, align(16))]
struct Tables {
    tss: TaskStateSegment,
    gdt: GlobalDescriptorTable,
}

/// The interrupt stacks of one CPU.
#[repr(C, align(16))]
struct Stacks([[u8; IST_BYTES]; 3]);

/// Apart from the tables, so that they take no room in the image.
static mut STACKS: [Stacks; MAX_CPUS] = [const { Stacks([[0; IST_BYTES]; 3]) }; MAX_CPUS];

static mut TABLES: [Tables; MAX_CPUS] = [const {
    Tables {
        tss: TaskStateSegment::new(),
        gdt: GlobalDescriptorTable::empty(),
    }
}; MAX_CPUS];
static mut IDT: InterruptDescriptorTable = InterruptDescriptorTable::new();

/// Loads this CPU's GDT and TSS and the shared IDT.
///
/// # Safety
/// Runs once on each CPU with a distinct `cpu < MAX_CPUS`, CPU 0 first and alone.
pub unsafe fn load(cpu: usize) {
    use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
    assert!(cpu < MAX_CPUS, "CPU number over MAX_CPUS");
    // SAFETY: each CPU takes its own element once; the table is never moved.
    let tables = unsafe { &mut *addr_of_mut!(TABLES[cpu]) };
    for i in 0..3 {
        // SAFETY: only the address is taken; the CPU alone writes there, while it handles that very vector.
        let bottom = unsafe { &raw const STACKS[cpu].0[i] };
        tables.tss.interrupt_stack_table[i] = VirtAddr::from_ptr(bottom) + IST_BYTES as u64;
    }
    // An I/O bitmap base beyond the limit denies every port to user mode.
    tables.tss.iomap_base = size_of::<TaskStateSegment>() as u16;
    // A CPU that came up too late the first time may be here again.
    tables.gdt = GlobalDescriptorTable::empty();
    tables.gdt.append(Descriptor::kernel_code_segment());
    tables.gdt.append(Descriptor::kernel_data_segment());
    tables.gdt.append(Descriptor::user_data_segment());
    tables.gdt.append(Descriptor::user_code_segment());
    // SAFETY: the TSS lives in a static.
    let tss = tables
        .gdt
        .append(unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) });
    // SAFETY: the GDT holds the segments in the order that the selectors below and SYSRET expect.
    unsafe {
        tables.gdt.load_unsafe();
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(0x10));
        DS::set_reg(SegmentSelector(0));
        ES::set_reg(SegmentSelector(0));
        x86_64::instructions::tables::load_tss(tss);
    }
    // SAFETY: CPU 0 fills the table before any other CPU runs; afterwards it is only read.
    let idt = unsafe { &mut *addr_of_mut!(IDT) };
    if cpu == 0 {
        fill(idt);
    }
    // SAFETY: the table is a static and complete.
    unsafe { idt.load_unsafe() };
}

fn gate(ist: Option<u16>, vector: usize) -> Entry<HandlerFunc> {
    let mut entry = Entry::missing();
    // SAFETY: the stubs save everything and end in IRETQ; stacks named here belong to each CPU's TSS.
    unsafe {
        let options = entry.set_handler_addr(VirtAddr::new(crate::vector_stub(vector)));
        options.set_code_selector(SegmentSelector(KERNEL_CODE));
        if let Some(ist) = ist {
            options.set_stack_index(ist);
        }
    }
    entry
}

fn fill(idt: &mut InterruptDescriptorTable) {
    // The table is 256 gates of 16 bytes (Intel SDM vol. 3, 6.10): fill it by vector.
    let gates = core::ptr::from_mut(idt).cast::<Entry<HandlerFunc>>();
    for vector in 0..256 {
        let ist = match vector {
            2 => Some(IST_NMI),
            8 => Some(IST_DOUBLE_FAULT),
            18 => Some(IST_MACHINE_CHECK),
            _ => None,
        };
        // SAFETY: `InterruptDescriptorTable` is 256 entries of this size, `repr(C)`.
        unsafe { gates.add(vector).write(gate(ist, vector)) };
    }
}

pub(crate) fn set_ring0_stack(top: u64) {
    let cpu = crate::index();
    // SAFETY: only this CPU writes its own TSS.
    unsafe { (*addr_of_mut!(TABLES[cpu])).tss.privilege_stack_table[0] = VirtAddr::new(top) };
}
