//! One audit: everything that one stop shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use anyhow::{Context, Result, bail};

use crate::cpu::Cpu;
use crate::image::Image;
use crate::kernel::Kernel;
use crate::rules::{Rule, When};
use crate::walk::{self, CACHE_DISABLE, DIRECT_MAP, Leaf, USED, Visitor};
use crate::words::{Use, Words};

/// Where the kernel maps its stacks, and where device registers.
const STACKS: Range<u64> = 0xffff_c000_0000_0000..0xffff_d000_0000_0000;
const DEVICES: Range<u64> = 0xffff_d000_0000_0000..0xffff_e000_0000_0000;
/// Paging, write protection (CR0); no-execute (EFER); UMIP, SMEP, SMAP (CR4). Intel SDM volume 3, section 2.5.
const CR0_PAGING: u64 = 1 << 31;
const CR0_WRITE_PROTECT: u64 = 1 << 16;
const EFER_NO_EXECUTE: u64 = 1 << 11;
const CR4_PROTECTIONS: u64 = 1 << 11 | 1 << 20 | 1 << 21;
/// Findings of one rule that are told one by one.
const TOLD: usize = 8;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The frame it is about, by its physical address; 0 for none.
    pub frame: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {} (but {})",
            self.rule,
            self.rule.text(),
            self.what
        )
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Address spaces.
    pub roots: usize,
    /// Page tables below them and the kernel's.
    pub tables: usize,
    /// Mappings of processes.
    pub mappings: usize,
    /// Frames with a word.
    pub frames: usize,
}

/// What one audit found.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Rules that hold at every instant, and do not.
    pub broken: Vec<Finding>,
    /// Rules that hold at rest, and do not at this stop. Empty when a CPU was in the kernel.
    pub suspected: Vec<Finding>,
    /// Whether no CPU was in the kernel.
    pub at_rest: bool,
    /// How much was looked at.
    pub counts: Counts,
}

impl Audit {
    /// What is wrong for certain, given what the stop before suspected.
    pub fn wrong(&self, before: Option<&Self>) -> Vec<Finding> {
        let seen = |found: &Finding| {
            before.is_some_and(|before| {
                let mut all = before.suspected.iter();
                all.any(|other| (other.rule, other.frame) == (found.rule, found.frame))
            })
        };
        let confirmed = self.suspected.iter().filter(|found| seen(found));
        self.broken.iter().chain(confirmed).cloned().collect()
    }
}

/// Memory that a running device was told of, as the machine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where.
    pub address: u64,
    /// How much.
    pub bytes: u64,
    /// Which device, and as what.
    pub what: String,
}

/// Audits a stopped guest. `told` is what its running devices may use.
///
/// # Errors
/// The kernel is not up yet, or its memory contradicts itself so that no rule can be asked.
pub fn audit(image: &dyn Image, cpus: &[Cpu], kernel: &Kernel, told: &[Told]) -> Result<Audit> {
    let first = cpus
        .iter()
        .find(|cpu| cpu.cr0 & CR0_PAGING != 0)
        .context("no CPU has its paging on")?;
    let words = Words::read(image, kernel, first.cr3)?;
    let kernel_roots = frames_of(&words, Use::KernelRoot);
    let [kernel_root] = kernel_roots[..] else {
        bail!("the kernel has {} roots of its own", kernel_roots.len());
    };
    let roots = frames_of(&words, Use::Root);
    let loaders = words.at(first.cr3 & walk::ADDRESS);
    if roots.is_empty() && loaders.is_some_and(|word| word.use_ == Use::Foreign) {
        bail!("the kernel has made its tables and still walks the loader's");
    }
    let mut eye = Eye {
        words: &words,
        memory: image.bytes(),
        fixed: fixed_frames(image, kernel, kernel_root)?,
        root: kernel_root,
        findings: BTreeMap::new(),
        parents: HashMap::new(),
        mapped: HashMap::new(),
        stacks: HashMap::new(),
        mappings: 0,
    };
    eye.cpus(cpus);
    walk::walk(image, kernel_root, 256..512, &mut eye)?;
    let upper = image.table(kernel_root)?;
    for root in &roots {
        eye.root = *root;
        let own = image.table(*root)?;
        // The processor marks what it used, in whichever root it walks.
        let differs = |(a, b): (&u64, &u64)| (a ^ b) & !USED != 0;
        if own[256..].iter().zip(&upper[256..]).any(differs) {
            eye.report(Rule::UpperHalf, *root, || {
                format!("the space at {root:#x} has another")
            });
        }
        walk::walk(image, *root, 0..256, &mut eye)?;
    }
    told.iter().for_each(|told| eye.device(told));
    eye.counts();
    Ok(eye.end(cpus, roots.len()))
}

