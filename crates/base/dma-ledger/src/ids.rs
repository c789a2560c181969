//! Names of owners, functions and the objects below a function.

use handles::Handle;

/// Who holds a claim. The kernel never uses one number for two owners.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnerId(pub u64);

/// A function's place in the ledger; dense from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FunctionId(pub(crate) u32);

impl FunctionId {
    /// Returns the dense index.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// One claim of one function, as a capability remembers it.
///
/// Holding one proves nothing: every operation compares it with the record first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    pub(crate) function: FunctionId,
    pub(crate) owner: OwnerId,
    pub(crate) generation: u64,
}

impl Claim {
    /// Names a claim that is yet to be checked.
    #[must_use]
    pub const fn allege(function: FunctionId, owner: OwnerId, generation: u64) -> Self {
        Self {
            function,
            owner,
            generation,
        }
    }

    /// Returns the function claimed.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }

    /// Returns the owner.
    #[must_use]
    pub const fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Returns the device generation, which rises with each claim; never 0.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            pub(crate) function: FunctionId,
            pub(crate) handle: Handle,
        }

        impl $name {
            /// Returns the function it belongs to.
            #[must_use]
            pub const fn function(&self) -> FunctionId {
                self.function
            }

            /// Returns the slot, dense from 0 within the function.
            #[must_use]
            pub const fn index(&self) -> u32 {
                self.handle.index()
            }

            /// Returns the slot's generation, which rises with each reuse; never 0.
            #[must_use]
            pub const fn generation(&self) -> u64 {
                self.handle.generation()
            }
        }
    };
}

object_id! {
    /// A DMA pool.
    PoolId
}
object_id! {
    /// A DMA buffer, or a run of pages that a broker keeps for itself.
    BufferId
}
object_id! {
    /// A user mapping of register or buffer pages.
    MappingId
}
object_id! {
    /// A device queue; its index is the small dense number that brokers use.
    QueueId
}

/// An interrupt route: the source, and the generations under which it was registered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RouteId {
    pub(crate) function: FunctionId,
    pub(crate) source: u16,
    pub(crate) source_generation: u64,
    pub(crate) route_generation: u64,
}

impl RouteId {
    /// Returns the function it belongs to.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }

    /// Returns the source: an MSI-X table index, an MSI number, or 0 for a line.
    #[must_use]
    pub const fn source(&self) -> u16 {
        self.source
    }

    /// Returns the generation of the source, which rises with each reset and teardown.
    #[must_use]
    pub const fn source_generation(&self) -> u64 {
        self.source_generation
    }

    /// Returns the generation of the route, which rises with each registration.
    #[must_use]
    pub const fn route_generation(&self) -> u64 {
        self.route_generation
    }
}
