//! `WallClock` and `WallClockControl`.

use alloc::sync::Arc;

use cap::Epoch;
use ipc::{KernelCall, Quick, Slot, Tie};
use sabotage::sabotage;
use schema::process::wall_clock::{self, Source};
use schema::process::wall_clock_control;
use stub::{Answered, Outgoing, Refusal};

use super::served::{self, Owed, Served, kernel_object, or_refuse};
use crate::wall;

/// The time of day, to be read.
pub struct WallClock {
    epoch: Epoch,
}

impl WallClock {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }

    #[inline]
    fn quick(&self, method: u16, _: &[u64; 4]) -> Option<Quick> {
        if method != wall_clock::method::NOW {
            return None;
        }
        let now = reply(&wall::read()?);
        Some(Quick::Answer(Outgoing::<Slot>::words(&now)))
    }

    fn finish(&self) {}
}

kernel_object!(WallClock, wall_clock, quick);

fn reply(setting: &calendar::Setting) -> wall_clock::NowReply {
    let at_ns = sched::now_ns();
    let source = Source::from_u16(setting.source).unwrap_or(Source::None);
    wall_clock::NowReply {
        ns: match source {
            Source::None => 0,
            _ => setting.at(at_ns),
        },
        at_ns,
        set_ns: setting.set_ns,
        changes: setting.changes,
        source,
    }
}

impl<'a> wall_clock::Server<KernelCall<'a>> for Served<WallClock> {
    fn now(&mut self, owed: Owed<'a, wall_clock::call::Now>) -> Answered {
        owed.send(reply(&wall::settled_reading()))
    }
}

/// The right to set it, in any name or in one.
pub struct WallClockControl {
    epoch: Epoch,
    only: Option<Source>,
    /// Of one that was narrowed: it goes with whoever asked for it.
    tie: Option<Arc<Tie>>,
}

impl WallClockControl {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
            only: None,
            tie: None,
        })
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as those that can"
    )]
    const fn live(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn ended(&self) -> bool {
        self.tie.as_ref().is_some_and(|tie| tie.has_ended())
    }

    /// Whether it may set in that name.
    fn covers(&self, source: Source) -> Result<(), Refusal> {
        match source {
            Source::None | Source::MachineClock | Source::Firmware => Err(Refusal::BadArgument),
            _ if sabotage!(ANY_TIME_SOURCE) => Ok(()),
            source if self.only.is_none_or(|only| only == source) => Ok(()),
            _ => Err(Refusal::NotGranted),
        }
    }
}

kernel_object!(WallClockControl, wall_clock_control, live, ended);

impl<'a> wall_clock_control::Server<KernelCall<'a>> for Served<WallClockControl> {
    fn set(
        &mut self,
        owed: Owed<'a, wall_clock_control::call::Set>,
        ns: i64,
        at_ns: u64,
        source: Source,
    ) -> Answered {
        or_refuse!(owed, self.0.covers(source));
        let process = owed.call().process();
        let stepped = wall::set(&process.name, ns, at_ns, source);
        owed.answer(stepped.map(|stepped_ns| wall_clock_control::SetReply { stepped_ns }))
    }

    fn narrow(
        &mut self,
        owed: Owed<'a, wall_clock_control::call::Narrow>,
        source: Source,
    ) -> Answered {
        or_refuse!(owed, self.0.covers(source));
        let narrowed = owed.call().process().bank.object(|tie| WallClockControl {
            epoch: Epoch::default(),
            only: Some(source),
            tie: Some(tie),
        });
        owed.answer(narrowed.map(|control| wall_clock_control::NarrowReply { control }))
    }
}
