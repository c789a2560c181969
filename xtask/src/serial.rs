//! What the guest's serial line shows: bytes in, finished lines, the prompt and the exit line out.
//!
//! Invariant: never fails on a byte; what is no text is replaced, what is no line yet is kept until it is.

/// What the shell and the diagnostics console print when they want a line.
const PROMPTS: [&str; 2] = ["capos> ", "diagnostics> "];

/// What a kernel says that cannot boot on this machine or has stopped, and a loader that starts none.
const LOST: [&str; 3] = ["@boot.refused", "@kernel.panic", "loader: error: "];

/// No cursor movement of a guest makes a line longer than this.
const MAX_COLUMNS: usize = 16 * 1024;

/// The state of one serial line.
#[derive(Default)]
pub struct Serial {
    lines: Vec<String>,
    row: Row,
    escape: Escape,
    utf8: Vec<u8>,
    prompt_ready: bool,
    exit: Option<Exit>,
}

/// The exit line, and which line of the transcript it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exit {
    code: i64,
    line: usize,
}

/// The line that is being written, as a terminal would show it.
#[derive(Default)]
struct Row {
    cells: Vec<char>,
    column: usize,
}

#[derive(Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Started,
    /// Inside a control sequence, with its parameter bytes.
    Control(String),
}

impl Serial {
    /// Takes bytes as they arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.feed_byte(byte);
        }
    }

    fn feed_byte(&mut self, byte: u8) {
        match std::mem::take(&mut self.escape) {
            Escape::Started if byte == b'[' => self.escape = Escape::Control(String::new()),
            Escape::Started => {}
            Escape::Control(mut params) => match byte {
                0x40..=0x7e => self.row.control(&params, byte),
                _ if params.len() < 32 => {
                    params.push(char::from(byte));
                    self.escape = Escape::Control(params);
                }
                _ => {}
            },
            Escape::None => self.feed_text(byte),
        }
    }

    fn feed_text(&mut self, byte: u8) {
        match byte {
            0x1b => self.escape = Escape::Started,
            b'\n' => self.end_line(),
            b'\r' => self.row.column = 0,
            0x08 => self.row.column = self.row.column.saturating_sub(1),
            b'\t' | 0x20..=0x7e => self.row.put(char::from(byte)),
            0x80.. => self.feed_utf8(byte),
            _ => {}
        }
        let stands = |prompt: &&str| self.row.column == prompt.len() && self.partial() == **prompt;
        if byte == b' ' && PROMPTS.iter().any(stands) {
            self.prompt_ready = true;
        }
    }

    fn feed_utf8(&mut self, byte: u8) {
        if byte & 0xc0 != 0x80 {
            self.utf8.clear();
        }
        self.utf8.push(byte);
        match std::str::from_utf8(&self.utf8) {
            Ok(text) => {
                let text = text.to_owned();
                text.chars().for_each(|char| self.row.put(char));
                self.utf8.clear();
            }
            Err(error) if error.error_len().is_some() => {
                self.row.put(char::REPLACEMENT_CHARACTER);
                self.utf8.clear();
            }
            Err(_) => {}
        }
    }

    fn end_line(&mut self) {
        let row = std::mem::take(&mut self.row);
        let line: String = row.cells.into_iter().collect();
        let line = line.trim_end().to_owned();
        if let Some(code) = exit_code(&line) {
            self.exit = Some(Exit {
                code,
                line: self.lines.len(),
            });
        }
        self.lines.push(line);
    }

    /// The finished lines, without trailing blanks.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The line that has no end yet.
    pub fn partial(&self) -> String {
        self.row.cells.iter().collect()
    }

    /// Whether the guest has said anything.
    pub fn has_spoken(&self) -> bool {
        !self.lines().is_empty() || !self.row.cells.is_empty()
    }

    /// Whether a prompt stands that nobody has answered.
    pub fn is_prompt_ready(&self) -> bool {
        self.prompt_ready
    }

    /// Whether the guest has said that it cannot boot or that its kernel has stopped: nothing starts it again.
    pub fn is_lost(&self) -> bool {
        let lost = |line: &String| {
            LOST.iter()
                .any(|fact| without_prompt(line).starts_with(fact))
        };
        self.lines.iter().any(lost)
    }

    /// Notes that the prompt has been answered.
    pub fn take_prompt(&mut self) {
        self.prompt_ready = false;
    }

    /// The guest's exit code, if the last line is the exit line.
    pub fn exit(&self) -> Option<i64> {
        let exit = self.exit?;
        let later = self
            .lines
            .iter()
            .skip(exit.line + 1)
            .any(|line| !line.is_empty());
        (!later && self.row.cells.is_empty()).then_some(exit.code)
    }
}

