//! What the documents say of the source tree is so: links, files and functions named, dependencies of the crates.

use anyhow::{Context, Result};
use hindsight_tests::process::project_root;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every source file below the folders of the workspace.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["agent-core", "server", "src-tauri", "tests"].map(|folder| root.join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[test]
fn every_link_leads_to_a_file() -> Result<()> {
    let root = project_root();
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "packaging/operator-guide.md"] {
        let path = root.join(document);
        let text = read(&path)?;
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = path.with_file_name(link.split('#').next().unwrap_or_default());
            if !target.exists() {
                wrong.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// `folder/file.rs: Type::function` is a file whose path ends so and that has an item of that name.
#[test]
fn every_file_and_function_that_the_architecture_names_is_there() -> Result<()> {
    let root = project_root();
    let sources = sources(&root)?;
    let mut wrong = Vec::new();
    for named in code(&read(&root.join("ARCHITECTURE.md"))?) {
        let (file, item) = named.split_once(": ").map_or((named, None), |(file, item)| (file, Some(item)));
        if !file.ends_with(".rs") || file.contains([' ', '*']) {
            continue;
        }
        let files: Vec<&PathBuf> = sources.iter().filter(|path| path.ends_with(file)).collect();
        let holds = |path: &&PathBuf, item: &str| -> bool {
            let name = item.rsplit("::").next().unwrap_or_default();
            let text = fs::read_to_string(path).unwrap_or_default();
            ["fn", "struct", "enum", "trait", "const", "mod", "type"].iter().any(|kind| {
                let start = format!("{kind} {name}");
                text.match_indices(&start).any(|(at, _)| {
                    let next = text[at + start.len()..].chars().next();
                    next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
                })
            })
        };
        if files.is_empty() || item.is_some_and(|item| !files.iter().any(|path| holds(path, item))) {
            wrong.push(named.to_owned());
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there: {wrong:#?}");
    Ok(())
}

/// In the support table `module::the_start_of_…` is an end-to-end test, and a long name without module a test of any crate.
#[test]
fn every_test_that_the_readme_names_is_there() -> Result<()> {
    let root = project_root();
    let text = read(&root.join("README.md"))?;
    let table = text.split("\n## ").find(|section| section.starts_with("What is proved where"));
    let (mut all, mut named) = (String::new(), 0);
    for source in sources(&root)? {
        all += &read(&source)?;
    }
    let mut wrong = Vec::new();
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    for token in table.context("no support table")?.lines().flat_map(code) {
        let start = token.trim_end_matches('…');
        let is_there = match start.split_once("::") {
            Some((module, name)) if word(module) && (name.is_empty() || word(name)) => {
                let file = fs::read_to_string(root.join(format!("tests/tests/e2e/{module}.rs")));
                file.is_ok_and(|text| name.is_empty() || text.contains(&format!("fn {name}")))
            }
            None if word(start) && start.matches('_').count() > 2 => all.contains(&format!("fn {start}")),
            _ => continue,
        };
        named += 1;
        if !is_there {
            wrong.push(token);
        }
    }
    assert!(named > 30, "only {named} tests are named: is the table still read?");
    assert!(wrong.is_empty(), "README.md names tests that are not there: {wrong:#?}");
    Ok(())
}

/// Our crates that a crate is built with, by their short names; not those of its tests.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-") && !line.contains("build-");
        } else if inside && let Some(rest) = line.strip_prefix("hindsight-") {
            found.extend(rest.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_table_of_crates_names_the_dependencies_that_they_have() -> Result<()> {
    let root = project_root();
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let table =
        text.split("\n## ").find(|section| section.starts_with("Crates")).context("no table of crates")?;
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split(" | ");
        let name = cells.next().and_then(|cell| code(cell).next()).context("a row without a name")?;
        let uses = cells.nth(1).with_context(|| format!("{name}: no cell of what it uses"))?;
        let uses = uses.split(',').map(|used| used.trim().split(' ').next().unwrap_or_default().to_owned());
        listed.insert(name, uses.filter(|used| used != "–").collect());
    }
    let workspace = read(&root.join("Cargo.toml"))?;
    let members = workspace.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    let members = members.context("no members")?.split('"').skip(1).step_by(2);
    let mut wrong = Vec::new();
    for member in members {
        let has = dependencies(&read(&root.join(member).join("Cargo.toml"))?);
        match listed.get(member) {
            Some(said) if *said == has => {}
            Some(said) => wrong.push(format!("{member}: said {said:?}, has {has:?}")),
            None => wrong.push(format!("{member} is not in the table")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
