//! The compiler's CodeGeneratorRequest as the generator wants it: files, interfaces, methods, fields with places.
//!
//! What the stubs do not support is refused here, with the name of the thing, and nowhere else.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use capnp::schema_capnp::{code_generator_request, field, method, node, type_, value};
use capnp::{message, serialize};

const IDEMPOTENT: u64 = 0xd1c0_a5e5_b0a7_ff01;
const EXTRA_TRANSFERS: u64 = 0xd1c0_a5e5_b0a7_ff02;
const REFUSAL: u64 = 0xd1c0_a5e5_b0a7_ff03;
const SOURCES: u64 = 0xd1c0_a5e5_b0a7_ff04;
const SERVES: u64 = 0xd1c0_a5e5_b0a7_ff05;

/// Everything.
pub struct Model {
    /// The schema files, in the order in which they were named.
    pub files: Vec<File>,
    /// Where each type is found.
    pub types: HashMap<u64, TypeRef>,
    /// Structs by id, for what they hold.
    pub structs: HashMap<u64, Struct>,
    /// What the kernel serves to whom a manifest grants it.
    pub sources: Option<Sources>,
}

/// The enum of what a manifest can grant of the kernel.
pub struct Sources {
    /// `manifest.capnp`.
    pub file: String,
    /// `Grant.KernelSource`, where its comments are found.
    pub path: String,
    /// In the order of their numbers.
    pub all: Vec<Source>,
}

/// One of them.
pub struct Source {
    /// `rawConsole`.
    pub name: String,
    /// `Console`.
    pub interface: String,
}

/// A type's place in the generated modules.
#[derive(Clone)]
pub struct TypeRef {
    /// `process`.
    pub file: String,
    /// `log_sink`, the interface it is or lies in.
    pub module: String,
    /// `Level`; for an interface its own name.
    pub name: String,
}

/// One schema file.
pub struct File {
    /// `process.capnp`.
    pub name: String,
    /// `process`.
    pub stem: String,
    /// It has structs or enums at the top.
    pub has_structs: bool,
    /// Its interfaces, in order.
    pub interfaces: Vec<Interface>,
}

/// One interface.
pub struct Interface {
    pub id: u64,
    pub name: String,
    pub module: String,
    pub methods: Vec<Method>,
    /// Ids of nested structs.
    pub structs: Vec<u64>,
    pub enums: Vec<Enum>,
}

/// One enum.
pub struct Enum {
    pub name: String,
    pub variants: Vec<String>,
    /// As the schema writes them.
    pub schema_variants: Vec<String>,
}

/// One method.
pub struct Method {
    /// `create_memory`.
    pub name: String,
    /// `createMemory`.
    pub schema_name: String,
    pub ordinal: u16,
    pub params: Struct,
    pub results: Struct,
    pub idempotent: bool,
    pub extra_transfers: bool,
}

/// One struct, or the parameters or results of a method.
#[derive(Clone)]
pub struct Struct {
    pub name: String,
    pub data_words: u16,
    pub pointers: u16,
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Clone)]
pub struct Field {
    pub name: String,
    /// As the schema writes it.
    pub schema_name: String,
    pub kind: Kind,
    /// In units of the field's size; for pointers the slot.
    pub offset: u32,
    /// The default's bits.
    pub default: u64,
}

