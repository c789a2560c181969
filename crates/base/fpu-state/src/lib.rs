//! What of the floating-point and vector unit (x87, MMX, SSE, AVX: the *FPU*) is kept for a thread, in which form, what a
//! thread begins with, and which instructions need it.
//!
//! Sources: *SDM* is Intel's Software Developer's Manual. Volume 1, chapter 10.5 has the form of FXSAVE, chapter 13 that of
//! XSAVE; volume 2, appendix A the maps of opcodes.
//!
//! Invariant: never reads or writes a register; never chooses a form whose bytes would not fit into [`BYTES`].
#![no_std]
#![forbid(unsafe_code)]

/// Bytes of the state of one thread: what FXSAVE writes (512), the header of XSAVE (64), the upper halves of YMM (256).
pub const BYTES: usize = 832;
/// Where the state lies: XSAVE takes no less (SDM vol. 1, 13.7).
pub const ALIGN: usize = 64;

/// XCR0: x87 (SDM vol. 1, 13.3).
pub const X87: u64 = 1 << 0;
/// XCR0: XMM and MXCSR.
pub const SSE: u64 = 1 << 1;
/// XCR0: the upper halves of YMM.
pub const AVX: u64 = 1 << 2;

/// Where XSAVE puts the upper halves of YMM at the earliest: behind the header.
const EXTENDED: u32 = 576;

/// The words of CPUID that the choice is made from. A leaf that the processor does not have is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leaves {
    /// Leaf 1, ECX.
    pub one_ecx: u32,
    /// Leaf 1, EDX.
    pub one_edx: u32,
    /// Leaf 0DH, subleaf 0, EAX: the low half of what XCR0 may hold; zero where XSAVE cannot be turned on.
    pub components: u32,
    /// Leaf 0DH, subleaf 2, EAX: bytes of the upper halves of YMM.
    pub avx_bytes: u32,
    /// Leaf 0DH, subleaf 2, EBX: where they lie.
    pub avx_offset: u32,
}

/// How the state of a thread is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// By FXSAVE and FXRSTOR: x87 and XMM.
    Fxsave,
    /// By XSAVE and XRSTOR: these parts of XCR0.
    Xsave(u64),
}

impl Form {
    /// The form for a processor; `None`: it lacks what the ABI of x86-64 asks of every one, FXSAVE, SSE and SSE2.
    #[must_use]
    pub const fn choose(leaves: &Leaves) -> Option<Self> {
        const FXSR_SSE_SSE2: u32 = 1 << 24 | 1 << 25 | 1 << 26;
        const HAS_XSAVE: u32 = 1 << 26;
        const HAS_AVX: u32 = 1 << 28;
        if leaves.one_edx & FXSR_SSE_SSE2 != FXSR_SSE_SSE2 {
            return None;
        }
        let offered = leaves.components as u64;
        let basic = X87 | SSE;
        if leaves.one_ecx & HAS_XSAVE == 0 || offered & basic != basic {
            return Some(Self::Fxsave);
        }
        let end = leaves.avx_offset.saturating_add(leaves.avx_bytes);
        let fits = leaves.avx_offset >= EXTENDED && end as usize <= BYTES;
        let avx = leaves.one_ecx & HAS_AVX != 0 && offered & AVX != 0 && fits;
        Some(Self::Xsave(if avx { basic | AVX } else { basic }))
    }

    /// As facts say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fxsave => "fxsave",
            Self::Xsave(parts) if parts & AVX != 0 => "xsave-avx",
            Self::Xsave(_) => "xsave",
        }
    }
}

/// What a thread begins with, in either form: every register zero and every exception masked (SDM vol. 1, 13.6). The header
/// of XSAVE names no part as present, so XRSTOR takes each in its initial configuration, and MXCSR from its place.
#[must_use]
pub const fn initial() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    // FCW is 37FH, MXCSR 1F80H.
    (bytes[0], bytes[1]) = (0x7f, 0x03);
    (bytes[24], bytes[25]) = (0x80, 0x1f);
    bytes
}

