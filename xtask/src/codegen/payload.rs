//! Writes the parameters and results of methods, as values to send and as what is received.

use std::fmt::Write as _;

use super::emit::{get_data, lifetime, path, reader, set_data, value, value_type, write_field};
use super::model::{Kind, Method, Model, Struct, pascal};

/// How results are shaped, see `schema`'s documentation.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    Nothing,
    Plain,
    Caps,
    Content,
}

/// The shape of results.
pub fn shape(s: &Struct) -> Shape {
    if s.fields.is_empty() {
        Shape::Nothing
    } else if s.plain() {
        Shape::Plain
    } else if s.has_content() {
        Shape::Content
    } else {
        Shape::Caps
    }
}

/// The value struct for parameters gets a last field for transfers that the parameters count by index.
pub fn params_borrow(model: &Model, m: &Method) -> bool {
    m.extra_transfers || model.borrows(&m.params)
}

/// The client type of an interface, over `object`.
pub fn client_path(model: &Model, id: u64, object: &str) -> String {
    let at = &model.types[&id];
    format!("crate::{}::{}::Client<{object}>", at.file, at.module)
}

/// `impl Outgoing<K>` for a value struct.
fn outgoing(generics: &str, cap: &str, of: &str, s: &Struct, extra: bool) -> String {
    let mut out = format!(
        "impl{generics} stub::Outgoing<{cap}> for {of} {{\nconst PLAIN: bool = {};\n\
         const DATA_WORDS: u16 = {};\nconst POINTERS: u16 = {};\n",
        s.plain() && !extra,
        s.data_words,
        s.pointers
    );
    if s.plain() {
        out.push_str("#[inline]\nfn words(&self) -> stub::Words {\nlet mut words = [0; 4];\n");
        for f in &s.fields {
            let set = set_data(
                f,
                "stub::words::",
                "&mut words, ",
                &format!("self.{}", f.name),
            );
            let _ = writeln!(out, "{set};");
        }
        out.push_str("words\n}\n}\n");
        return out;
    }
    let caps = if s.caps().next().is_some() || extra {
        "caps"
    } else {
        "_"
    };
    let _ = writeln!(
        out,
        "fn encode(self, root: &mut stub::wire::StructWriter<'_, '_>, {caps}: &mut dyn FnMut({cap})) \
         -> Result<(), stub::wire::Full> {{"
    );
    for f in &s.fields {
        out.push_str(&write_field(f, "root", "self"));
    }
    for (index, f) in s.caps().enumerate() {
        let _ = writeln!(
            out,
            "root.set_cap({}, {index})?;\ncaps(self.{});",
            f.offset, f.name
        );
    }
    if extra {
        out.push_str("self.transfers.iter().copied().for_each(caps);\n");
    }
    out.push_str("Ok(())\n}\n}\n");
    out
}

fn from_words(model: &Model, s: &Struct) -> String {
    let mut out = format!(
        "impl {} {{\n/// Reads the data section.\n\
         pub fn from_words(words: &stub::Words) -> Result<Self, stub::Refusal> {{\nOk(Self {{\n",
        s.name
    );
    for f in &s.fields {
        let _ = writeln!(
            out,
            "{}: {},",
            f.name,
            get_data(model, f, "stub::words::", "words, ")
        );
    }
    out.push_str("})\n}\n}\n");
    out
}

/// The value struct for parameters.
pub fn params(model: &Model, m: &Method) -> String {
    let s = &m.params;
    if s.fields.is_empty() {
        return String::new();
    }
    let mut text = value(model, s);
    if m.extra_transfers {
        let end = text.rfind('}').unwrap_or(text.len());
        text.insert_str(end, "/// Capabilities that the other fields name by index.\npub transfers: &'a [stub::CapArg],\n");
        if !model.borrows(s) {
            text = text.replacen(
                &format!("pub struct {}", s.name),
                &format!("pub struct {}<'a>", s.name),
                1,
            );
        }
    }
    if s.caps().next().is_some() {
        // A capability has no default.
        text = text.replacen(" Default,", "", 1);
    }
    let a = if params_borrow(model, m) { "<'_>" } else { "" };
    text += &outgoing(
        "",
        "stub::CapArg",
        &format!("{}{a}", s.name),
        s,
        m.extra_transfers,
    );
    if s.plain() {
        text += &from_words(model, s);
    }
    text
}