/// What a field holds.
#[derive(Clone, PartialEq)]
pub enum Kind {
    Bool,
    /// A Rust integer type.
    Int(&'static str),
    Enum(u64),
    /// A byte that is 0 or the code of a refusal.
    Refusal,
    Text,
    Data,
    TextList,
    /// A list of a Rust integer type.
    Numbers(&'static str),
    Struct(u64),
    StructList(u64),
    Cap(u64),
}

impl Kind {
    pub fn is_data(&self) -> bool {
        matches!(
            self,
            Kind::Bool | Kind::Int(_) | Kind::Enum(_) | Kind::Refusal
        )
    }

    pub fn is_cap(&self) -> bool {
        matches!(self, Kind::Cap(_))
    }
}

impl Struct {
    /// Fits into four words and has no pointer.
    pub fn plain(&self) -> bool {
        self.data_words <= 4 && self.pointers == 0
    }

    pub fn caps(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| f.kind.is_cap())
    }

    /// Has texts, bytes, structs or lists, which are read in place.
    pub fn has_content(&self) -> bool {
        self.fields
            .iter()
            .any(|f| !f.kind.is_data() && !f.kind.is_cap())
    }
}

impl Model {
    /// The struct's value type borrows something.
    pub fn borrows(&self, s: &Struct) -> bool {
        s.fields.iter().any(|f| match f.kind {
            Kind::Text | Kind::Data | Kind::TextList | Kind::Numbers(_) | Kind::StructList(_) => {
                true
            }
            Kind::Struct(id) => self
                .structs
                .get(&id)
                .is_some_and(|inner| self.borrows(inner)),
            _ => false,
        })
    }
}

/// The kind of a field with its annotations.
fn refused(field: field::Reader<'_>, mut kind: Kind) -> Result<Kind> {
    for annotation in field.get_annotations()? {
        match annotation.get_id() {
            REFUSAL => {
                ensure!(kind == Kind::Int("u8"), "a refusal is a UInt8");
                kind = Kind::Refusal;
            }
            id => bail!("unknown annotation {id:#x}"),
        }
    }
    Ok(kind)
}

/// Reads the request.
pub fn load(bytes: &[u8]) -> Result<Model> {
    let mut options = message::ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let message = serialize::read_message(bytes, options)?;
    let request = message.get_root::<code_generator_request::Reader<'_>>()?;
    let mut nodes = HashMap::new();
    for node in request.get_nodes()? {
        nodes.insert(node.get_id(), node);
    }
    let mut loader = Loader {
        nodes,
        model: Model {
            files: Vec::new(),
            types: HashMap::new(),
            structs: HashMap::new(),
            sources: None,
        },
    };
    let mut requested = Vec::new();
    for file in request.get_requested_files()? {
        let name = file.get_filename()?.to_str()?.to_owned();
        loader.place(file.get_id(), &name)?;
        requested.push((file.get_id(), name));
    }
    for (id, name) in requested {
        let file = loader.file(id, name)?;
        loader.model.files.push(file);
    }
    Ok(loader.model)
}

struct Loader<'a> {
    nodes: HashMap<u64, node::Reader<'a>>,
    model: Model,
}

/// What the fields of a struct may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MayHold {
    /// Data alone.
    Data,
    /// Capabilities as well: it is the parameters or the results of a method.
    Capabilities,
}

