//! Writes the methods of an interface: their types, the client, the server trait and its dispatch.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::comments::Comments;
use super::model::{Interface, Kind, Method, Model, pascal};
use super::payload::{Shape, params, params_borrow, results, shape};
use super::rows::Rows;
use super::types::{lifetime, reader_type, value_type};

/// What every client has.
const CLIENT_FUNCTIONS: [&str; 7] = [
    "with_deadline",
    "retrying",
    "cap",
    "into_cap",
    "from_object",
    "object",
    "into_object",
];

/// Refuses names that would meet in the generated module.
pub fn check_names(model: &Model, interface: &Interface) -> Result<()> {
    let mut names = HashSet::new();
    let enums = interface.enums.iter().map(|e| e.name.clone());
    let structs = interface
        .structs
        .iter()
        .map(|id| model.structs[id].name.clone());
    for name in enums.chain(structs) {
        ensure!(
            !["Client", "Server"].contains(&name.as_str()) && names.insert(name.clone()),
            "{}.{name}: this name is taken",
            interface.name
        );
    }
    for method in &interface.methods {
        ensure!(
            !CLIENT_FUNCTIONS.contains(&method.name.as_str()),
            "{}.{}: clients have a function of this name",
            interface.name,
            method.name
        );
        for suffix in ["Params", "Results", "Reply", "Fill", "Writer"] {
            let name = pascal(&method.name) + suffix;
            ensure!(
                names.insert(name.clone()),
                "{}: {name} is taken",
                interface.name
            );
        }
    }
    Ok(())
}

/// Everything for the methods of `interface`.
pub fn all(rows: &mut Rows, model: &Model, interface: &Interface, comments: &Comments) {
    if interface.methods.is_empty() {
        return;
    }
    rows.gap();
    rows.block("stub::methods! {", "}", |rows| {
        rows.line(format!("\"{}\";", interface.name));
        for m in &interface.methods {
            rows.line(call(model, m));
        }
    });
    for m in &interface.methods {
        rows.gap();
        params(rows, model, m);
        results(rows, model, m);
    }
    rows.gap();
    rows.block("impl<O: stub::Object> Client<O> {", "}", |rows| {
        for m in &interface.methods {
            rows.doc(&comments.note(&format!("{}.{}", interface.name, m.schema_name)));
            client(rows, model, m);
        }
    });
    rows.gap();
    rows.line("/// Serves the interface. Each method owes its reply an answer.");
    rows.block("pub trait Server<C: stub::Incoming> {", "}", |rows| {
        for m in &interface.methods {
            server(rows, model, m);
        }
    });
    rows.gap();
    dispatch(rows, interface);
}

/// The row of a method: its type and number, and what travels both ways.
fn call(model: &Model, m: &Method) -> String {
    let name = pascal(&m.name);
    let params = match (m.params.fields.is_empty(), params_borrow(model, m)) {
        (true, false) => "()".into(),
        (_, true) => format!("{name}Params<'a>"),
        (false, false) => format!("{name}Params"),
    };
    let (reply, results) = match shape(&m.results) {
        Shape::Nothing => ("()".into(), "()".into()),
        Shape::Plain => (format!("{name}Results"), format!("{name}Results")),
        Shape::Caps => (format!("{name}Reply<K>"), format!("{name}Results<O>")),
        Shape::Content => (
            format!("{name}Reply{}", lifetime(model, &m.results, "'a")),
            format!("in place {name}Results<'m>"),
        ),
    };
    let bytes = match shape(&m.results) {
        Shape::Nothing | Shape::Plain => "0".to_owned(),
        Shape::Content => "u32::MAX".to_owned(),
        Shape::Caps => {
            let words = 1 + usize::from(m.results.data_words) + usize::from(m.results.pointers);
            ((words + m.results.caps().count()) * 8).to_string()
        }
    };
    format!(
        "{name} {} = {} \"{}\" {}, reply {bytes}, ({params}) -> ({reply}, {results});",
        m.name.to_uppercase(),
        m.ordinal,
        m.name,
        if m.idempotent { "idempotent" } else { "once" },
    )
}

