//! The provider's end and the kernel's.

use core::sync::atomic::Ordering;

use session_queue::{Broken, Consumer, Full, Layout, Memory, Producer, Unfit};

use crate::{Command, Completion, ENTRIES};

/// Words of an entry.
const COMMAND: usize = 4;
const COMPLETION: usize = 2;

const COMMANDS: Result<Layout<COMMAND>, Unfit> = Layout::new(ENTRIES);
const COMPLETIONS: Result<Layout<COMPLETION>, Unfit> = Layout::new(ENTRIES);

/// The half of the page that begins at word `FIRST`.
#[derive(Debug)]
struct Half<M, const FIRST: usize>(M);

impl<M: Memory, const FIRST: usize> Memory for Half<M, FIRST> {
    #[inline]
    fn words(&self) -> usize {
        self.0.words().saturating_sub(FIRST)
    }

    #[inline(always)]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.0.load(FIRST + word, order)
    }

    #[inline(always)]
    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.0.store(FIRST + word, value, order);
    }

    /// None: nobody sleeps here, so there is no question that a statement could miss.
    #[inline]
    fn fence(&self) {}
}

/// Where the completions begin.
const AFTER: usize = 272;

const _: () = match (COMMANDS, COMPLETIONS) {
    (Ok(commands), Ok(completions)) => {
        assert!(commands.words() == AFTER, "the first half ends there");
        assert!(AFTER + completions.words() <= crate::WORDS, "one page");
    }
    _ => panic!("the layouts are fixed"),
};

/// Makes commands and takes completions.
#[derive(Debug)]
pub struct ProviderEnd<M: Memory> {
    commands: Producer<Half<M, 0>, COMMAND>,
    completions: Consumer<Half<M, AFTER>, COMPLETION>,
}

impl<M: Memory + Clone> ProviderEnd<M> {
    /// The provider's end of a page that nobody has used yet.
    ///
    /// # Errors
    /// [`Unfit::Memory`] for less than a page.
    pub fn new(page: M) -> Result<Self, Unfit> {
        Ok(Self {
            commands: Producer::new(Half(page.clone()), COMMANDS?)?,
            completions: Consumer::new(Half(page), COMPLETIONS?)?,
        })
    }
}

impl<M: Memory> ProviderEnd<M> {
    /// Writes a command. The kernel sees it after [`Self::show`].
    ///
    /// # Errors
    /// [`Full::Full`]: kick first. [`Full::Broken`].
    #[inline]
    pub fn push(&mut self, command: &Command) -> Result<(), Full> {
        self.commands.push(command.words())
    }

    /// Looks how many commands there are places for.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn look_for_room(&mut self) -> Result<u32, Broken> {
        // At most as many as there are entries.
        Ok(self.commands.look_for_room()? as u32)
    }

    /// Lets the kernel see what was written.
    #[inline]
    pub fn show(&mut self) {
        let _ = self.commands.state();
    }

    /// Takes the oldest completion. Its place is the kernel's again after [`Self::give_back`].
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn take(&mut self) -> Result<Option<Completion>, Broken> {
        Ok(self.completions.pop()?.map(Completion::from_words))
    }

    /// Gives the places of the completions that were taken back.
    #[inline]
    pub fn give_back(&mut self) {
        let _ = self.completions.state();
    }
}

/// Takes commands and makes completions.
#[derive(Debug)]
pub struct KernelEnd<M: Memory> {
    commands: Consumer<Half<M, 0>, COMMAND>,
    completions: Producer<Half<M, AFTER>, COMPLETION>,
}

impl<M: Memory + Clone> KernelEnd<M> {
    /// The kernel's end of a page that nobody has used yet.
    ///
    /// # Errors
    /// [`Unfit::Memory`] for less than a page.
    pub fn new(page: M) -> Result<Self, Unfit> {
        Ok(Self {
            commands: Consumer::new(Half(page.clone()), COMMANDS?)?,
            completions: Producer::new(Half(page), COMPLETIONS?)?,
        })
    }
}

impl<M: Memory> KernelEnd<M> {
    /// Reads the oldest command, once. Its place is the provider's again after [`Self::show`].
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn take(&mut self) -> Result<Option<Command>, Broken> {
        Ok(self.commands.pop()?.map(Command::from_words))
    }

    /// Looks how many completions there are places for.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn look_for_room(&mut self) -> Result<u32, Broken> {
        // At most as many as there are entries.
        Ok(self.completions.look_for_room()? as u32)
    }

    /// Writes a completion, for which there is room.
    ///
    /// # Errors
    /// [`Full`]; nothing was written.
    #[inline]
    pub fn push(&mut self, completion: &Completion) -> Result<(), Full> {
        self.completions.push(completion.words())
    }

    /// Lets the provider see what was written, and gives it the places of what was taken.
    #[inline]
    pub fn show(&mut self) {
        let _ = self.commands.state();
        let _ = self.completions.state();
    }
}