fn frames_of(words: &Words, of: Use) -> Vec<u64> {
    let all = words.all.iter().enumerate();
    all.filter(|(_, word)| word.use_ == of)
        .map(|(at, _)| at as u64 * 4096)
        .collect()
}

/// The frames of the kernel's text and constants.
fn fixed_frames(image: &dyn Image, kernel: &Kernel, root: u64) -> Result<BTreeSet<u64>> {
    let mut frames = BTreeSet::new();
    for range in &kernel.fixed {
        for address in (range.start & !4095..range.end).step_by(4096) {
            let physical = walk::translate(image, root, address)?
                .with_context(|| format!("the kernel's page at {address:#x} is not mapped"))?;
            frames.insert(physical);
        }
    }
    Ok(frames)
}

/// What is seen on the way.
struct Eye<'a> {
    words: &'a Words,
    memory: u64,
    fixed: BTreeSet<u64>,
    /// The root of the walk under way.
    root: u64,
    findings: BTreeMap<Rule, Vec<Finding>>,
    /// Of each table, the one that names it.
    parents: HashMap<u64, u64>,
    /// How often each frame is mapped by processes.
    mapped: HashMap<u64, u32>,
    /// How often each frame is mapped as a stack.
    stacks: HashMap<u64, u32>,
    mappings: usize,
}

