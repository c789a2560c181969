//! What this machine or its boot package cannot do: said on the serial line, and the end.

use core::fmt::Write;

use crate::line::Line;

/// Stops the boot because of what this machine, its tables or its boot package are: not a bug of the kernel.
pub fn boot_error(message: core::fmt::Arguments<'_>) -> ! {
    say(format_args!("@boot.refused"));
    say(format_args!("kernel: cannot boot: {message}"));
    crate::power::halt(2)
}

/// Says something that the log, which may be locked, does not get: each of its lines whole. A long one is cut.
pub fn say(text: core::fmt::Arguments<'_>) {
    let mut line = Line::new();
    let _ = line.write_fmt(text);
    for row in line.text().lines() {
        crate::serial::fact(row.as_bytes());
    }
}
