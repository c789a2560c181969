//! The rules, and when each holds.

/// When a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At every instant, whatever the kernel is doing: it changes its tables and words in an order that keeps it.
    Always,
    /// When no CPU is in the kernel. Work that the kernel does in steps may span such a moment, so what breaks one of
    /// these counts only if the same frame breaks it at two stops in a row.
    Rest,
}

macro_rules! rules {
    ($($name:ident, $when:ident, $text:literal;)*) => {
        /// One thing that must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule { $(#[doc = $text] $name,)* }
        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// When it holds.
            pub const fn when(self) -> When { match self { $(Self::$name => When::$when,)* } }
            /// What must hold.
            pub const fn text(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

rules! {
    FreeMapped, Always, "no free frame is mapped in a process";
    TableMapped, Always, "no page table is mapped in a process";
    QueueMapped, Always, "no queue or list of a device is mapped in a process";
    KernelMapped, Always, "no memory of the kernel is mapped in a process";
    RegistersWritable, Always, "device registers are mapped in a process for reading only, uncached";
    WriteExecute, Always, "nothing is writable and executable";
    KernelForUser, Always, "no mapping of the upper half is a program's";
    UpperHalf, Always, "every address space has the kernel's upper half";
    TextWritable, Always, "the kernel's text and constants are writable through no mapping";
    RegistersOverMemory, Always, "no mapping for device registers covers memory";
    TwoParents, Always, "no page table is in two places";
    NotATable, Always, "every page table is one by its word";
    NotARoot, Always, "every CPU's root is one by its word";
    Unaccounted, Always, "no frame is mapped more often than its word counts";
    AreaTwice, Always, "a thread's area is mapped in one place";
    StackShared, Always, "a page of a kernel stack is mapped in one place, beside the direct map";
    Withheld, Always, "no frame was given back while something named it";
    LargeForUser, Always, "a process has pages of 4 KiB only";
    DeviceReaches, Always, "a running device was told of queues and buffers only";
    Protections, Always, "a CPU of the kernel has write protection, no-execute, SMEP, SMAP and UMIP on";
    CountedTooOften, Rest, "no word counts an entry that is not there";
    LostTable, Rest, "every page table hangs in an address space";
}
