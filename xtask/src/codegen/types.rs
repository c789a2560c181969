//! How a field and its type are written.

use super::model::{Field, Kind, Model, Struct};
use super::rows::Rows;

/// A reader with one getter per field.
pub fn reader(rows: &mut Rows, model: &Model, s: &Struct, name: &str) {
    let (plain, fallible): (Vec<&Field>, Vec<&Field>) = s
        .fields
        .iter()
        .partition(|f| matches!(f.kind, Kind::Bool | Kind::Int(_)));
    let row = |rows: &mut Rows, f: &Field| {
        rows.line(format!("{};", field(f, &reader_type(model, &f.kind, "'m"))));
    };
    rows.block("stub::reader! {", "}", |rows| {
        rows.line("/// Read from a message in place.");
        rows.line(format!("pub struct {name} {{"));
        rows.indented(|rows| plain.iter().for_each(|f| row(rows, f)));
        rows.line("} try {");
        rows.indented(|rows| fallible.iter().for_each(|f| row(rows, f)));
        rows.line("}");
    });
}

/// `3 words, 1 pointers`: the sections of a struct.
pub fn sizes(s: &Struct) -> String {
    format!("{} words, {} pointers", s.data_words, s.pointers)
}

/// `name: Type = place`, with the default that the schema gives.
pub fn field(f: &Field, of: &str) -> String {
    format!("{}: {of} = {}{}", f.name, f.offset, default(f))
}

/// The default that the schema gives, as it stands behind a place.
pub fn default(f: &Field) -> String {
    if f.default == 0 {
        return String::new();
    }
    let bits = f.default;
    let value = match f.kind {
        Kind::Bool => "true".to_owned(),
        Kind::Int("i8") => (bits as i8).to_string(),
        Kind::Int("i16") => (bits as i16).to_string(),
        Kind::Int("i32") => (bits as i32).to_string(),
        Kind::Int("i64") => (bits as i64).to_string(),
        _ => bits.to_string(),
    };
    format!(", default {value}")
}

/// The path of a type, with `suffix` behind its name.
pub fn path(model: &Model, id: u64, suffix: &str) -> String {
    let at = &model.types[&id];
    format!("crate::{}::{}::{}{suffix}", at.file, at.module, at.name)
}

/// `<'a>` where the struct's value type borrows.
pub fn lifetime(model: &Model, s: &Struct, lifetime: &str) -> String {
    if model.borrows(s) {
        format!("<{lifetime}>")
    } else {
        String::new()
    }
}

/// The Rust type of a field in a value struct, with borrowed parts living for `a`.
pub fn value_type(model: &Model, kind: &Kind, a: &str) -> String {
    let a_space = if a.is_empty() {
        String::new()
    } else {
        format!("{a} ")
    };
    let of = if a.is_empty() { "'_" } else { a };
    match kind {
        Kind::Bool => "bool".into(),
        Kind::Int(t) => (*t).into(),
        Kind::Enum(id) => path(model, *id, ""),
        Kind::Refusal => "Option<stub::Refusal>".into(),
        Kind::Text => format!("&{a_space}str"),
        Kind::Data => format!("&{a_space}[u8]"),
        Kind::TextList => format!("&{a_space}[&{a_space}str]"),
        Kind::Numbers(of) => format!("&{a_space}[{of}]"),
        Kind::Struct(id) => path(model, *id, "") + &lifetime(model, &model.structs[id], of),
        Kind::StructList(id) => {
            let inner = lifetime(model, &model.structs[id], of);
            format!("&{a_space}[{}{inner}]", path(model, *id, ""))
        }
        Kind::Cap(_) => "stub::CapArg".into(),
    }
}

/// The Rust type of a field as it is read from a message living for `m`, or for an unnamed time.
pub fn reader_type(model: &Model, kind: &Kind, m: &str) -> String {
    let of = if m.is_empty() { "'_" } else { m };
    match kind {
        Kind::TextList => format!("stub::read::TextList<{of}>"),
        Kind::Numbers(number) => format!("stub::read::Numbers<{of}, {number}>"),
        Kind::Struct(id) => format!("{}<{of}>", path(model, *id, "Reader")),
        Kind::StructList(id) => {
            let reader = path(model, *id, "Reader");
            format!("stub::read::List<{of}, {reader}<{of}>>")
        }
        other => value_type(model, other, m),
    }
}
