//! Refuses to build a slow recorder: without `nasm`, openh264-sys2 leaves out its assembly without a word and
//! encoding costs three times as much.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=OPENH264_NO_ASM");
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(target.as_str(), "x86" | "x86_64") {
        return;
    }
    if std::env::var_os("OPENH264_NO_ASM").is_some() {
        println!(
            "cargo::error=OPENH264_NO_ASM is set: the recorder would encode three times slower; unset it"
        );
        return;
    }
    let found = Command::new("nasm").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=nasm was not found: openh264 would be built without assembly and encode three times \
             slower. Install it (Debian: apt-get install nasm), then `cargo clean -p openh264-sys2` and build again"
        );
    }
}
