//! From the 32-bit entry of direct boot to Rust in 64-bit mode.
//!
//! State at entry (Xen `docs/misc/pvh.pandoc`; Multiboot2 Specification 2.0, section 3.3): 32-bit protected mode, flat
//! segments, paging off, `ebx` = what is handed over; with Multiboot2, `eax` = its magic number.

use core::arch::global_asm;

// The identity map covers 4 GiB in 2 MiB pages: one top-level table, one directory-pointer table, four directories.
// CR0 keeps EM clear, so that nothing depends on FPU state, which is not touched.
global_asm!(
    r#"
    .pushsection .note.pvh, "a", @note
    .align 4
    .long 4
    .long 8
    .long 18
    .asciz "Xen"
    .quad loader_start32
    .popsection

    // Multiboot2: the 32-bit entry, modules on page boundaries, end.
    .pushsection .multiboot2, "a"
    .align 8
loader_header:
    .long 0xe85250d6
    .long 0
    .long loader_header_end - loader_header
    .long -(0xe85250d6 + (loader_header_end - loader_header))
    .short 3, 0
    .long 12
    .long loader_multiboot32
    .align 8
    .short 6, 0
    .long 8
    .short 0, 0
    .long 8
loader_header_end:
    .popsection

    .pushsection .boot32, "ax"
    .code32
    .global loader_start32
loader_start32:
    xor eax, eax
loader_multiboot32:
    cli
    cld
    mov esp, offset loader_stack_end
    mov ebp, eax
    mov esi, ebx
    // CPUID is there if EFLAGS.ID can be changed; long mode, if it says so (AMD APM vol. 3, appendix D).
    pushfd
    pop eax
    mov edx, eax
    xor eax, 0x200000
    push eax
    popfd
    pushfd
    pop eax
    xor eax, edx
    test eax, 0x200000
    jz loader_refuse
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb loader_refuse
    mov eax, 0x80000001
    cpuid
    test edx, 0x20000000
    jz loader_refuse
    mov ebx, esi
    mov edi, offset loader_tables
    lea eax, [edi + 0x1003]
    mov [edi], eax
    lea eax, [edi + 0x2003]
    mov ecx, 0
2:
    mov [edi + ecx * 8 + 0x1000], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jne 2b
    mov eax, 0x83
    mov ecx, 0
3:
    mov [edi + ecx * 8 + 0x2000], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jne 3b

    mov eax, 0x20
    mov cr4, eax
    mov cr3, edi
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, 0x80010033
    mov cr0, eax
    lgdt [loader_gdt_operand]
    push 8
    mov eax, offset loader_start64
    push eax
    retf

    // No 64-bit code can run here, so the words and the end are written without it.
loader_refuse:
    mov esi, offset loader_refusal
4:
    lodsb
    test al, al
    jz 7f
    mov bl, al
    mov ecx, 100000
5:
    mov dx, 0x3fd
    in al, dx
    test al, 0x20
    jnz 6f
    dec ecx
    jnz 5b
6:
    mov dx, 0x3f8
    mov al, bl
    out dx, al
    jmp 4b
7:
    hlt
    jmp 7b
loader_refusal:
    .asciz "\r\nloader: error: this processor has no 64-bit mode (long mode)\r\nexit code=2\r\n"

    .code64
loader_start64:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov edi, ebx
    mov esi, ebp
    xor ebp, ebp
    call {main}
    ud2

    .align 8
loader_gdt:
    .quad 0
    .quad 0x00209b0000000000
loader_gdt_operand:
    .word 15
    .long loader_gdt
    .popsection

    .pushsection .bss.loader_entry, "aw", @nobits
    .align 4096
loader_tables:
    .skip 0x6000
loader_stack:
    .skip 0x20000
loader_stack_end:
    .popsection
    "#,
    main = sym crate::main,
);
