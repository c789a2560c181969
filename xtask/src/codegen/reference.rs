//! The book's pages about interfaces: one for each schema file, from the compiler's description and the comments.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::comments::Comments;
use super::model::{Enum, Field, File, Interface, Kind, Method, Model, Struct, pascal};

/// Columns of a line of text, at most.
const COLUMNS: usize = 118;

/// The page about a file.
pub fn page(model: &Model, file: &File, source: &str) -> Result<String> {
    let comments = Comments::read(source);
    let mut out = String::new();
    let title = comments.file.split(['.', ':', '\n']).next();
    writeln!(out, "# Interfaces: {}\n", lower(title.unwrap_or_default()))?;
    writeln!(
        out,
        "<!-- Written by `cargo xtask codegen` from schema/{}: change that. -->\n",
        file.name
    )?;
    paragraphs(&mut out, &comments.file)?;
    paragraphs(
        &mut out,
        &format!(
            "Declared in `schema/{}`. What every method may be refused, and how payloads travel, stands in [Refusals]\
             (refusals.md#what-every-method-may-be-refused); the column names what a method adds.",
            file.name
        ),
    )?;
    for interface in &file.interfaces {
        describe(&mut out, model, interface, &comments).with_context(|| interface.name.clone())?;
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    Ok(out)
}

fn describe(
    out: &mut String,
    model: &Model,
    interface: &Interface,
    comments: &Comments,
) -> Result<()> {
    let name = &interface.name;
    let intro = comments.note(name).text;
    writeln!(out, "## {name}\n")?;
    paragraphs(out, format!("`{:#018x}`. {intro}", interface.id).trim())?;
    if !interface.methods.is_empty() {
        methods(out, model, interface, comments)?;
    }
    for id in &interface.structs {
        let body = model.structs.get(id).context("a nested struct")?;
        structure(out, model, interface, body, comments)?;
    }
    for one in &interface.enums {
        enumeration(out, name, one, comments)?;
    }
    Ok(())
}

/// The table of an interface's methods, and what their comments say.
fn methods(
    out: &mut String,
    model: &Model,
    interface: &Interface,
    comments: &Comments,
) -> Result<()> {
    let note =
        |method: &Method| comments.note(&format!("{}.{}", interface.name, method.schema_name));
    out.push_str("| # | method | takes | gives | travels in | refuses |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for method in &interface.methods {
        let mut marks = String::new();
        if method.idempotent {
            marks.push_str(" (idempotent)");
        }
        if method.extra_transfers {
            marks.push_str(" (further capabilities)");
        }
        writeln!(
            out,
            "| {} | `{}`{marks} | {} | {} | {} | {} |",
            method.ordinal,
            method.schema_name,
            fields(model, interface, &method.params),
            fields(model, interface, &method.results),
            travels(method),
            or_dash(&cell(&note(method).refuses)),
        )?;
    }
    out.push('\n');
    for method in &interface.methods {
        let text = note(method).text;
        if !text.is_empty() {
            paragraphs(out, &format!("**`{}`**: {text}", method.schema_name))?;
        }
    }
    Ok(())
}

fn structure(
    out: &mut String,
    model: &Model,
    interface: &Interface,
    body: &Struct,
    comments: &Comments,
) -> Result<()> {
    let path = format!("{}.{}", interface.name, body.name);
    writeln!(out, "### {path}\n")?;
    let text = comments.note(&path).text;
    if !text.is_empty() {
        paragraphs(out, &text)?;
    }
    out.push_str("| field | meaning |\n|---|---|\n");
    for group in comments.groups(&path) {
        let named = group.names.iter().filter_map(|n| {
            let field = body.fields.iter().find(|f| f.schema_name == *n)?;
            Some(typed(model, interface, field))
        });
        let named: Vec<String> = named.collect();
        writeln!(
            out,
            "| {} | {} |",
            named.join(", "),
            or_dash(&cell(&group.text))
        )?;
    }
    out.push('\n');
    Ok(())
}

fn enumeration(out: &mut String, interface: &str, one: &Enum, comments: &Comments) -> Result<()> {
    let path = format!("{interface}.{}", one.name);
    let text = comments.note(&path).text;
    let variants: Vec<String> = one
        .schema_variants
        .iter()
        .enumerate()
        .map(|(number, name)| format!("`{name}` {number}"))
        .collect();
    let gap = if text.is_empty() { "" } else { " " };
    paragraphs(
        out,
        &format!("**{path}**: {}.{gap}{text}", variants.join(", ")),
    )?;
    for group in comments.groups(&path).iter().filter(|g| !g.text.is_empty()) {
        let names: Vec<String> = group.names.iter().map(|n| format!("`{n}`")).collect();
        paragraphs(out, &format!("- {}: {}", names.join(", "), group.text))?;
    }
    Ok(())
}

fn travels(method: &Method) -> &'static str {
    match (method.params.plain(), method.results.plain()) {
        (true, true) => "registers",
        (true, false) => "registers, back in a message",
        (false, true) => "message, back in registers",
        (false, false) => "message",
    }
}

