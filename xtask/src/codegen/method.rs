//! Writes the methods of an interface: their types, the client, the server trait and its dispatch.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::emit::{lifetime, read_field, reader_type, value_type};
use super::model::{Interface, Kind, Method, Model, pascal};
use super::payload::{Shape, params, params_borrow, results, shape};

/// Everything for the methods of `interface`.
pub fn all(model: &Model, interface: &Interface) -> Result<String> {
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
            ![
                "with_deadline",
                "retrying",
                "cap",
                "into_cap",
                "from_object",
                "object",
                "into_object"
            ]
            .contains(&method.name.as_str()),
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
    let mut out = String::new();
    if !interface.methods.is_empty() {
        out.push_str("\n/// Method numbers.\npub mod method {\n");
        for m in &interface.methods {
            let _ = writeln!(
                out,
                "pub const {}: u16 = {};",
                m.name.to_uppercase(),
                m.ordinal
            );
        }
        out.push_str("}\n\n/// One type per method.\npub mod call {\n");
        for m in &interface.methods {
            out.push_str(&marker(model, interface, m));
        }
        out.push_str("}\n");
    }
    for m in &interface.methods {
        out.push_str(&params(model, m));
        out.push_str(&results(model, m));
    }
    out.push_str(&client(model, interface));
    if !interface.methods.is_empty() {
        out.push_str(&server(model, interface));
    }
    Ok(out)
}
fn marker(model: &Model, interface: &Interface, m: &Method) -> String {
    let name = pascal(&m.name);
    let params = match (m.params.fields.is_empty(), params_borrow(model, m)) {
        (true, false) => "()".into(),
        (_, true) => format!("super::{name}Params<'a>"),
        (false, false) => format!("super::{name}Params"),
    };
    let (reply, results, read) = match shape(&m.results) {
        Shape::Nothing => ("()".into(), "()".into(), "Ok(read(()))".into()),
        Shape::Plain => (
            format!("super::{name}Results"),
            format!("super::{name}Results"),
            format!("Ok(read(super::{name}Results::from_words(&answer.payload().words()?)?))"),
        ),
        Shape::Caps => {
            let mut read = format!("let results = super::{name}Results {{\n");
            for f in &m.results.fields {
                let value = match f.kind {
                    Kind::Cap(_) => format!(
                        "stub::Interface::from_object(answer.take_cap({})?)",
                        f.offset
                    ),
                    _ => format!(
                        "answer.read(|fields| Ok({}))?",
                        read_field(model, f, "fields")
                    ),
                };
                let _ = writeln!(read, "{}: {value},", f.name);
            }
            read.push_str("};\nOk(read(results))");
            (
                format!("super::{name}Reply<K>"),
                format!("super::{name}Results<O>"),
                read,
            )
        }
        Shape::Content => (
            format!("super::{name}Reply{}", lifetime(model, &m.results, "'a")),
            format!("super::{name}Results<'m>"),
            "answer.read(|fields| Ok(read(fields.into())))".into(),
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
    let unused = match shape(&m.results) {
        Shape::Nothing => "_",
        _ => "",
    };
    format!(
        "/// `{iface}.{plain}`.\npub struct {name};\nimpl stub::Method for {name} {{\n\
         const INTERFACE_ID: u64 = super::INTERFACE_ID;\n\
         const ORDINAL: u16 = super::method::{upper};\n\
         const NAME: &'static str = \"{iface}.{plain}\";\n\
         const IDEMPOTENT: bool = {idempotent};\n\
         const REPLY_BYTES: u32 = {bytes};\n\
         type Params<'a> = {params};\n\
         type Reply<'a, K> = {reply};\n\
         type Results<'m, O: stub::Object> = {results};\n\
         fn read<O: stub::Object, R>({unused}answer: &mut stub::Answer<'_, '_, O>, \
         read: impl FnOnce(Self::Results<'_, O>) -> R) -> Result<R, stub::Refusal> {{\n{read}\n}}\n}}\n",
        iface = interface.name,
        plain = m.name,
        upper = m.name.to_uppercase(),
        idempotent = m.idempotent,
    )
}
fn client(model: &Model, interface: &Interface) -> String {
    let mut out = String::from(
        "\n/// Calls the interface on an object.\n#[derive(Clone, Copy, Debug)]\npub struct Client<O>(O);\n\
         impl<O> stub::Interface<O> for Client<O> {\n\
         const INTERFACE_ID: u64 = INTERFACE_ID;\nconst NAME: &'static str = NAME;\n\
         fn from_object(object: O) -> Self {\nSelf(object)\n}\n\
         fn object(&self) -> &O {\n&self.0\n}\n\
         fn into_object(self) -> O {\nself.0\n}\n}\n\
         impl<O: stub::Object> From<&Client<O>> for stub::CapArg {\n\
         fn from(client: &Client<O>) -> Self {\nclient.cap()\n}\n}\n\
         impl<O: stub::Object> Client<O> {\n\
         /// The same object, each call ending by the absolute time `deadline_ns`.\n\
         pub fn with_deadline(&self, deadline_ns: u64) -> Client<stub::Deadline<'_, O>> {\n\
         Client(stub::Deadline::new(&self.0, deadline_ns))\n}\n\
         /// The same object; idempotent methods are called again when the server died.\n\
         pub fn retrying(&self) -> Client<stub::Retry<'_, O>> {\nClient(stub::Retry::new(&self.0))\n}\n\
         /// Sends a copy of this capability.\n\
         pub fn cap(&self) -> stub::CapArg {\nstub::CapArg::copy(self.0.handle())\n}\n\
         /// Gives this capability away.\n\
         pub fn into_cap(self) -> stub::CapArg {\nstub::CapArg::moved(self.0.into_handle())\n}\n",
    );
    for m in &interface.methods {
        let name = pascal(&m.name);
        let mut arguments = String::new();
        let mut fields = String::new();
        for f in &m.params.fields {
            let _ = match &f.kind {
                Kind::Struct(_) => {
                    let of = value_type(model, &f.kind, "'_");
                    let _ = write!(fields, "{0}: *{0}, ", f.name);
                    write!(arguments, "{}: &{of}, ", f.name)
                }
                kind => {
                    let _ = write!(fields, "{}, ", f.name);
                    write!(arguments, "{}: {}, ", f.name, value_type(model, kind, "'_"))
                }
            };
        }
        if m.extra_transfers {
            arguments.push_str("transfers: &[stub::CapArg], ");
            fields.push_str("transfers, ");
        }
        let arguments = arguments.replace("&'_ ", "&");
        let params = if fields.is_empty() {
            "()".into()
        } else {
            format!("{name}Params {{ {fields} }}")
        };
        let call = format!("self.0.invoke::<call::{name}, _>({params}, ");
        let _ = match shape(&m.results) {
            Shape::Nothing => writeln!(
                out,
                "pub fn {}(&self, {arguments}) -> Result<(), stub::Refusal> {{\n{call}|()| ())\n}}",
                m.name
            ),
            Shape::Plain | Shape::Caps => {
                let o = if shape(&m.results) == Shape::Caps {
                    "<O::Owned>"
                } else {
                    ""
                };
                writeln!(
                    out,
                    "pub fn {}(&self, {arguments}) -> Result<{name}Results{o}, stub::Refusal> {{\n\
                     {call}|results| results)\n}}",
                    m.name
                )
            }
            Shape::Content => writeln!(
                out,
                "pub fn {}<R>(&self, {arguments}read: impl FnOnce({name}Results<'_>) -> R) \
                 -> Result<R, stub::Refusal> {{\n{call}read)\n}}",
                m.name
            ),
        };
    }
    out.push_str("}\n");
    out
}

fn server(model: &Model, interface: &Interface) -> String {
    let mut out = String::from(
        "\n/// Serves the interface. Each method owes its reply an answer.\npub trait Server<C: stub::Incoming> {\n",
    );
    for m in &interface.methods {
        let mut arguments = String::new();
        for f in &m.params.fields {
            let of = match f.kind {
                Kind::Cap(_) => "C::Cap".into(),
                ref kind => reader_type(model, kind, "'_").replace("&'_ ", "&"),
            };
            let _ = write!(arguments, "{}: {of}, ", f.name);
        }
        let _ = writeln!(
            out,
            "fn {}(&mut self, reply: stub::Reply<C, call::{}>, {arguments}) -> stub::Answered;",
            m.name,
            pascal(&m.name)
        );
    }
    out.push_str(
        "}\n\n/// Decodes a call and gives it to the method of `server` that it names.\n\
         pub fn dispatch<C: stub::Incoming, S: Server<C> + ?Sized>(server: &mut S, received: stub::Received<'_>, \
         call: C) -> stub::Answered {\nmatch received.method {\n",
    );
    let mut functions = String::new();
    for m in &interface.methods {
        let upper = m.name.to_uppercase();
        if m.params.fields.is_empty() {
            let _ = writeln!(
                out,
                "method::{upper} => server.{}(stub::Reply::new(call)),",
                m.name
            );
        } else {
            let _ = writeln!(
                out,
                "method::{upper} => serve_{}(server, received.payload, call),",
                m.name
            );
            functions.push_str(&serve(model, m));
        }
    }
    out.push_str("_ => stub::refuse(call, stub::Refusal::NoSuchMethod),\n}\n}\n");
    out + &functions
}

fn serve(model: &Model, m: &Method) -> String {
    let s = &m.params;
    let head = format!(
        "\nfn serve_{}<C: stub::Incoming, S: Server<C> + ?Sized>(server: &mut S, payload: stub::Payload<'_>, ",
        m.name
    );
    let mut arguments = String::new();
    if s.plain() {
        for f in &s.fields {
            let _ = write!(arguments, ", params.{}", f.name);
        }
        return format!(
            "{head}call: C) -> stub::Answered {{\n\
             match payload.words().and_then(|words| {name}::from_words(&words)) {{\n\
             Ok(params) => server.{method}(stub::Reply::new(call){arguments}),\n\
             Err(refusal) => stub::refuse(call, refusal),\n}}\n}}\n",
            name = s.name,
            method = m.name,
        );
    }
    let mut reads = String::new();
    for f in &s.fields {
        let read = match f.kind {
            Kind::Cap(_) => format!("stub::take_cap(&mut call, segment[0], {})?", f.offset),
            _ => read_field(model, f, "root"),
        };
        let _ = write!(reads, "{read}, ");
        let _ = write!(arguments, ", {}", f.name);
    }
    let names = arguments.trim_start_matches(", ");
    let (call, needs_root) = (
        if s.caps().next().is_some() {
            "mut call"
        } else {
            "call"
        },
        s.fields.iter().any(|f| !f.kind.is_cap()),
    );
    let root = if needs_root {
        "let root = message.root()?;\n"
    } else {
        ""
    };
    let open = if needs_root {
        "let message = stub::read::Message::new(&segment);\n"
    } else {
        ""
    };
    format!(
        "{head}{call}: C) -> stub::Answered {{\n\
         let stub::Payload::Message(segment) = payload else {{\n\
         return stub::refuse(call, stub::Refusal::BadMessage);\n}};\n\
         let segment = [segment];\n{open}\
         let params = (|| {{\n{root}Ok(({reads}))\n}})();\n\
         match params {{\n\
         Ok(({names},)) => server.{method}(stub::Reply::new(call){arguments}),\n\
         Err(refusal) => stub::refuse(call, refusal),\n}}\n}}\n",
        method = m.name,
    )
}
