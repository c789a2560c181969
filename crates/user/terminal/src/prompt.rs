//! Reading a line that a person edits.

use line_editor::{Event, LineEditor};
use sdk::{
    Refusal,
    alloc::{
        boxed::Box,
        format,
        string::{String, ToString},
        vec::Vec,
    },
};
use shell_lang::{complete::Action, text::Safe};

use crate::Terminal;

/// Choices of a completion that are shown.
const MOST_CHOICES: usize = 50;

/// What a person gave.
pub enum Input {
    /// A line.
    Line(String),
    /// A line of which something is missing, because it was longer than the editor holds.
    Cut,
    /// Ctrl-D on an empty line.
    End,
    /// There will be no more input.
    Lost(Refusal),
}

/// A prompt, and an editor for lines of at most `LINE` bytes that remembers the last `HISTORY` of them.
pub struct Prompt<const LINE: usize, const HISTORY: usize> {
    text: &'static str,
    /// On the heap: with its history it is larger than a stack frame should be.
    editor: Box<LineEditor<LINE, HISTORY>>,
}

impl<const LINE: usize, const HISTORY: usize> Prompt<LINE, HISTORY> {
    /// Makes a prompt that reads `text`.
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            editor: Box::new(LineEditor::new()),
        }
    }

    /// Bytes of a line, at most.
    pub const fn line_bytes(&self) -> usize {
        LINE
    }

    /// Remembers a line as if it had been entered, unless it is one that cannot be typed.
    pub fn remember(&mut self, line: &str) {
        self.editor.remember(line);
    }

    /// A line that was entered or remembered, by its age: 1 is the latest.
    pub fn remembered(&self, age: usize) -> Option<&str> {
        self.editor.history(age)
    }

    /// Shows the prompt and reads a line. `complete` says what the text before the cursor may become.
    pub fn read(
        &mut self,
        terminal: &mut Terminal,
        complete: &mut dyn FnMut(&str) -> Action,
    ) -> Input {
        self.edit(terminal, complete).unwrap_or_else(Input::Lost)
    }

    fn edit(
        &mut self,
        terminal: &mut Terminal,
        complete: &mut dyn FnMut(&str) -> Action,
    ) -> Result<Input, Refusal> {
        let Self { text, editor } = self;
        let mut echo: Vec<u8> = Vec::new();
        let mut columns = terminal.size().columns;
        editor.set_columns(columns);
        editor.begin(text, &mut |bytes: &[u8]| echo.extend_from_slice(bytes));
        loop {
            terminal.write(&echo)?;
            echo.clear();
            let byte = terminal.read()?;
            let mut sink = |bytes: &[u8]| echo.extend_from_slice(bytes);
            if terminal.size().columns != columns {
                columns = terminal.size().columns;
                editor.set_columns(columns);
                editor.redraw(&mut sink);
            }
            match editor.feed(byte, &mut sink) {
                Event::Pending => {}
                Event::Complete => {
                    let before = editor.line().get(..editor.cursor()).unwrap_or_default();
                    match complete(before) {
                        Action::Beep => editor.beep(&mut sink),
                        Action::Insert(text) => {
                            editor.insert(&text, &mut sink);
                        }
                        Action::Choose(names) => {
                            sink(choices(&names).as_bytes());
                            editor.redraw(&mut sink);
                        }
                    }
                }
                Event::Interrupted => editor.begin(text, &mut sink),
                Event::Line => {
                    // Before the command's services say something of their own on the same line.
                    terminal.write(&echo)?;
                    terminal.flush()?;
                    return Ok(if editor.is_cut() {
                        Input::Cut
                    } else {
                        Input::Line(editor.line().to_string())
                    });
                }
                Event::EndOfInput => {
                    terminal.write(b"\r\n")?;
                    terminal.flush()?;
                    return Ok(Input::End);
                }
            }
        }
    }
}

fn choices(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(MOST_CHOICES)
        .map(|n| Safe(n).to_string())
        .collect();
    let more = if names.len() > MOST_CHOICES {
        "  ..."
    } else {
        ""
    };
    format!("\r\n{}{more}\r\n", shown.join("  "))
}
