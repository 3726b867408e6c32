//! A virtual X display with moving content.

use crate::process::{Program, built, eventually};
use anyhow::{Context, Result};
use std::{path::Path, process::Command, time::Duration};

pub struct Display {
    /// As in `DISPLAY`.
    pub name: String,
    server: Program,
    scene: Option<Program>,
}

impl Display {
    /// Starts Xvfb on a display number of its own choosing.
    pub async fn start(dir: &Path, width: u32, height: u32) -> Result<Self> {
        let number = dir.join("display");
        let file = std::fs::File::create(&number)?;
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            &format!("{width}x{height}x24"),
            "-nolisten",
            "tcp",
            "-noreset",
        ]);
        let log = dir.join("xvfb.log");
        let server = Program::spawn_with_output("Xvfb", &mut command, file, &log)?;
        let name = eventually("Xvfb's display number", Duration::from_secs(10), || async {
            let text = std::fs::read_to_string(&number)?;
            text.strip_suffix('\n').map(|n| format!(":{n}")).context("not yet")
        })
        .await?;
        Ok(Self { name, server, scene: None })
    }

    /// Shows one of the scenes of `screen_scene` (idle, office, motion, clock) until the display ends.
    pub fn show(&mut self, scene: &str, dir: &Path) -> Result<()> {
        let mut command = Command::new(built("screen_scene")?);
        command.arg(scene).env("DISPLAY", &self.name);
        self.scene = Some(Program::spawn("screen_scene", &mut command, &dir.join("scene.log"))?);
        Ok(())
    }

    pub fn is_running(&mut self) -> bool {
        self.server.is_running() && self.scene.as_mut().is_none_or(Program::is_running)
    }
}