impl Row {
    fn put(&mut self, char: char) {
        if self.column >= MAX_COLUMNS {
            return;
        }
        if self.cells.len() <= self.column {
            self.cells.resize(self.column + 1, ' ');
        }
        if let Some(cell) = self.cells.get_mut(self.column) {
            *cell = char;
        }
        self.column += 1;
    }

    /// The cursor and erase sequences a line editor uses; everything else has no effect on the text.
    fn control(&mut self, params: &str, end: u8) {
        let number = params.parse::<usize>();
        let count = number.clone().unwrap_or(1).clamp(1, MAX_COLUMNS);
        match end {
            b'C' => self.column = (self.column + count).min(MAX_COLUMNS),
            b'D' => self.column = self.column.saturating_sub(count),
            b'G' => self.column = count - 1,
            b'K' if number == Ok(2) => self.cells.clear(),
            b'K' if number == Ok(1) => {
                self.cells
                    .iter_mut()
                    .take(self.column + 1)
                    .for_each(|cell| *cell = ' ');
            }
            b'K' | b'J' => self.cells.truncate(self.column),
            _ => {}
        }
    }
}

/// `line` without a prompt that something was printed behind.
pub fn without_prompt(line: &str) -> &str {
    PROMPTS
        .iter()
        .find_map(|prompt| line.strip_prefix(prompt))
        .unwrap_or(line)
}

fn exit_code(line: &str) -> Option<i64> {
    without_prompt(line)
        .strip_prefix("exit code=")?
        .parse()
        .ok()
}

/// The exit status xtask ends with when the guest gave `code`; never success for a code that is not zero.
pub fn process_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Serial, process_code};

    fn after(bytes: &str) -> Serial {
        let mut serial = Serial::default();
        serial.feed(bytes.as_bytes());
        serial
    }

    #[test]
    fn lines_look_as_on_a_terminal() {
        let serial =
            after("a\x1b[31mb\x1b[0mc\r\nold\r\x1b[Knew\r\nab\x08c\r\nxyz\x1b[2D!\nŪn ï\r\n");
        assert_eq!(serial.lines(), ["abc", "new", "ac", "x!z", "Ūn ï"]);
    }

    #[test]
    fn a_prompt_counts_once_until_it_is_answered() {
        let mut serial = after("hello\r\ncapos>");
        assert!(!serial.is_prompt_ready());
        serial.feed(b" ");
        assert!(serial.is_prompt_ready());
        serial.feed(b"ls");
        assert!(serial.is_prompt_ready(), "typing does not take it back");
        serial.take_prompt();
        serial.feed(b"\r\na b\r\n");
        assert!(!serial.is_prompt_ready());
        serial.feed(b"\r\x1b[Kcapos> ");
        assert!(serial.is_prompt_ready());
    }

    #[test]
    fn a_prompt_inside_a_line_is_none() {
        assert!(!after("say capos> ").is_prompt_ready());
    }

    #[test]
    fn only_a_last_exit_line_counts() {
        assert_eq!(after("x\r\nexit code=3\r\n").exit(), Some(3));
        assert_eq!(after("capos> exit code=0\r\n\r\n").exit(), Some(0));
        assert_eq!(after("exit code=-1\r\n").exit(), Some(-1));
        assert_eq!(after("exit code=0").exit(), None, "not a line yet");
        assert_eq!(after("exit code=0\r\nmore\r\n").exit(), None);
        assert_eq!(after("exit code=0\r\nmore").exit(), None);
        assert_eq!(
            after("exit code=0\r\nmore\r\nexit code=7\r\n").exit(),
            Some(7)
        );
        assert_eq!(after("my exit code=0\r\nexit code=zero\r\n").exit(), None);
    }

    #[test]
    fn no_code_but_zero_becomes_success() {
        assert_eq!(process_code(0), 0);
        assert_eq!(process_code(3), 3);
        assert_eq!(process_code(256), 255);
        assert_eq!(process_code(-1), 255);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut serial = Serial::default();
        serial.feed(&(0..=255).collect::<Vec<u8>>());
        serial.feed(b"\x1b[99999999999999999999C\xff\xc3(\n\x1b[9999999C\x1b[9999999CX\nafter\n");
        assert!(
            serial
                .lines()
                .iter()
                .all(|line| line.chars().count() <= super::MAX_COLUMNS)
        );
        assert_eq!(serial.lines().last().map(String::as_str), Some("after"));
    }
}
