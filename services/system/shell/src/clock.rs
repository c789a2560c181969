//! The time of day.

use core::fmt::Write as _;

use sdk::{Env, WallClock, WallClockControl, alloc::string::ToString, process::wall_clock::Source};
use shell_lang::show;
use terminal::{Failure, Terminal};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// What the shell holds of the time of day.
pub struct Clock {
    clock: Option<WallClock>,
    control: Option<WallClockControl>,
}

impl Clock {
    /// What was granted.
    pub fn find(env: &Env) -> Self {
        Self {
            clock: env.get("wallClock").ok(),
            control: env.get("wallClockControl").ok(),
        }
    }

    /// Says the time of day, or sets it to so many seconds since 1970.
    ///
    /// # Errors
    /// What a person is told.
    pub fn date(&self, set: Option<i64>, to: &mut Terminal) -> Result<(), Failure> {
        if let Some(seconds) = set {
            return self.set(seconds, to);
        }
        let clock = self.clock.as_ref();
        let clock = clock.ok_or_else(|| Failure::not_held("WallClock"))?;
        let now = clock.now().map_err(Failure::about("the time of day"))?;
        let source = match now.source {
            Source::None => {
                return Err(Failure::Said(
                    "nobody has said the time of day so far; date YYYY-MM-DD HH:MM sets it"
                        .to_string(),
                ));
            }
            Source::MachineClock => "by the machine's clock, as it was read at the start",
            Source::Firmware => "by firmware, as the loader had it",
            Source::Network => "by the network",
            Source::Person => "as a person set it",
        };
        let since = now.at_ns.saturating_sub(now.set_ns);
        let ago = show::span(since);
        let _ = writeln!(to, "{} UTC, {source}, {ago} ago", show::date(now.ns));
        Ok(())
    }

    fn set(&self, seconds: i64, to: &mut Terminal) -> Result<(), Failure> {
        let control = self.control.as_ref();
        let control = control.ok_or_else(|| Failure::not_held("WallClockControl"))?;
        let about = || Failure::about("the time of day");
        // It is that time now, by the machine's own clock.
        let now = to.now_ns().ok_or_else(|| Failure::not_held("Timer"))?;
        let ns = seconds.saturating_mul(NS_PER_SECOND);
        let stepped = control.set(ns, now, Source::Person).map_err(about())?;
        let stepped = stepped.stepped_ns;
        let direction = if stepped < 0 { "back" } else { "ahead" };
        let span = show::span(stepped.unsigned_abs());
        let _ = writeln!(to, "{} UTC, {span} {direction}", show::date(ns));
        Ok(())
    }
}