impl Eye<'_> {
    fn report(&mut self, rule: Rule, frame: u64, what: impl FnOnce() -> String) {
        let list = self.findings.entry(rule).or_default();
        if list.len() < TOLD {
            let what = what();
            list.push(Finding { rule, frame, what });
        }
    }

    fn use_of(&self, physical: u64) -> Option<Use> {
        self.words.at(physical).map(|word| word.use_)
    }

    fn cpus(&mut self, cpus: &[Cpu]) {
        for (number, cpu) in cpus.iter().enumerate() {
            let root = cpu.cr3 & walk::ADDRESS;
            // One that was never started has no paging; one that is being started has a root below 1 MiB.
            if cpu.cr0 & CR0_PAGING == 0 || root < 1 << 20 {
                continue;
            }
            if !matches!(self.use_of(root), Some(Use::Root | Use::KernelRoot)) {
                let use_ = self.use_of(root);
                self.report(Rule::NotARoot, root, || {
                    format!("CPU {number} walks {root:#x}, which is {use_:?}")
                });
            }
            let on = cpu.cr0 & CR0_WRITE_PROTECT != 0
                && cpu.efer & EFER_NO_EXECUTE != 0
                && cpu.cr4 & CR4_PROTECTIONS == CR4_PROTECTIONS;
            if !on {
                self.report(Rule::Protections, 0, || {
                    let Cpu { cr0, cr4, efer, .. } = cpu;
                    format!("CPU {number} has CR0={cr0:#x} CR4={cr4:#x} EFER={efer:#x}")
                });
            }
        }
    }

    fn for_process(&mut self, leaf: &Leaf) {
        self.mappings += 1;
        let (physical, root, at) = (leaf.physical, self.root, leaf.address);
        let place = || format!("{physical:#x} is mapped at {at:#x} of the space at {root:#x}");
        if leaf.bytes != 4096 {
            return self.report(Rule::LargeForUser, physical, place);
        }
        if physical >= self.memory {
            if leaf.write || leaf.execute || leaf.entry & CACHE_DISABLE == 0 {
                self.report(Rule::RegistersWritable, physical, place);
            }
            return;
        }
        *self.mapped.entry(physical).or_default() += 1;
        let Some(use_) = self.use_of(physical) else {
            return self.report(Rule::KernelMapped, physical, place);
        };
        let broken = match use_ {
            Use::Object | Use::Buffer => return,
            Use::Area if self.mapped[&physical] == 1 => return,
            Use::Area => Rule::AreaTwice,
            Use::Free => Rule::FreeMapped,
            Use::Table | Use::Root | Use::KernelRoot => Rule::TableMapped,
            Use::Queue => Rule::QueueMapped,
            Use::Withheld => Rule::Withheld,
            Use::Foreign | Use::Kernel | Use::Stack => Rule::KernelMapped,
        };
        self.report(broken, physical, || format!("{use_:?} {}", place()));
    }

    fn for_kernel(&mut self, leaf: &Leaf) {
        let (physical, at) = (leaf.physical, leaf.address);
        let place = || format!("{physical:#x} is mapped at {at:#x}");
        if leaf.user {
            self.report(Rule::KernelForUser, physical, place);
        }
        if leaf.write {
            let mut covered = self.fixed.range(physical..physical + leaf.bytes);
            if let Some(frame) = covered.next().copied() {
                self.report(Rule::TextWritable, frame, || {
                    format!("{frame:#x}: {}", place())
                });
            }
        }
        if STACKS.contains(&at) {
            *self.stacks.entry(physical).or_default() += 1;
            if self.stacks[&physical] > 1 || self.use_of(physical) != Some(Use::Stack) {
                let use_ = self.use_of(physical);
                self.report(Rule::StackShared, physical, || {
                    format!("{use_:?} {}", place())
                });
            }
        } else if DEVICES.contains(&at) {
            if !matches!(self.use_of(physical), None | Some(Use::Foreign)) {
                self.report(Rule::RegistersOverMemory, physical, place);
            }
        } else if at >= DIRECT_MAP + self.memory.next_multiple_of(1 << 30)
            && self.use_of(physical) == Some(Use::Stack)
        {
            self.report(Rule::StackShared, physical, place);
        }
    }

    /// What a running device was told of is the broker's, or a buffer. What the kernel does not have is
    /// firmware's, which leaves its own queues running until the kernel stops them.
    fn device(&mut self, told: &Told) {
        let end = told.address.saturating_add(told.bytes);
        for frame in (told.address & !4095..end).step_by(4096).take(1 << 16) {
            let use_ = self.use_of(frame);
            let sound = matches!(use_, None | Some(Use::Buffer | Use::Queue | Use::Foreign));
            if !sound {
                self.report(Rule::DeviceReaches, frame, || {
                    format!("{} has {frame:#x}, which is {use_:?}", told.what)
                });
            }
        }
    }

    /// Compares how often frames are mapped with what their words count.
    fn counts(&mut self) {
        let words = self.words;
        for (at, word) in words.all.iter().enumerate() {
            let frame = at as u64 * 4096;
            let mapped = self.mapped.get(&frame).copied().unwrap_or(0);
            let what = || {
                let (use_, entries) = (word.use_, word.entries);
                format!("{use_:?} {frame:#x} is mapped {mapped} times and counted {entries}")
            };
            if mapped > word.entries {
                self.report(Rule::Unaccounted, frame, what);
            } else if mapped < word.entries && frame < self.memory {
                self.report(Rule::CountedTooOften, frame, what);
            }
            if word.use_ == Use::Table && !self.parents.contains_key(&frame) {
                self.report(Rule::LostTable, frame, || {
                    format!("{frame:#x} hangs nowhere")
                });
            }
        }
        if words.withheld > 0 {
            self.report(Rule::Withheld, 0, || format!("{} were", words.withheld));
        }
    }

    fn end(self, cpus: &[Cpu], roots: usize) -> Audit {
        let at_rest = cpus.iter().all(Cpu::is_at_rest);
        let counts = Counts {
            roots,
            tables: self.parents.len(),
            mappings: self.mappings,
            frames: self.words.all.len(),
        };
        let all = self.findings.into_values().flatten();
        let (broken, mut suspected): (Vec<_>, Vec<_>) =
            all.partition(|found| found.rule.when() == When::Always);
        if !at_rest {
            suspected.clear();
        }
        Audit {
            broken,
            suspected,
            at_rest,
            counts,
        }
    }
}

impl Visitor for Eye<'_> {
    fn table(&mut self, parent: u64, table: u64, address: u64) -> bool {
        if self.use_of(table) != Some(Use::Table) {
            let use_ = self.use_of(table);
            self.report(Rule::NotATable, table, || {
                format!("{table:#x}, for {address:#x}, is {use_:?}")
            });
            return false;
        }
        if let Some(other) = self.parents.insert(table, parent) {
            self.report(Rule::TwoParents, table, || {
                format!("{table:#x} hangs in {other:#x} and in {parent:#x}")
            });
            return false;
        }
        true
    }

    fn leaf(&mut self, leaf: Leaf) {
        if leaf.write && leaf.execute {
            let (frame, at) = (leaf.physical, leaf.address);
            self.report(Rule::WriteExecute, frame, || {
                format!("{frame:#x} is, at {at:#x}")
            });
        }
        if leaf.address < 1 << 47 {
            self.for_process(&leaf);
        } else {
            self.for_kernel(&leaf);
        }
    }
}
