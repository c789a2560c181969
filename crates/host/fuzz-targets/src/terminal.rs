//! What somebody types, and what files show.

use line_editor::{Event, LineEditor};
use shell_lang::complete::{complete, target};
use shell_lang::text::{FilterMode, TextFilter};
use shell_lang::words::split;
use shell_lang::{Path, parse};

/// The input is bytes from a terminal.
pub fn line_editor(data: &[u8]) -> bool {
    let mut editor: LineEditor<128, 4> = LineEditor::new();
    let mut shown = 0usize;
    let mut sink = |bytes: &[u8]| shown += bytes.len();
    editor.begin("> ", &mut sink);
    for byte in data {
        match editor.feed(*byte, &mut sink) {
            Event::Line | Event::Interrupted => {
                assert!(editor.line().chars().all(|c| !c.is_control()));
                editor.begin("> ", &mut sink);
            }
            Event::Complete => {
                editor.insert("word ", &mut sink);
            }
            Event::EndOfInput | Event::Pending => {}
        }
        assert!(editor.line().len() <= 128 && editor.cursor() <= editor.line().len());
        assert!(editor.line().is_char_boundary(editor.cursor()));
    }
    assert!(shown < 4096 + data.len() * 4096);
    true
}

/// The input is a line, and a file's contents.
pub fn shell(data: &[u8]) -> bool {
    let line = String::from_utf8_lossy(data);
    let taken = parse(&line).is_ok();
    let words = split(&line).unwrap_or_default();
    let names = ["cat", "a b", "Größe", "x'y"].map(String::from);
    let _ = complete(&target(&line), names.into_iter());
    let mut path = Path::default();
    for word in &words {
        path = path.resolve(word);
        let _ = (path.split_disk(), path.name().is_some(), path.parent());
    }
    let mut filter = TextFilter::new(FilterMode::Text);
    let mut shown = Vec::new();
    for chunk in data.chunks(7) {
        let _ = filter.write(chunk, |piece| {
            shown.extend_from_slice(piece);
            Ok::<(), ()>(())
        });
    }
    let _ = filter.finish(|piece| {
        shown.extend_from_slice(piece);
        Ok::<(), ()>(())
    });
    let text = core::str::from_utf8(&shown).expect("what is shown is text");
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{9b}'),
        "nothing commands the terminal"
    );
    taken
}
