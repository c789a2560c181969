//! Echoes of ours that are under way.

use core::net::IpAddr;

use units::Nanoseconds;

use crate::Refusal;

/// So many echoes of ours may be under way.
pub(crate) const MOST: usize = 16;

/// An echo of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Whom it asks.
    pub target: IpAddr,
    /// Bytes of its payload.
    pub bytes: u16,
    /// Until when an answer counts.
    pub until: Nanoseconds,
    /// The caller's name for it.
    pub owner: u64,
}

/// What became of an echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echoed {
    /// The caller's name for it.
    pub owner: u64,
    /// How long it took and the answer's hop limit; or why there is none.
    pub outcome: Result<(Nanoseconds, u8), Refusal>,
}

/// One that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) echo: Echo,
    pub(crate) source: IpAddr,
    pub(crate) identifier: u16,
    pub(crate) sent: Nanoseconds,
    /// It has not left: its next hop is asked for, and it is tried again then.
    pub(crate) again_at: Option<Nanoseconds>,
    pub(crate) outcome: Option<Result<(Nanoseconds, u8), Refusal>>,
}

/// The echoes that are under way.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    pub(crate) pending: [Option<Pending>; MOST],
    pub(crate) last: u16,
    /// Echoes of others that were answered over IPv4, and over IPv6.
    pub(crate) answered: (u64, u64),
}

impl Echoes {
    /// Whose identifiers begin where `seed` says.
    pub fn new(seed: u64) -> Self {
        Self {
            last: (seed >> 32) as u16,
            ..Self::default()
        }
    }

    pub fn deadline(&self) -> Nanoseconds {
        let of = |pending: &Pending| match (pending.outcome, pending.again_at) {
            (Some(_), _) => Nanoseconds::NEVER,
            (None, Some(at)) => at.min(pending.echo.until),
            (None, None) => pending.echo.until,
        };
        let all = self.pending.iter().flatten().map(of);
        all.min().unwrap_or(Nanoseconds::NEVER)
    }

    pub(crate) fn find(
        &mut self,
        source: IpAddr,
        target: IpAddr,
        ident: u16,
        number: u16,
    ) -> Option<&mut Pending> {
        let mut open = self.pending.iter_mut().flatten();
        open.find(|pending| {
            pending.outcome.is_none()
                && (pending.identifier, 1) == (ident, number)
                && pending.source == source
                && pending.echo.target == target
        })
    }
}
