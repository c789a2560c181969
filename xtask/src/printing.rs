//! Printing where somebody may read, or nobody any more: a pipe's other end is gone, or a terminal with the session that it was of.
//!
//! Invariant: never ends the process. `println!` panics where nobody reads, and a panic here unwinds nothing: what has something to take
//! down outside of this process prints by these alone.

use std::io::Write;

/// Prints a line on standard output.
pub fn say(line: &str) {
    tell(&mut std::io::stdout(), line);
}

/// Prints a line on standard error.
pub fn note(line: &str) {
    tell(&mut std::io::stderr(), line);
}

fn tell(to: &mut impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::tell;

    #[test]
    fn a_reader_that_is_gone_ends_nothing() {
        let (mut reader, mut writer) = pipe().unwrap();
        tell(&mut writer, "heard");
        let mut heard = [0; 6];
        reader.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"heard\n");
        drop(reader);
        tell(&mut writer, "lost");
    }
}
