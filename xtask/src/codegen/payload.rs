//! Writes the parameters and results of methods: as values to send, and as what is received.

use super::model::{Field, Kind, Method, Model, Struct, pascal};
use super::rows::Rows;
use super::types::{field, lifetime, path, reader, sizes, value_type};

/// How results are shaped, see `schema`'s documentation.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// There are none.
    Nothing,
    /// Four words at most.
    Plain,
    /// Capabilities, with data beside them.
    Caps,
    /// Texts, bytes, structs or lists, read in place.
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

/// The value struct for parameters borrows something: what its fields hold, or transfers that they name by index.
pub fn params_borrow(model: &Model, m: &Method) -> bool {
    m.extra_transfers || model.borrows(&m.params)
}

/// The value struct for parameters.
pub fn params(rows: &mut Rows, model: &Model, m: &Method) {
    let s = &m.params;
    if s.fields.is_empty() {
        return;
    }
    if s.plain() && !m.extra_transfers {
        return plain(rows, model, s);
    }
    let a = if params_borrow(model, m) { "<'a>" } else { "" };
    rows.block("stub::params! {", "}", |rows| {
        let head = format!("pub struct {}{a}: {} {{", s.name, sizes(s));
        rows.block(head, "}", |rows| values(rows, model, s));
        if s.caps().next().is_some() {
            rows.block("caps {", "}", |rows| {
                for (index, f) in s.caps().enumerate() {
                    rows.line(format!("{} = {index} at {};", f.name, f.offset));
                }
            });
        }
        if m.extra_transfers {
            rows.line("transfers transfers;");
        }
    });
}

fn plain(rows: &mut Rows, model: &Model, s: &Struct) {
    rows.block("stub::plain! {", "}", |rows| {
        let head = format!("pub struct {}: {} words {{", s.name, s.data_words);
        rows.block(head, "}", |rows| values(rows, model, s));
    });
}

fn values(rows: &mut Rows, model: &Model, s: &Struct) {
    for f in s.fields.iter().filter(|f| !f.kind.is_cap()) {
        rows.line(format!("{};", field(f, &value_type(model, &f.kind, "'a"))));
    }
}

/// The types for results, as they are sent and as they are received.
pub fn results(rows: &mut Rows, model: &Model, m: &Method) {
    let s = &m.results;
    let name = pascal(&m.name);
    match shape(s) {
        Shape::Nothing => {}
        Shape::Plain => {
            plain(rows, model, s);
            rows.line("/// The same, as a server sends it.");
            rows.line(format!("pub type {name}Reply = {};", s.name));
        }
        Shape::Caps => rows.block("stub::caps! {", "}", |rows| {
            let head = format!("pub struct {name}Reply, {}: {} {{", s.name, sizes(s));
            rows.line("/// As a client gets it.");
            rows.line(head);
            rows.indented(|rows| values(rows, model, s));
            rows.line("} caps {");
            rows.indented(|rows| caps(rows, model, s));
            rows.line("}");
        }),
        Shape::Content => {
            let a = lifetime(model, s, "'a");
            rows.block("stub::reply! {", "}", |rows| {
                rows.line("/// As a server sends it.");
                let head = format!("pub struct {name}Reply{a}: {} {{", sizes(s));
                rows.block(head, "}", |rows| values(rows, model, s));
            });
            reader(rows, model, s, &s.name);
            fill(rows, model, m);
        }
    }
}

fn caps(rows: &mut Rows, model: &Model, s: &Struct) {
    for (index, f) in s.caps().enumerate() {
        let Kind::Cap(id) = f.kind else { continue };
        let at = &model.types[&id];
        let client = format!("crate::{}::{}::Client<O>", at.file, at.module);
        rows.line(format!("{}: {client} = {index} at {};", f.name, f.offset));
    }
}

/// A reply built in place, where it has a list.
fn fill(rows: &mut Rows, model: &Model, m: &Method) {
    let s = &m.results;
    let is_list = |f: &&Field| matches!(f.kind, Kind::TextList | Kind::StructList(_));
    if !s.fields.iter().any(|f| is_list(&f)) {
        return;
    }
    let name = pascal(&m.name);
    let head = format!(
        "{name}Writer, {name}Fill, fill_{} for {name}: {} {{",
        m.name,
        sizes(s)
    );
    rows.block("stub::fill! {", "}", |rows| {
        rows.block(head, "}", |rows| {
            // In the order in which the macro takes them.
            let mut sorted: [Vec<String>; 4] = Default::default();
            for f in &s.fields {
                let (group, row) = match f.kind {
                    Kind::StructList(id) => {
                        let inner = lifetime(model, &model.structs[&id], "'static");
                        let item = path(model, id, "") + &inner;
                        (0, format!("list {}: {item} = {};", f.name, f.offset))
                    }
                    Kind::TextList => (1, format!("texts {} = {};", f.name, f.offset)),
                    ref kind => {
                        let group = if kind.is_data() { 2 } else { 3 };
                        let word = if kind.is_data() { "scalar" } else { "field" };
                        let of = value_type(model, kind, "");
                        (group, format!("{word} {};", field(f, &of)))
                    }
                };
                sorted[group].push(row);
            }
            sorted.iter().flatten().for_each(|row| rows.line(row));
        });
    });
}