fn fields(model: &Model, interface: &Interface, of: &Struct) -> String {
    let all = of.fields.iter().map(|f| typed(model, interface, f));
    let all: Vec<String> = all.collect();
    or_dash(&all.join(", ")).to_owned()
}

fn typed(model: &Model, interface: &Interface, field: &Field) -> String {
    let default = match field.kind {
        Kind::Int("i8" | "i16" | "i32" | "i64") if field.default != 0 => {
            format!(" = {}", signed(&field.kind, field.default))
        }
        Kind::Int(_) if field.default != 0 => format!(" = {}", field.default),
        _ => String::new(),
    };
    format!(
        "`{}` {}{default}",
        field.schema_name,
        kind(model, interface, &field.kind)
    )
}

fn signed(kind: &Kind, bits: u64) -> i64 {
    match kind {
        Kind::Int("i8") => i64::from(bits as u8 as i8),
        Kind::Int("i16") => i64::from(bits as u16 as i16),
        Kind::Int("i32") => i64::from(bits as u32 as i32),
        _ => bits as i64,
    }
}

fn kind(model: &Model, interface: &Interface, of: &Kind) -> String {
    let named = |id: &u64| {
        let Some(at) = model.types.get(id) else {
            return String::new();
        };
        // A type inside another interface is named with it.
        let home = pascal(&at.module);
        if at.module == interface.module || home == at.name {
            at.name.clone()
        } else {
            format!("{home}.{}", at.name)
        }
    };
    match of {
        Kind::Bool => "Bool".to_owned(),
        Kind::Int(rust) => integer(rust),
        Kind::Numbers(rust) => format!("list of {}", integer(rust)),
        Kind::Refusal => "refusal or none".to_owned(),
        Kind::Text => "Text".to_owned(),
        Kind::Data => "Data".to_owned(),
        Kind::TextList => "list of Text".to_owned(),
        Kind::Enum(id) | Kind::Struct(id) | Kind::Cap(id) => named(id),
        Kind::StructList(id) => format!("list of {}", named(id)),
    }
}

/// An integer type as a schema writes it.
fn integer(rust: &str) -> String {
    let sign = if rust.starts_with('u') { "UInt" } else { "Int" };
    format!("{sign}{}", rust.get(1..).unwrap_or_default())
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Writes paragraphs and lists, wrapped, with an empty line behind each.
fn paragraphs(out: &mut String, text: &str) -> Result<()> {
    for block in text.split("\n\n").map(str::trim).filter(|b| !b.is_empty()) {
        for item in block.lines() {
            let hang = if item.starts_with("- ") { "  " } else { "" };
            let mut column = 0;
            for word in item.split_whitespace() {
                let width = word.chars().count();
                if column > 0 && column + 1 + width > COLUMNS {
                    write!(out, "\n{hang}")?;
                    column = hang.len();
                } else if column > 0 {
                    out.push(' ');
                    column += 1;
                }
                out.push_str(word);
                column += width;
            }
            out.push('\n');
        }
        out.push('\n');
    }
    Ok(())
}