impl<'a> Loader<'a> {
    fn node(&self, id: u64) -> Result<node::Reader<'a>> {
        self.nodes
            .get(&id)
            .copied()
            .with_context(|| format!("the compiler left out node {id:#x}"))
    }

    /// Notes where the types of a file will be found, before any of them is used.
    fn place(&mut self, id: u64, name: &str) -> Result<()> {
        let file = stem(name);
        for nested in self.node(id)?.get_nested_nodes()? {
            let node = self.node(nested.get_id())?;
            let name = nested.get_name()?.to_str()?.to_owned();
            let module = snake(&name);
            for inner in node.get_nested_nodes()? {
                let at = TypeRef {
                    file: file.clone(),
                    module: module.clone(),
                    name: inner.get_name()?.to_str()?.to_owned(),
                };
                self.model.types.insert(inner.get_id(), at);
            }
            let at = TypeRef {
                file: file.clone(),
                module,
                name,
            };
            self.model.types.insert(nested.get_id(), at);
        }
        Ok(())
    }

    fn file(&mut self, id: u64, name: String) -> Result<File> {
        let mut file = File {
            stem: stem(&name),
            name,
            has_structs: false,
            interfaces: Vec::new(),
        };
        for nested in self.node(id)?.get_nested_nodes()? {
            let node = self.node(nested.get_id())?;
            match node.which()? {
                node::Interface(_) => {
                    let name = nested.get_name()?.to_str()?.to_owned();
                    let interface = self.interface(node, &name);
                    file.interfaces.push(interface.context(name)?);
                }
                node::Struct(_) => {
                    file.has_structs = true;
                    self.sources(&file.name, nested.get_name()?.to_str()?, node)?;
                }
                node::Enum(_) => file.has_structs = true,
                _ => {}
            }
        }
        if file.has_structs && !file.interfaces.is_empty() {
            bail!(
                "{}: a file holds interfaces or structs at its top, not both",
                file.name
            );
        }
        Ok(file)
    }

    /// Keeps the enum in a struct that lists what the kernel serves.
    fn sources(&mut self, file: &str, outer: &str, node: node::Reader<'a>) -> Result<()> {
        for nested in node.get_nested_nodes()? {
            let inner = self.node(nested.get_id())?;
            let node::Enum(body) = inner.which()? else {
                continue;
            };
            let mut annotations = inner.get_annotations()?.iter();
            if !annotations.any(|one| one.get_id() == SOURCES) {
                continue;
            }
            let all = body.get_enumerants()?.iter().map(|one| {
                let name = one.get_name()?.to_str()?.to_owned();
                let mut interface = pascal(&name);
                for annotation in one.get_annotations()? {
                    ensure!(annotation.get_id() == SERVES, "{name}: unknown annotation");
                    let value::Text(told) = annotation.get_value()?.which()? else {
                        bail!("{name}: an interface has a name");
                    };
                    interface = told?.to_str()?.to_owned();
                }
                Ok(Source { name, interface })
            });
            let path = format!("{outer}.{}", nested.get_name()?.to_str()?);
            let all = all
                .collect::<Result<Vec<_>>>()
                .with_context(|| path.clone())?;
            let file = file.to_owned();
            ensure!(
                self.model.sources.is_none(),
                "{path}: there is one list of sources"
            );
            self.model.sources = Some(Sources { file, path, all });
        }
        Ok(())
    }

    fn interface(&mut self, node: node::Reader<'a>, name: &str) -> Result<Interface> {
        let node::Interface(body) = node.which()? else {
            bail!("no interface");
        };
        ensure!(
            body.get_superclasses()?.is_empty(),
            "superclasses are not supported"
        );
        ensure!(!node.get_is_generic(), "type parameters are not supported");
        let mut interface = Interface {
            id: node.get_id(),
            name: name.to_owned(),
            module: snake(name),
            methods: Vec::new(),
            structs: Vec::new(),
            enums: Vec::new(),
        };
        for nested in node.get_nested_nodes()? {
            let name = nested.get_name()?.to_str()?.to_owned();
            self.nested(&mut interface, nested.get_id(), name)?;
        }
        for (ordinal, method) in body.get_methods()?.iter().enumerate() {
            let name = method.get_name()?.to_str()?;
            let loaded = self.method(u16::try_from(ordinal)?, method);
            interface.methods.push(loaded.context(name.to_owned())?);
        }
        Ok(interface)
    }

    /// A type that an interface declares.
    fn nested(&mut self, interface: &mut Interface, id: u64, name: String) -> Result<()> {
        match self.node(id)?.which()? {
            node::Struct(_) => {
                let body = self.structure(id, name.clone(), MayHold::Data);
                self.model.structs.insert(id, body.context(name)?);
                interface.structs.push(id);
            }
            node::Enum(body) => {
                let variants = body.get_enumerants()?.iter();
                let variants = variants.map(|e| Ok(e.get_name()?.to_str()?.to_owned()));
                let schema_variants: Vec<String> = variants.collect::<Result<_>>()?;
                interface.enums.push(Enum {
                    name,
                    variants: schema_variants.iter().map(|v| pascal(v)).collect(),
                    schema_variants,
                });
            }
            _ => bail!("{name}: only structs and enums nest in an interface"),
        }
        Ok(())
    }

    fn method(&mut self, ordinal: u16, method: method::Reader<'a>) -> Result<Method> {
        let name = method.get_name()?.to_str()?;
        let stem = pascal(name);
        let params = self.structure(
            method.get_param_struct_type(),
            format!("{stem}Params"),
            MayHold::Capabilities,
        );
        let results = self.structure(
            method.get_result_struct_type(),
            format!("{stem}Results"),
            MayHold::Capabilities,
        );
        let mut loaded = Method {
            name: snake(name),
            schema_name: name.to_owned(),
            ordinal,
            params: params?,
            results: results?,
            idempotent: false,
            extra_transfers: false,
        };
        ensure!(
            loaded.results.caps().next().is_none() || !loaded.results.has_content(),
            "results hold capabilities, or texts and lists, not both"
        );
        for annotation in method.get_annotations()? {
            match annotation.get_id() {
                IDEMPOTENT => loaded.idempotent = true,
                EXTRA_TRANSFERS => loaded.extra_transfers = true,
                id => bail!("unknown annotation {id:#x}"),
            }
        }
        ensure!(
            !loaded.extra_transfers || !loaded.params.plain(),
            "extra transfers need parameters that travel as a message"
        );
        Ok(loaded)
    }

    fn structure(&mut self, id: u64, name: String, may_hold: MayHold) -> Result<Struct> {
        let node::Struct(body) = self.node(id)?.which()? else {
            bail!("{name} is no struct");
        };
        ensure!(
            body.get_discriminant_count() == 0,
            "{name}: unions are not supported"
        );
        let mut fields = Vec::new();
        for field in body.get_fields()? {
            let field_name = field.get_name()?.to_str()?;
            let field::Slot(slot) = field.which()? else {
                bail!("{name}.{field_name}: groups are not supported");
            };
            let Some(kind) = self
                .kind(slot.get_type()?)
                .context(format!("{name}.{field_name}"))?
            else {
                continue;
            };
            let kind = refused(field, kind).with_context(|| format!("{name}.{field_name}"))?;
            ensure!(
                may_hold == MayHold::Capabilities || !kind.is_cap(),
                "{name}.{field_name}: a capability is a parameter or a result of its own"
            );
            ensure!(
                kind.is_data() || !slot.get_had_explicit_default(),
                "{name}.{field_name}: this type takes no default"
            );
            fields.push(Field {
                name: escape(snake(field_name)),
                schema_name: field_name.to_owned(),
                offset: slot.get_offset(),
                default: bits(slot.get_default_value()?)?,
                kind,
            });
        }
        Ok(Struct {
            name,
            data_words: body.get_data_word_count(),
            pointers: body.get_pointer_count(),
            fields,
        })
    }

    /// `None` for a field of type Void, which holds nothing.
    fn kind(&mut self, of: type_::Reader<'a>) -> Result<Option<Kind>> {
        Ok(Some(match of.which()? {
            type_::Void(()) => return Ok(None),
            type_::Bool(()) => Kind::Bool,
            type_::Text(()) => Kind::Text,
            type_::Data(()) => Kind::Data,
            type_::Enum(e) => Kind::Enum(self.known(e.get_type_id())?),
            type_::Struct(s) => Kind::Struct(self.known(s.get_type_id())?),
            type_::Interface(i) => Kind::Cap(self.known(i.get_type_id())?),
            type_::List(list) => match list.get_element_type()?.which()? {
                type_::Text(()) => Kind::TextList,
                type_::Struct(s) => Kind::StructList(self.known(s.get_type_id())?),
                // The same on the wire.
                type_::Uint8(()) => Kind::Data,
                of => Kind::Numbers(
                    integer(&of)
                        .context("only lists of structs, of texts and of integers are supported")?,
                ),
            },
            other => Kind::Int(integer(&other).context(
                "this type is not supported; a field is an integer, Bool, an enum, Text, Data, a struct, an interface, or a \
                 list of integers, texts or structs",
            )?),
        }))
    }

    fn known(&self, id: u64) -> Result<u64> {
        ensure!(
            self.model.types.contains_key(&id),
            "type {id:#x} is neither at the top of a schema file nor directly inside an interface"
        );
        Ok(id)
    }
}

