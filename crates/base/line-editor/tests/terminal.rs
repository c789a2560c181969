//! The editor in front of a small terminal: after every byte the row shows prompt and line, with the cursor in its place.

use line_editor::{Event, LineEditor, char_cells};
use proptest::prelude::*;

/// One row of cells after another. Writing in a column that does not exist fails the test.
struct Terminal {
    columns: usize,
    rows: Vec<Vec<String>>,
    x: usize,
    bells: usize,
    pending: Vec<u8>,
    written: usize,
}

impl Terminal {
    fn new(columns: usize) -> Self {
        Self {
            columns,
            rows: vec![Vec::new()],
            x: 0,
            bells: 0,
            pending: Vec::new(),
            written: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.pending.extend_from_slice(bytes);
        let text = String::from_utf8(std::mem::take(&mut self.pending))
            .expect("a write ends inside a character");
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\x1b' {
                self.put(c);
                continue;
            }
            let mut sequence = String::from(c);
            for c in chars.by_ref() {
                sequence.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            if sequence.ends_with(|c: char| c.is_ascii_alphabetic()) {
                self.escape(&sequence);
            } else {
                self.pending = sequence.into_bytes();
            }
        }
    }

    fn put(&mut self, c: char) {
        let row = self.rows.last_mut().unwrap();
        match c {
            '\r' => self.x = 0,
            '\n' => self.rows.push(Vec::new()),
            '\x08' => self.x = self.x.checked_sub(1).expect("moved left of the row"),
            '\x07' => self.bells += 1,
            c if char_cells(c) == 0 => row[self.x - 1].push(c),
            c => {
                assert!(!c.is_control(), "unknown control {c:?}");
                let cells = char_cells(c);
                assert!(self.x + cells < self.columns, "wrote in the last column");
                row.resize(row.len().max(self.x + cells), String::from(" "));
                row[self.x] = c.to_string();
                if cells == 2 {
                    row[self.x + 1] = String::new();
                }
                self.x += cells;
            }
        }
    }

    fn escape(&mut self, sequence: &str) {
        let body = &sequence[2..];
        let (number, last) = body.split_at(body.len() - 1);
        let n: usize = number.parse().unwrap_or(1);
        match last {
            "D" => self.x = self.x.checked_sub(n).expect("moved left of the row"),
            "C" => self.x += n,
            "K" => self.rows.last_mut().unwrap().truncate(self.x),
            "H" => self.x = 0,
            "J" => self.rows = vec![Vec::new()],
            _ => panic!("unknown sequence {sequence:?}"),
        }
        assert!(self.x < self.columns, "moved right of the row");
    }

    fn row(&self) -> String {
        self.rows.last().unwrap().concat()
    }
}

const PROMPT: &str = "capos> ";

struct Session {
    editor: Box<LineEditor<512, 4>>,
    terminal: Terminal,
}

impl Session {
    fn new(columns: usize) -> Self {
        let mut session = Self {
            editor: Box::default(),
            terminal: Terminal::new(columns),
        };
        session.editor.set_columns(columns as u16);
        session.begin();
        session
    }

    fn begin(&mut self) {
        self.editor
            .begin(PROMPT, &mut |bytes: &[u8]| self.terminal.take(bytes));
    }

    /// Types bytes and returns the last event that was not `Pending`.
    fn feed(&mut self, bytes: &[u8]) -> Event {
        let mut last = Event::Pending;
        for &byte in bytes {
            match self
                .editor
                .feed(byte, &mut |bytes: &[u8]| self.terminal.take(bytes))
            {
                Event::Pending => {}
                event => last = event,
            }
            if !matches!(last, Event::Line | Event::Interrupted) {
                self.check();
            }
        }
        last
    }

    fn keys(&mut self, text: &str) -> Event {
        self.feed(text.as_bytes())
    }

    /// Asserts that the row shows what the editor holds.
    fn check(&self) {
        let cells = |text: &str| text.chars().map(char_cells).sum::<usize>();
        let (line, cursor) = (self.editor.line(), self.editor.cursor());
        let row = self.terminal.row();
        let shown = row.strip_prefix(PROMPT).expect("the prompt is gone");
        let window = self.terminal.columns - 1 - PROMPT.len();
        let x = self.terminal.x - PROMPT.len();
        // The window may begin anywhere from which the cursor comes out in its cell.
        let fitting = line
            .char_indices()
            .map(|(at, _)| at)
            .chain([line.len()])
            .any(|view| {
                view <= cursor
                    && line[view..].starts_with(shown)
                    && cells(&line[view..cursor]) == x
                    && {
                        // Nothing is left out that would have fitted.
                        let next = line[view + shown.len()..].chars().next();
                        next.is_none_or(|c| cells(shown) + char_cells(c) > window)
                    }
            });
        assert!(
            fitting,
            "line {line:?}, cursor {cursor}, row {row:?}, column {}",
            self.terminal.x
        );
        if cells(line) <= window {
            assert_eq!(shown, line);
        }
    }
}

