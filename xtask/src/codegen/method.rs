//! Writes what the methods of an interface need: their parameters and results, the client, the server trait.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::emit::{
    get_data, lifetime, path, read_field, reader, reader_type, set_data, value, value_type,
    write_field,
};
use super::model::{Interface, Kind, Method, Model, Struct, pascal};

/// How results are shaped, see `schema`'s documentation.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Nothing,
    Plain,
    Caps,
    Content,
}

fn shape(s: &Struct) -> Shape {
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

/// The value struct for parameters gets a last field for transfers that the parameters count by index.
fn params_borrow(model: &Model, m: &Method) -> bool {
    m.extra_transfers || model.borrows(&m.params)
}

fn marker(model: &Model, interface: &Interface, m: &Method) -> String {
    let name = pascal(&m.name);
    let params = match (m.params.fields.is_empty(), params_borrow(model, m)) {
        (true, false) => "()".into(),
        (_, true) => format!("super::{name}Params<'a>"),
        (false, false) => format!("super::{name}Params"),
    };
    let (reply, results, read) = match shape(&m.results) {
        Shape::Nothing => (
            "()".into(),
            "()".into(),
            "{ let _ = answer; Ok(read(())) }".into(),
        ),
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
    let mutable = if shape(&m.results) == Shape::Nothing {
        "_"
    } else {
        ""
    };
    let read = if mutable == "_" {
        "Ok(read(()))".to_owned()
    } else {
        read
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
         fn read<O: stub::Object, R>({mutable}answer: &mut stub::Answer<'_, '_, O>, \
         read: impl FnOnce(Self::Results<'_, O>) -> R) -> Result<R, stub::Refusal> {{\n{read}\n}}\n}}\n",
        iface = interface.name,
        plain = m.name,
        upper = m.name.to_uppercase(),
        idempotent = m.idempotent,
    )
}

fn client_path(model: &Model, id: u64, object: &str) -> String {
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

fn params(model: &Model, m: &Method) -> String {
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

fn results(model: &Model, m: &Method) -> String {
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