/// The Rust type of an integer.
fn integer(of: &type_::WhichReader<'_>) -> Option<&'static str> {
    Some(match of {
        type_::Int8(()) => "i8",
        type_::Int16(()) => "i16",
        type_::Int32(()) => "i32",
        type_::Int64(()) => "i64",
        type_::Uint8(()) => "u8",
        type_::Uint16(()) => "u16",
        type_::Uint32(()) => "u32",
        type_::Uint64(()) => "u64",
        _ => return None,
    })
}

fn bits(of: value::Reader<'_>) -> Result<u64> {
    Ok(match of.which()? {
        value::Bool(v) => u64::from(v),
        value::Int8(v) => u64::from(v as u8),
        value::Int16(v) => u64::from(v as u16),
        value::Int32(v) => u64::from(v as u32),
        value::Int64(v) => v as u64,
        value::Uint8(v) => u64::from(v),
        value::Uint16(v) | value::Enum(v) => u64::from(v),
        value::Uint32(v) => u64::from(v),
        value::Uint64(v) => v,
        _ => 0,
    })
}

fn stem(name: &str) -> String {
    name.trim_end_matches(".capnp").replace('-', "_")
}

/// `createMemory` to `create_memory`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// `create_memory` or `createMemory` to `CreateMemory`.
pub fn pascal(name: &str) -> String {
    let mut out = String::new();
    let mut up = true;
    for c in name.chars() {
        if c == '_' {
            up = true;
        } else if up {
            out.push(c.to_ascii_uppercase());
            up = false;
        } else {
            out.push(c);
        }
    }
    out
}

/// Keywords get a trailing underscore.
fn escape(name: String) -> String {
    const KEYWORDS: [&str; 16] = [
        "as", "box", "const", "enum", "fn", "in", "loop", "match", "mod", "move", "ref", "self",
        "static", "type", "use", "where",
    ];
    if KEYWORDS.contains(&name.as_str()) {
        name + "_"
    } else {
        name
    }
}
