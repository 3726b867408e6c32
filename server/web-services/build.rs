//! Points `rust-embed` at the console: the built one, or a page that says that it was not built.

use std::{env, fs, path::Path};

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hindsight</title>\
    <h1>Interface not built</h1><p>The server runs; its console was not built with it. Run <code>npm run build</code> in \
    <code>ui/console</code>, then build the server again.</p></html>";

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let dist = Path::new(&root).join("../../ui/console/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed=build.rs");
    let folder = if dist.join("index.html").is_file() {
        dist.canonicalize().expect("it was just found")
    } else {
        let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("console");
        fs::create_dir_all(&out).expect("the output directory can be written");
        fs::write(out.join("index.html"), NOT_BUILT).expect("the output directory can be written");
        out
    };
    println!("cargo:rustc-env=HINDSIGHT_CONSOLE={}", folder.display());
}