/// Whether `code` begins with an instruction that needs the FPU: for people, after it has faulted. Of some that do not it
/// says so too, if these never fault for want of it.
#[must_use]
pub fn needs_fpu(code: &[u8]) -> bool {
    let is_prefix = |byte: &&u8| {
        matches!(
            byte,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3
        )
    };
    let mut at = code.iter().take_while(is_prefix).count();
    // REX.
    if let Some(0x40..=0x4f) = code.get(at) {
        at += 1;
    }
    let byte = |nth: usize| code.get(at + nth).copied();
    match byte(0) {
        // WAIT, x87, VEX, EVEX.
        Some(0x9b | 0xd8..=0xdf | 0xc4 | 0xc5 | 0x62) => true,
        Some(0x0f) => match byte(1) {
            Some(0x10..=0x17 | 0x28..=0x2f | 0x50..=0x7f | 0xc2 | 0xc4..=0xc6 | 0xd0..=0xfe) => {
                true
            }
            // Above 7FH there are INVEPT, MOVBE, CRC32 and ADX; between them SHA and AES.
            Some(0x38) => matches!(byte(2), Some(0x00..=0x7f | 0xc8..=0xdf)),
            Some(0x3a) => true,
            // FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, XSAVE, XRSTOR; with a register they are others.
            Some(0xae) => byte(2).is_some_and(|modrm| modrm >> 6 != 3 && modrm >> 3 & 7 <= 5),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{AVX, BYTES, Form, Leaves, SSE, X87, initial, needs_fpu};

    const SSE2: u32 = 7 << 24;
    const XSAVE: u32 = 1 << 26;
    const HAS_AVX: u32 = 1 << 28;
    const MODERN: Leaves = Leaves {
        one_ecx: XSAVE | HAS_AVX,
        one_edx: SSE2,
        components: 0xe7,
        avx_bytes: 256,
        avx_offset: 576,
    };

    #[test]
    fn the_form_is_what_the_processor_offers() {
        let of = |change: fn(&mut Leaves)| {
            let mut leaves = MODERN;
            change(&mut leaves);
            Form::choose(&leaves)
        };
        let basic = X87 | SSE;
        assert_eq!(of(|_| ()), Some(Form::Xsave(basic | AVX)));
        assert_eq!(
            of(|l| l.one_ecx &= !HAS_AVX),
            Some(Form::Xsave(basic)),
            "AVX turned off"
        );
        assert_eq!(of(|l| l.components = 3), Some(Form::Xsave(basic)));
        assert_eq!(of(|l| l.one_ecx &= !XSAVE), Some(Form::Fxsave));
        assert_eq!(of(|l| l.components = 0), Some(Form::Fxsave));
        assert_eq!(of(|l| l.components = 1), Some(Form::Fxsave), "no XMM");
        for bit in 24..27 {
            let mut leaves = MODERN;
            leaves.one_edx &= !(1 << bit);
            assert_eq!(Form::choose(&leaves), None, "bit {bit}");
        }
        assert_eq!(Form::choose(&Leaves::default()), None);
    }

    #[test]
    fn no_part_is_taken_that_would_not_fit() {
        for (avx_offset, avx_bytes) in [
            (0, 0),
            (512, 256),
            (576, 257),
            (577, 256),
            (576, u32::MAX),
            (u32::MAX, 256),
        ] {
            let leaves = Leaves {
                avx_bytes,
                avx_offset,
                ..MODERN
            };
            assert_eq!(
                Form::choose(&leaves),
                Some(Form::Xsave(X87 | SSE)),
                "{leaves:?}"
            );
        }
    }

    #[test]
    fn a_thread_begins_with_zeros_and_masked_exceptions() {
        let bytes = initial();
        let set: std::vec::Vec<usize> = (0..BYTES).filter(|at| bytes[*at] != 0).collect();
        assert_eq!(set, [0, 1, 24, 25]);
        assert_eq!(u16::from_le_bytes([bytes[0], bytes[1]]), 0x37f);
        assert_eq!(u16::from_le_bytes([bytes[24], bytes[25]]), 0x1f80);
    }

    #[test]
    fn instructions_of_the_fpu_are_known() {
        let needed: &[(&[u8], &str)] = &[
            (&[0x0f, 0x57, 0xc0], "xorps xmm0, xmm0"),
            (&[0x66, 0x45, 0x0f, 0xef, 0xc0], "pxor xmm8, xmm8"),
            (&[0xf2, 0x0f, 0x58, 0xc1], "addsd xmm0, xmm1"),
            (&[0xf3, 0x0f, 0x6f, 0x07], "movdqu xmm0, [rdi]"),
            (&[0x0f, 0x28, 0x44, 0x24, 0x10], "movaps xmm0, [rsp + 16]"),
            (&[0xf2, 0x48, 0x0f, 0x2a, 0xc7], "cvtsi2sd xmm0, rdi"),
            (&[0x66, 0x0f, 0x38, 0x00, 0xc1], "pshufb xmm0, xmm1"),
            (&[0x0f, 0x38, 0xcb, 0xc1], "sha256rnds2 xmm0, xmm1"),
            (
                &[0x66, 0x0f, 0x3a, 0x0f, 0xc1, 0x08],
                "palignr xmm0, xmm1, 8",
            ),
            (&[0xd9, 0xe8], "fld1"),
            (&[0x9b], "wait"),
            (&[0x0f, 0xae, 0x07], "fxsave [rdi]"),
            (&[0x0f, 0xae, 0x17], "ldmxcsr [rdi]"),
            (&[0xc5, 0xf8, 0x57, 0xc0], "vxorps xmm0, xmm0, xmm0"),
            (&[0xc4, 0xe2, 0x7d, 0x18, 0x07], "vbroadcastss ymm0, [rdi]"),
        ];
        for (code, name) in needed {
            assert!(needs_fpu(code), "{name}");
        }
    }

    #[test]
    fn others_are_not_taken_for_them() {
        let others: &[(&[u8], &str)] = &[
            (&[], "nothing"),
            (&[0x0f, 0x0b], "ud2"),
            (&[0x0f], "cut off"),
            (&[0x66, 0x66], "prefixes alone"),
            (&[0xf3, 0x48, 0x0f, 0xae, 0xd0], "wrfsbase rax"),
            (&[0x0f, 0xae, 0xf0], "mfence"),
            (&[0xf4], "hlt"),
            (&[0x0f, 0x22, 0xd8], "mov cr3, rax"),
            (&[0x0f, 0x05], "syscall"),
            (&[0x48, 0x0f, 0xaf, 0xc1], "imul rax, rcx"),
            (&[0x0f, 0x38, 0xf0, 0x07], "movbe eax, [rdi]"),
            (&[0x0f, 0xc7, 0xf0], "rdrand eax"),
        ];
        for (code, name) in others {
            assert!(!needs_fpu(code), "{name}");
        }
    }
}