/// The client's function.
fn client(rows: &mut Rows, model: &Model, m: &Method) {
    let name = pascal(&m.name);
    let mut arguments = String::new();
    let mut fields: Vec<String> = Vec::new();
    for f in &m.params.fields {
        match &f.kind {
            // A large struct is lent.
            Kind::Struct(_) => {
                let of = value_type(model, &f.kind, "");
                arguments.push_str(&format!(", {}: &{of}", f.name));
                fields.push(format!("{0}: *{0}", f.name));
            }
            kind => {
                let of = value_type(model, kind, "");
                arguments.push_str(&format!(", {}: {of}", f.name));
                fields.push(f.name.clone());
            }
        }
    }
    if m.extra_transfers {
        arguments.push_str(", transfers: &[stub::CapArg]");
        fields.push("transfers".into());
    }
    let params = if fields.is_empty() {
        "()".into()
    } else {
        format!("{name}Params {{ {} }}", fields.join(", "))
    };
    let function = &m.name;
    let (generics, given, last) = match shape(&m.results) {
        Shape::Nothing => ("", "()".to_owned(), "|()| ()"),
        Shape::Plain => ("", format!("{name}Results"), "|results| results"),
        Shape::Caps => ("", format!("{name}Results<O::Owned>"), "|results| results"),
        Shape::Content => {
            arguments.push_str(&format!(", read: impl FnOnce({name}Results<'_>) -> R"));
            ("<R>", "R".to_owned(), "read")
        }
    };
    rows.block(
        format!(
            "pub fn {function}{generics}(&self{arguments}) -> Result<{given}, stub::Refusal> {{"
        ),
        "}",
        |rows| {
            rows.line(format!(
                "self.0.invoke::<call::{name}, _>({params}, {last})"
            ))
        },
    );
}

/// The server's function.
fn server(rows: &mut Rows, model: &Model, m: &Method) {
    let arguments: String = m
        .params
        .fields
        .iter()
        .map(|f| match f.kind {
            Kind::Cap(_) => format!(", {}: C::Cap", f.name),
            ref kind => format!(", {}: {}", f.name, reader_type(model, kind, "")),
        })
        .collect();
    rows.line(format!(
        "fn {}(&mut self, reply: stub::Reply<C, call::{}>{arguments}) -> stub::Answered;",
        m.name,
        pascal(&m.name)
    ));
}

fn dispatch(rows: &mut Rows, interface: &Interface) {
    rows.line("/// Decodes a call and gives it to the method of `server` that it names.");
    rows.line("pub fn dispatch<C: stub::Incoming, S: Server<C> + ?Sized>(");
    rows.indented(|rows| {
        rows.line("server: &mut S,");
        rows.line("received: stub::Received<'_>,");
        rows.line("call: C,");
    });
    rows.block(") -> stub::Answered {", "}", |rows| {
        rows.block("match received.method {", "}", |rows| {
            for m in &interface.methods {
                let upper = m.name.to_uppercase();
                rows.line(format!("method::{upper} => {},", arm(m)));
            }
            rows.line("_ => stub::refuse(call, stub::Refusal::NoSuchMethod),");
        });
    });
}

fn arm(m: &Method) -> String {
    let head = format!("stub::serve!(server.{}(received.payload, call)", m.name);
    let names = m.params.fields.iter().map(|f| f.name.as_str());
    if m.params.fields.is_empty() {
        return format!("server.{}(stub::Reply::new(call))", m.name);
    }
    if m.params.plain() {
        let names: Vec<&str> = names.collect();
        return format!("{head} plain {} {{ {} }})", m.params.name, names.join(", "));
    }
    let fields = m.params.fields.iter().map(|f| {
        let kind = if f.kind.is_cap() { "cap" } else { "field" };
        format!("{kind} {} = {}", f.name, f.offset)
    });
    let fields: Vec<String> = fields.collect();
    format!("{head} message {{ {} }})", fields.join(", "))
}
