//! Generates `crates/user/schema/src/generated` from `schema/*.capnp`: our own stubs for files with interfaces, the
//! `capnpc` crate's output for files of plain structs; and the pages of `docs/reference` about the interfaces and about
//! the sabotage points.
//!
//! Invariant: the output depends on the schema files and the generators alone, never on paths, times or order of
//! directory entries.

mod comments;
mod emit;
mod method;
mod methods;
mod model;
mod numbers;
mod payload;
mod points;
mod reference;
mod rows;
mod types;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Where the stubs lie, from the workspace root.
const OUTPUT: &str = "crates/user/schema/src/generated";
/// Where the pages lie.
const PAGES: &str = "docs/reference";
/// What every generated page holds, and no other.
const MARK: &str = "<!-- Written by `cargo xtask codegen`";

/// What becomes of what is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is written.
    Write,
    /// Nothing is changed; where the committed output differs, the files are named and the run fails.
    Check,
}

/// Generates everything for the tree at `root`.
pub fn run(root: &Path, mode: Mode) -> Result<()> {
    let model = model::load(&request(root, &schema_names(root)?)?)?;
    numbers::update(root, &model, mode)?;
    let fresh = generate(root, &model)?;
    let committed = committed(root)?;
    let differs = differences(&fresh, &committed);
    let listed = fs::read_to_string(root.join("docs/SUMMARY.md"))?;
    let unlisted = fresh.keys().filter_map(|name| {
        let page = name.strip_prefix("docs/")?;
        (!listed.contains(&format!("({page})"))).then_some(page)
    });
    let unlisted: Vec<&str> = unlisted.collect();
    ensure!(
        unlisted.is_empty(),
        "docs/SUMMARY.md does not list {}",
        unlisted.join(", ")
    );
    if mode == Mode::Check {
        if !differs.is_empty() {
            for name in &differs {
                eprintln!("{name} differs from what the schema gives");
            }
            bail!("run `cargo xtask codegen` and commit the result");
        }
        return Ok(());
    }
    for name in &differs {
        let path = root.join(name);
        match fresh.get(name.as_str()) {
            Some(text) => {
                fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
                fs::write(&path, text)?;
            }
            None => fs::remove_file(&path)?,
        }
        println!("{name}");
    }
    Ok(())
}

/// Refuses stubs that are not those of the schema files beside them: what is built from them is not what was written.
pub fn ensure_fresh(root: &Path) -> Result<()> {
    let model = model::load(&request(root, &schema_names(root)?)?)?;
    let (fresh, committed) = (generate(root, &model)?, committed(root)?);
    let mut differs = differences(&fresh, &committed);
    // A page that is behind misleads nobody who builds.
    differs.retain(|name| name.starts_with(OUTPUT));
    let differs: Vec<&str> = differs.iter().map(|name| name.as_str()).collect();
    ensure!(
        differs.is_empty(),
        "schema/ says something else than {}: run `cargo xtask codegen`",
        differs.join(", ")
    );
    Ok(())
}

/// The paths of what is not as it would be generated.
fn differences<'a>(
    fresh: &'a BTreeMap<String, String>,
    committed: &'a BTreeMap<String, String>,
) -> Vec<&'a String> {
    let other = fresh
        .iter()
        .filter(|(name, text)| committed.get(*name) != Some(text));
    let gone = committed.keys().filter(|name| !fresh.contains_key(*name));
    other.map(|(name, _)| name).chain(gone).collect()
}

/// What is there now of what this generates, by path.
fn committed(root: &Path) -> Result<BTreeMap<String, String>> {
    let stubs = read_all(&root.join(OUTPUT), "rs")?;
    let mut files: BTreeMap<String, String> = stubs
        .into_iter()
        .map(|(name, text)| (format!("{OUTPUT}/{name}"), text))
        .collect();
    for (name, text) in read_all(&root.join(PAGES), "md")? {
        if text.contains(MARK) {
            files.insert(format!("{PAGES}/{name}"), text);
        }
    }
    Ok(files)
}

/// All generated files, formatted, by path.
fn generate(root: &Path, model: &model::Model) -> Result<BTreeMap<String, String>> {
    let folder = tempfile::tempdir()?;
    let mut modules = Vec::new();
    let mut files = BTreeMap::new();
    for file in &model.files {
        if file.interfaces.is_empty() {
            if file.has_structs {
                capnpc(root, &file.name, folder.path())?;
                modules.push(format!("{}_capnp", file.stem));
            }
        } else {
            let name = format!("{}_stub.rs", file.stem);
            let source = fs::read_to_string(root.join("schema").join(&file.name))?;
            fs::write(folder.path().join(name), emit::file(model, file, &source)?)?;
            modules.push(format!("{}_stub", file.stem));
            let page = reference::page(model, file, &source)
                .with_context(|| format!("the page about {}", file.name))?;
            files.insert(format!("{PAGES}/{}.md", file.stem), page);
        }
    }
    files.insert(format!("{PAGES}/sabotages.md"), points::page(root)?);
    fs::write(folder.path().join("methods.rs"), methods::table(model)?)?;
    modules.push("methods".to_owned());
    if let Some(sources) = &model.sources {
        let source = fs::read_to_string(root.join("schema").join(&sources.file))?;
        let text = emit::sources(model, sources, &source)?;
        fs::write(folder.path().join("sources.rs"), text)?;
        modules.push("sources".to_owned());
    }
    modules.sort();
    fs::write(folder.path().join("mod.rs"), emit::index(model, &modules))?;
    format(folder.path())?;
    for (name, text) in read_all(folder.path(), "rs")? {
        files.insert(format!("{OUTPUT}/{name}"), text);
    }
    Ok(files)
}

/// The schema files, in order.
fn schema_names(root: &Path) -> Result<Vec<String>> {
    let mut schemas: Vec<PathBuf> = fs::read_dir(root.join("schema"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    schemas.retain(|path| path.extension().is_some_and(|e| e == "capnp"));
    schemas.sort();
    let names = schemas.iter().filter_map(|path| path.file_name()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// The compiler's description of the named schemas.
fn request(root: &Path, names: &[impl AsRef<OsStr>]) -> Result<Vec<u8>> {
    let run = Command::new("capnp")
        .args(["compile", "--no-standard-import", "-I.", "-o-"])
        .args(names)
        .current_dir(root.join("schema"))
        // It warns of one that is not where it runs.
        .env_remove("PWD")
        .output()
        .context("cannot run `capnp`; on Debian it is in the package capnproto")?;
    ensure!(
        run.status.success(),
        "capnp: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(run.stdout)
}

/// Structs and enums only, as the `capnpc` crate writes them.
fn capnpc(root: &Path, name: &str, folder: &Path) -> Result<()> {
    let request = request(root, &[name])?;
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(folder)
        .default_parent_module(vec!["generated".into()])
        .run(request.as_slice())
        .with_context(|| format!("capnpc: {name}"))
}

fn format(folder: &Path) -> Result<()> {
    let files = read_all(folder, "rs")?;
    let status = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(
            files
                .keys()
                .filter(|name| !["mod.rs", "methods.rs"].contains(&name.as_str())),
        )
        .current_dir(folder)
        .status()
        .context("cannot run rustfmt")?;
    ensure!(status.success(), "rustfmt refused the generated code");
    Ok(())
}

fn read_all(folder: &Path, ending: &str) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == ending) {
            let name = path.file_name().context("a file has a name")?;
            files.insert(
                name.to_string_lossy().into_owned(),
                fs::read_to_string(&path)?,
            );
        }
    }
    Ok(files)
}