/// The types for results, as they are sent and as they are received.
pub fn results(model: &Model, m: &Method) -> String {
    let s = &m.results;
    let name = pascal(&m.name);
    let reply = Struct {
        name: format!("{name}Reply"),
        ..s.clone()
    };
    match shape(s) {
        Shape::Nothing => String::new(),
        Shape::Plain => {
            value(model, s)
                + &outgoing("<K>", "K", &s.name, s, false)
                + &from_words(model, s)
                + &format!(
                    "/// The same, as a server sends it.\npub type {name}Reply = {};\n",
                    s.name
                )
        }
        Shape::Caps => {
            let mut out = format!(
                "\n/// As a server sends it.\n#[derive(Clone, Copy, Debug)]\npub struct {name}Reply<K> {{\n"
            );
            let mut received =
                format!("\n/// As a client gets it.\npub struct {name}Results<O> {{\n");
            for f in &s.fields {
                let (sent, got) = match f.kind {
                    Kind::Cap(id) => ("K".into(), client_path(model, id, "O")),
                    _ => (
                        value_type(model, &f.kind, "'a"),
                        value_type(model, &f.kind, "'a"),
                    ),
                };
                let _ = writeln!(out, "pub {}: {sent},", f.name);
                let _ = writeln!(received, "pub {}: {got},", f.name);
            }
            out + "}\n"
                + &outgoing("<K>", "K", &format!("{name}Reply<K>"), s, false)
                + &received
                + "}\n"
        }
        Shape::Content => {
            let of = reply.name.clone() + &lifetime(model, s, "'_");
            value(model, &reply)
                + &outgoing("<K>", "K", &of, s, false)
                + &reader(model, s, &s.name, false)
                + &fill(model, m)
        }
    }
}

/// A reply built in place, where it has a list.
fn fill(model: &Model, m: &Method) -> String {
    let s = &m.results;
    let lists = |k: &Kind| matches!(k, Kind::TextList | Kind::StructList(_));
    if !s.fields.iter().any(|f| lists(&f.kind)) {
        return String::new();
    }
    let name = pascal(&m.name);
    let writer = format!("{name}Writer");
    let call = format!("FnOnce(&mut {writer}<'_, '_, '_>) -> Result<(), stub::wire::Full>");
    let mut out = format!(
        "\n/// Writes the results in place.\n\
         pub struct {writer}<'r, 'w, 'b>(&'r mut stub::wire::StructWriter<'w, 'b>);\nimpl<'b> {writer}<'_, '_, 'b> {{\n"
    );
    for f in &s.fields {
        let at = f.offset;
        let full = "Result<(), stub::wire::Full>";
        let _ = match f.kind {
            Kind::StructList(id) => {
                let inner = &model.structs[&id];
                let item = path(model, id, "");
                let item = item + &lifetime(model, inner, "'static");
                writeln!(
                    out,
                    "pub fn {}(&mut self, capacity: usize, fill: impl FnOnce(&mut \
                     stub::wire::ListWriter<'_, 'b, {item}>) -> {full}) -> {full} {{\n\
                     self.0.fill_list({at}, capacity, fill)\n}}",
                    f.name
                )
            }
            Kind::TextList => writeln!(
                out,
                "pub fn {}(&mut self, capacity: usize, fill: impl FnOnce(&mut \
                 stub::wire::TextListWriter<'_, 'b>) -> {full}) -> {full} {{\n\
                 self.0.fill_text_list({at}, capacity, fill)\n}}",
                f.name
            ),
            ref kind if kind.is_data() => writeln!(
                out,
                "pub fn {}(&mut self, value: {}) {{\n{}\n}}",
                f.name,
                value_type(model, kind, "'_"),
                set_data(f, "self.0.", "", "value")
            ),
            ref kind => {
                let of = value_type(model, kind, "'_");
                let set = write_field(f, "self.0", "VALUE")
                    .replace(&format!("VALUE.{}", f.name), "value");
                writeln!(
                    out,
                    "pub fn {}(&mut self, value: {of}) -> {full} {{\n{set}Ok(())\n}}",
                    f.name
                )
            }
        };
    }
    let _ = write!(
        out,
        "}}\n/// Results made by a closure.\npub struct {name}Fill<F>(F);\n\
         /// Makes results with a closure that writes them in place, for `Reply::send_with`.\n\
         pub fn fill_{plain}<F: {call}>(fill: F) -> {name}Fill<F> {{\n{name}Fill(fill)\n}}\n\
         impl<F> stub::Fills<call::{name}> for {name}Fill<F> {{}}\n\
         impl<K, F: {call}> stub::Outgoing<K> for {name}Fill<F> {{\n\
         const PLAIN: bool = false;\nconst DATA_WORDS: u16 = {};\nconst POINTERS: u16 = {};\n\
         fn encode(self, root: &mut stub::wire::StructWriter<'_, '_>, _: &mut dyn FnMut(K)) \
         -> Result<(), stub::wire::Full> {{\nself.0(&mut {writer}(root))\n}}\n}}\n",
        s.data_words,
        s.pointers,
        plain = m.name,
    );
    out
}