#[test]
fn typing_echoes_only_what_is_typed() {
    let mut session = Session::new(80);
    let before = session.terminal.written;
    session.keys("cat /disk/größe 日本.txt");
    assert_eq!(
        session.terminal.written - before,
        "cat /disk/größe 日本.txt".len()
    );
    assert_eq!(session.keys("\r"), Event::Line);
    assert_eq!(session.editor.line(), "cat /disk/größe 日本.txt");
    assert_eq!(session.terminal.rows.len(), 2);
}

#[test]
fn every_way_to_end_a_line_ends_it_once() {
    let mut session = Session::new(80);
    for (end, lines) in [
        ("\r", 1),
        ("\n", 1),
        ("\r\n", 1),
        ("\n\n", 2),
        ("\r\r\n", 2),
        ("\r\n\n", 2),
    ] {
        let mut seen = 0;
        for byte in format!("x{end}y\x15").bytes() {
            match session.feed(&[byte]) {
                Event::Line => {
                    seen += 1;
                    session.begin();
                }
                event => assert_eq!(event, Event::Pending),
            }
        }
        assert_eq!(seen, lines, "{end:?}");
    }
}

#[test]
fn moving_and_editing() {
    let mut session = Session::new(80);
    session.keys("hello world");
    session.keys("\x01>\x05<\x1b[H\x1b[3~\x1b[F\x7f");
    assert_eq!(session.editor.line(), "hello world");
    session.keys("\x1b[D\x1bOD\x02X\x1b[C\x06Y");
    assert_eq!(session.editor.line(), "hello woXrlYd");
    session.keys("\x17");
    assert_eq!(session.editor.line(), "hello d");
    session.keys("\x0b");
    assert_eq!(session.editor.line(), "hello ");
    session.keys("\x1b[1~abc \x15");
    assert_eq!(session.editor.line(), "hello ");
    session.keys("\x1bOF\x17");
    assert_eq!(session.editor.line(), "");
    session.keys("one two three\x1b[1;5D\x1b[1;5D2\x1b[1;5C3");
    assert_eq!(session.editor.line(), "one 2two3 three");
    session.keys("\x01\x04\x04");
    assert_eq!(session.editor.line(), "e 2two3 three");
}

#[test]
fn characters_of_all_widths() {
    let mut session = Session::new(80);
    session.keys("aé日e\u{301}😀z");
    session.keys("\x02\x02\x02\x02-");
    assert_eq!(session.editor.line(), "aé-日e\u{301}😀z");
    session.keys("\x1b[C\x1b[3~");
    assert_eq!(session.editor.line(), "aé-日😀z");
    session.keys("\x05\x08\x08\x08");
    assert_eq!(session.editor.line(), "aé-");
    session.keys("\u{301}\x01\x1b[C\u{302}");
    assert_eq!(session.editor.line(), "a\u{302}é-\u{301}");
}

#[test]
fn what_is_remembered_could_have_been_typed() {
    let mut session = Session::new(80);
    let long = "x".repeat(4096);
    for (line, fits) in [
        ("first", true),
        ("second", true),
        ("second", true),
        ("", true),
        ("\u{1b}[2J", false),
        ("one\ntwo", false),
        ("\u{301}mark", false),
        ("turned \u{202e}txt", false),
        (long.as_str(), false),
    ] {
        assert_eq!(session.editor.remember(line), fits, "{line:?}");
    }
    assert_eq!(session.editor.line(), "");
    session.keys("\x10\x10");
    assert_eq!(session.editor.line(), "first");
    session.keys("\x10");
    assert_eq!(
        (session.editor.line(), session.terminal.bells),
        ("first", 1)
    );
}

#[test]
fn the_history_keeps_the_draft() {
    let mut session = Session::new(80);
    for line in ["first", "second", "second", "", "   ", "third"] {
        assert_eq!(session.keys(&format!("{line}\r")), Event::Line);
        assert_eq!(session.editor.line(), line);
        session.begin();
    }
    session.keys("draft\x1b[D");
    let mut seen = Vec::new();
    for _ in 0..4 {
        session.keys("\x1b[A");
        seen.push(session.editor.line().to_owned());
    }
    assert_eq!(seen, ["third", "second", "first", "first"]);
    assert_eq!(session.terminal.bells, 1);
    session.keys("\x0e\x0e");
    assert_eq!(session.editor.line(), "third");
    session.keys("\x1bOB");
    assert_eq!(
        (session.editor.line(), session.editor.cursor()),
        ("draft", 4)
    );
    session.keys("\x1b[B");
    assert_eq!(session.terminal.bells, 2);
    // A changed history line can be entered, and the history forgets the oldest.
    session.keys("\x10\x10 again\r");
    assert_eq!(session.editor.line(), "second again");
    assert_eq!(session.editor.history(1), Some("second again"));
    for n in 0..9 {
        session.begin();
        session.keys(&format!("{n}\r"));
    }
    assert_eq!(
        (session.editor.history(4), session.editor.history(5)),
        (Some("5"), None)
    );
}

