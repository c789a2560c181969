//! Memory that is not the program's, or not for that.

use core::arch::asm;

use ring_abi::{opcode, syscall};
use rt::sys::Operation;
use sdk::{Env, VirtualMemory};
use smoke::raw;

use super::{SURVIVED, operate};

const KERNEL: u64 = 0xffff_ffff_8000_0000;
const NON_CANONICAL: u64 = 0x8000_dead_beef_0000;
const PAGE: u64 = 4096;

fn read(address: u64) -> &'static str {
    // SAFETY: no correct program does it; the process ends here.
    unsafe { core::ptr::with_exposed_provenance::<u8>(address as usize).read_volatile() };
    SURVIVED
}

fn write(address: u64) -> &'static str {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(address as usize).write_volatile(0) };
    SURVIVED
}

fn jump(address: u64) -> &'static str {
    // SAFETY: as above.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
    SURVIVED
}

pub fn read_kernel(_: &Env) -> &'static str {
    read(KERNEL)
}

pub fn write_kernel(_: &Env) -> &'static str {
    write(KERNEL)
}

pub fn execute_kernel(_: &Env) -> &'static str {
    jump(KERNEL)
}

pub fn read_apic(_: &Env) -> &'static str {
    read(0xfee0_0020)
}

/// RET, on the stack.
pub fn execute_stack(_: &Env) -> &'static str {
    let code = [0xc3_u8; 16];
    jump(core::hint::black_box(&raw const code) as u64)
}

pub fn write_text(_: &Env) -> &'static str {
    write(write_text as *const () as u64)
}

/// Where the startup pages lie: an argument is a part of them.
fn startup(env: &Env) -> u64 {
    let argument = env.arguments().next().unwrap_or_default();
    argument.as_ptr() as u64 & !(PAGE - 1)
}

pub fn write_startup(env: &Env) -> &'static str {
    write(startup(env))
}

pub fn non_canonical_read(_: &Env) -> &'static str {
    read(NON_CANONICAL)
}

pub fn non_canonical_jump(_: &Env) -> &'static str {
    jump(NON_CANONICAL)
}

/// Performs a NOP with this stack pointer, then pushes to it if told so.
fn call_with_stack(stack: u64, push: u64) {
    // SAFETY: the kernel leaves the stack of the program alone; the stack pointer is put back, unless the push faults.
    unsafe {
        asm!(
            "mov r15, rsp",
            "mov rsp, r14",
            "syscall",
            "test r13, r13",
            "jz 2f",
            "push rax",
            "2: mov rsp, r15",
            inlateout("r14") stack => _,
            in("r13") push,
            inlateout("rax") syscall::ENTER => _,
            inlateout("rdi") u64::from(opcode::NOP) => _,
            inlateout("rsi") 0_u64 => _, inlateout("rdx") 0_u64 => _,
            lateout("rcx") _, lateout("r8") _, lateout("r9") _, lateout("r10") _,
            lateout("r11") _, lateout("r12") _, out("r15") _,
        );
    }
}

/// The kernel is entered with stack pointers that are none, and never looks at them: the program goes on.
pub fn wild_stack(_: &Env) -> &'static str {
    for stack in [0, 1, NON_CANONICAL, KERNEL, u64::MAX] {
        for _ in 0..100 {
            call_with_stack(stack, 0);
        }
    }
    "500 calls"
}

/// A push to the kernel's memory, after a call with that stack pointer.
pub fn stack_in_kernel(_: &Env) -> &'static str {
    call_with_stack(KERNEL + 0x1000, 1);
    SURVIVED
}

fn unmap(env: &Env, address: u64, bytes: u64) -> &'static str {
    let vm = env.get::<VirtualMemory>("vm");
    match vm.map(|vm| vm.unmap(address & !(PAGE - 1), bytes)) {
        Ok(Ok(())) => SURVIVED,
        Ok(Err(refusal)) => refusal.name(),
        Err(_) => "no vm",
    }
}

/// The kernel keeps the pages and goes on using them; the program has lost its way to them.
pub fn unmap_area(env: &Env) -> &'static str {
    let header = raw::header();
    unmap(env, header as u64, PAGE);
    // Reached only if the call itself needed the area no more.
    operate(Operation {
        opcode: opcode::NOP,
        ..Operation::default()
    });
    read(header as u64)
}

pub fn unmap_stack(env: &Env) -> &'static str {
    let here = 0_u64;
    unmap(env, core::hint::black_box(&raw const here) as u64, PAGE)
}

pub fn unmap_startup(env: &Env) -> &'static str {
    let startup = startup(env);
    unmap(env, startup, PAGE);
    read(startup)
}

pub fn unmap_text(env: &Env) -> &'static str {
    unmap(env, unmap_text as *const () as u64, PAGE)
}
