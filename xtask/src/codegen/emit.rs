//! Writes the modules of a schema file: interfaces, their enums and structs. Methods are in `method`, what they take and
//! give in `payload`; what the rows mean is in the macros of `stub`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::comments::Comments;
use super::method;
use super::model::{Enum, File, Interface, Kind, Model, Source, Sources, Struct, pascal};
use super::rows::Rows;
use super::types::{default, field, lifetime, reader, sizes, value_type};

/// `generated/mod.rs`: the modules, and the table of interfaces.
pub fn index(model: &Model, modules: &[String]) -> String {
    let mut rows = Rows::new("schema/");
    for module in modules {
        if let Some(name) = module.strip_suffix("_stub") {
            rows.line(format!("#[path = \"{module}.rs\"]"));
            rows.line(format!("pub mod {name};"));
        } else {
            if module == "methods" {
                // A table is read by its rows.
                rows.line("#[rustfmt::skip]");
            }
            rows.line(format!("pub mod {module};"));
        }
    }
    let interfaces = model.files.iter().flat_map(|file| &file.interfaces);
    let table: BTreeMap<u64, &str> = interfaces
        .map(|interface| (interface.id, interface.name.as_str()))
        .collect();
    rows.gap();
    rows.line("/// Every interface, by id.");
    rows.block("pub static INTERFACES: &[(u64, &str)] = &[", "];", |rows| {
        for (id, name) in table {
            rows.line(format!("(0x{id:016x}, \"{name}\"),"));
        }
    });
    method_names(&mut rows, model);
    interfaces_macro(&mut rows, model);
    rows.finish()
}