#[test]
fn control_keys_give_events() {
    let mut session = Session::new(80);
    assert_eq!(session.keys("\x04"), Event::EndOfInput);
    assert_eq!(session.keys("ca\t"), Event::Complete);
    assert!(
        session
            .editor
            .insert("t ", &mut |bytes: &[u8]| session.terminal.take(bytes))
    );
    session.check();
    assert!(
        !session
            .editor
            .insert("a\nb", &mut |bytes: &[u8]| session.terminal.take(bytes))
    );
    assert_eq!((session.editor.line(), session.terminal.bells), ("cat ", 1));
    assert_eq!(session.keys("x\x01\x03"), Event::Interrupted);
    assert_eq!(session.editor.line(), "");
    assert_eq!(session.terminal.rows[0].concat(), "capos> cat x^C");
    session.begin();
    session.keys("abc\x02\x0c");
    assert_eq!(
        (session.terminal.rows.len(), session.terminal.row().as_str()),
        (1, "capos> abc")
    );
    session.keys("\r");
    // Bytes before the next begin start a new line.
    session.editor.begin("", &mut |_: &[u8]| ());
    assert_eq!(session.editor.line(), "");
}

#[test]
fn a_line_that_is_too_long_beeps_and_keeps_what_it_has() {
    let mut session = Session::new(80);
    for _ in 0..512 {
        session.keys("x");
    }
    assert_eq!(session.terminal.bells, 0);
    session.keys("yä");
    assert_eq!(
        (session.editor.line().len(), session.terminal.bells),
        (512, 2)
    );
    session.keys("\x7fä");
    assert_eq!(session.terminal.bells, 3);
    session.keys("y\x01\x1b[C\x1b[C\x05\x1b[A\x1b[B");
    assert!(session.editor.line().ends_with("xy"));
    assert_eq!(session.keys("\r"), Event::Line);
}

#[test]
fn garbage_is_ignored_and_nothing_gets_stuck() {
    for garbage in [
        "\x1b[15~",
        "\x1b[200~",
        "\x1b[?25h",
        "\x1b[[A",
        "\x1bOP",
        "\x1b(B",
        "\x1b]0;title\x07",
        "\x1b]0;title\x1b\\",
        "\x1bPq#0\x1b\\",
        "\x1bx",
        "\x1b\x1b[Z",
        "\x1b[1;2;3;4;5;6Z",
        "\x1b[99999999999999999999z",
        "\0\x1c\x1d\x1e\x1f",
    ] {
        let mut session = Session::new(80);
        session.keys(&format!("a{garbage}b"));
        assert_eq!(session.editor.line(), "ab", "{garbage:?}");
    }
    for stuck in [
        "\x1b",
        "\x1b[",
        "\x1b[1;",
        "\x1bO",
        "\x1b]text",
        "\x1bP",
        "\x1b]x\x1b",
        "\x1b[",
    ] {
        let mut session = Session::new(80);
        assert_eq!(
            session.keys(&format!("a{stuck}\r")),
            Event::Line,
            "{stuck:?}"
        );
        assert_eq!(session.editor.line(), "a");
    }
    let mut session = Session::new(80);
    session
        .feed(b"a\xff\xfe\x80\xc3b\xe2\x82c\xf0\x9f\x98\xc3\xa4\xed\xa0\x80\xc2\x9bd\xf8\xc0\xaf");
    assert_eq!(session.editor.line(), "abcäd");
    session.keys(&format!("\x1b[{}e", "1;".repeat(16)));
    assert_eq!(session.editor.line(), "abcäd");
}

#[test]
fn long_lines_move_the_window() {
    let mut session = Session::new(40);
    let line: String = (0..200).map(|n| char::from(b'a' + n % 26)).collect();
    session.keys(&line);
    session.keys("\x01");
    assert_eq!(session.terminal.row(), format!("{PROMPT}{}", &line[..32]));
    session.keys("X\x05Y");
    assert_eq!(session.editor.line(), format!("X{line}Y"));
    for _ in 0..202 {
        session.keys("\x1b[D");
    }
    for _ in 0..202 {
        session.keys("\x1b[3~");
    }
    assert_eq!((session.editor.line(), session.terminal.bells), ("", 0));
    session.keys("日本語".repeat(30).as_str());
    session.keys("\x01\x1b[C\x1b[C-\x05\x08\x08");
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-z ]{1,6}".prop_map(String::into_bytes),
        2 => "[äß日😀\u{301}]".prop_map(String::into_bytes),
        8 => prop::sample::select(vec![
            "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f", "\x01", "\x05", "\x0b",
            "\x15", "\x17", "\x0c", "\x04", "\t", "\x1bOC", "\x1b[1;5D", "\x1b[1;5C",
        ]).prop_map(|keys| keys.as_bytes().to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\x03".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is typed, the terminal shows the line and the line stays clean.
    #[test]
    fn the_screen_always_shows_the_line(
        columns in prop::sample::select(vec![24usize, 30, 80]),
        keys in prop::collection::vec(key(), 1..80),
    ) {
        let mut session = Session::new(columns);
        for key in keys {
            for byte in key {
                if matches!(session.feed(&[byte]), Event::Line | Event::Interrupted) {
                    session.begin();
                    session.check();
                }
                prop_assert!(!session.editor.line().contains(char::is_control));
            }
        }
    }
}
