//! Lets the window call the shell's own commands by name, and nothing that is not named here.

const COMMANDS: &[&str] = &["watch", "ask", "settings", "set_settings", "open_logs"];

fn main() {
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)) {
        println!("cargo::error={error:#}");
    }
}