/// A macro that hands every interface to another one: its name, its file and its module.
fn interfaces_macro(rows: &mut Rows, model: &Model) {
    let of_file = |file: &File| {
        let stem = file.stem.clone();
        let names = file.interfaces.iter();
        let lines = names.map(|i| format!("{} = {stem}::{};", i.name, i.module));
        lines.collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = model.files.iter().flat_map(of_file).collect();
    lines.sort();
    rows.gap();
    rows.line("/// Hands every interface to the macro `$each`: `Name = file::module;`, in the order of their names.");
    rows.line("#[macro_export]");
    rows.block("macro_rules! interfaces {", "}", |rows| {
        rows.block("($each:ident) => {", "};", |rows| {
            rows.block("$each! {", "}", |rows| {
                lines.iter().for_each(|line| rows.line(line));
            });
        });
    });
}

/// Every source is of an interface that there is.
fn check_sources(model: &Model, sources: &Sources) -> Result<()> {
    let known: Vec<&str> = model
        .files
        .iter()
        .flat_map(|file| &file.interfaces)
        .map(|interface| interface.name.as_str())
        .collect();
    for source in &sources.all {
        ensure!(
            known.contains(&source.interface.as_str()),
            "{}: there is no interface {}",
            source.name,
            source.interface
        );
    }
    Ok(())
}

/// `sources.rs`: what the kernel serves to whom a manifest grants it.
pub fn sources(model: &Model, sources: &Sources, text: &str) -> Result<String> {
    check_sources(model, sources)?;
    let comments = Comments::read(text);
    let (_, name) = sources
        .path
        .rsplit_once('.')
        .context("an enum in a struct")?;
    let mut rows = Rows::new(&format!("schema/{}", sources.file));
    rows.line("/// A capability that the kernel itself serves.");
    rows.line("#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]");
    rows.block(format!("pub enum {name} {{"), "}", |rows| {
        for source in &sources.all {
            rows.doc(&comments.note(&format!("{}.{}", sources.path, source.name)));
            rows.line(format!("{},", pascal(&source.name)));
        }
    });
    rows.gap();
    let arms = |rows: &mut Rows, of: &dyn Fn(&Source) -> &str| {
        rows.block("match self {", "}", |rows| {
            for source in &sources.all {
                rows.line(format!(
                    "Self::{} => {:?},",
                    pascal(&source.name),
                    of(source)
                ));
            }
        });
    };
    rows.block(format!("impl {name} {{"), "}", |rows| {
        rows.line("/// Every one, by number.");
        rows.block("pub const ALL: &'static [Self] = &[", "];", |rows| {
            for source in &sources.all {
                rows.line(format!("Self::{},", pascal(&source.name)));
            }
        });
        rows.gap();
        rows.line("/// The name under which init finds it.");
        rows.block("pub const fn name(self) -> &'static str {", "}", |rows| {
            arms(rows, &|source| &source.name);
        });
        rows.gap();
        rows.line("/// The name of its interface.");
        rows.block(
            "pub const fn interface(self) -> &'static str {",
            "}",
            |rows| {
                arms(rows, &|source| &source.interface);
            },
        );
    });
    Ok(rows.finish())
}

/// The names of methods alone, for whoever shows them: `methods.rs` has their shapes too, and is long.
fn method_names(rows: &mut Rows, model: &Model) {
    let interfaces = model.files.iter().flat_map(|file| &file.interfaces);
    let mut table: Vec<_> = interfaces.filter(|i| !i.methods.is_empty()).collect();
    table.sort_by_key(|interface| interface.id);
    rows.gap();
    rows.line("/// The methods of every interface that has any, by id and number.");
    let head =
        "#[rustfmt::skip] // a row for each interface\npub static METHODS: &[(u64, &[&str])] = &[";
    rows.block(head, "];", |rows| {
        for interface in table {
            let names = interface
                .methods
                .iter()
                .map(|m| format!("{:?}", m.schema_name));
            let names: Vec<String> = names.collect();
            rows.line(format!(
                "(0x{:016x}, &[{}]),",
                interface.id,
                names.join(", ")
            ));
        }
    });
}

/// All interfaces of one schema file, with the comments of `source`, its text.
pub fn file(model: &Model, file: &File, source: &str) -> Result<String> {
    let comments = Comments::read(source);
    let mut rows = Rows::new(&format!("schema/{}", file.name));
    for interface in &file.interfaces {
        let same = model.files.iter().flat_map(|f| &f.interfaces);
        let same = same.filter(|other| other.name == interface.name).count();
        ensure!(
            same == 1,
            "{}: two interfaces have this name",
            interface.name
        );
        method::check_names(model, interface)?;
        self::interface(&mut rows, model, interface, &comments)?;
    }
    Ok(rows.finish())
}

fn interface(
    rows: &mut Rows,
    model: &Model,
    interface: &Interface,
    comments: &Comments,
) -> Result<()> {
    let name = &interface.name;
    for struct_id in &interface.structs {
        for field in &model.structs[struct_id].fields {
            ensure!(
                field.default == 0 || !matches!(field.kind, Kind::Enum(_)),
                "{name}.{}.{}: an enum's default must be its first variant",
                model.structs[struct_id].name,
                field.schema_name
            );
        }
    }
    rows.gap();
    rows.doc(&comments.note(name));
    rows.block(format!("pub mod {} {{", interface.module), "}", |rows| {
        rows.line(format!(
            "stub::interface! {{ \"{name}\" = 0x{:016x} }}",
            interface.id
        ));
        for e in &interface.enums {
            enumeration(rows, interface, e, comments);
        }
        for id in &interface.structs {
            structure(rows, model, interface, &model.structs[id], comments);
        }
        method::all(rows, model, interface, comments);
    });
    Ok(())
}

fn enumeration(rows: &mut Rows, interface: &Interface, e: &Enum, comments: &Comments) {
    let path = format!("{}.{}", interface.name, e.name);
    rows.gap();
    rows.block("stub::enumeration! {", "}", |rows| {
        rows.doc(&comments.note(&path));
        rows.block(format!("pub enum {} {{", e.name), "}", |rows| {
            for (number, variant) in e.variants.iter().enumerate() {
                rows.doc(&comments.note(&format!("{path}.{}", e.schema_variants[number])));
                rows.line(format!("{variant} = {number},"));
            }
        });
    });
}

/// A struct that lies in an interface: as a value to write, and its reader.
fn structure(
    rows: &mut Rows,
    model: &Model,
    interface: &Interface,
    s: &Struct,
    comments: &Comments,
) {
    let path = format!("{}.{}", interface.name, s.name);
    rows.gap();
    rows.block("stub::structure! {", "}", |rows| {
        rows.doc(&comments.note(&path));
        let head = format!("pub struct {}{}", s.name, lifetime(model, s, "'a"));
        rows.block(format!("{head}: {} {{", sizes(s)), "}", |rows| {
            for f in &s.fields {
                rows.doc(&comments.note(&format!("{path}.{}", f.schema_name)));
                rows.line(format!("{};", field(f, &value_type(model, &f.kind, "'a"))));
            }
        });
    });
    let name = format!("{}Reader", s.name);
    reader(rows, model, s, &name);
    if s.fields.iter().all(|f| f.kind.is_data()) {
        let head = format!("stub::value_of! {{ {name}, {} {{", s.name);
        rows.block(head, "} }", |rows| {
            for f in &s.fields {
                rows.line(format!("{} = {}{};", f.name, f.offset, default(f)));
            }
        });
    }
}
