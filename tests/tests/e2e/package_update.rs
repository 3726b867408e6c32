//! A silent installation and an update, with a whole site: enrolled without a hand, updated after the call.

use crate::{
    fixture::Fixture,
    package::{NEXT, Packages, is_recording, outcome, until, version},
};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    debian::{Debian, USER},
    display::Display,
    process::{Program, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN},
};
use std::{fs, time::Duration};

/// What a site puts on every workstation beside the package.
const SETTINGS: &str = "enrolment_file = \"/etc/hindsight/enrolment\"\n[updates]\nat_start = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_update_waits_for_the_end_of_the_recording() {
    let mut fixture = Fixture::new("frame_rate = 5");
    fixture.scenario.site.start().await.unwrap();
    waits(&fixture).await.unwrap();
}

async fn waits(fixture: &Fixture) -> Result<()> {
    let (scenario, dir) = (&fixture.scenario, fixture.dir());
    let packages = Packages::new(&dir.join("packages"))?;
    let (deb, next) = (packages.deb(None)?, packages.deb(Some(NEXT))?);
    packages.sign(&next, NEXT, "site")?;
    let offered = scenario.site.data().join("updates");
    fs::create_dir_all(&offered)?;
    for file in fs::read_dir(next.parent().context("no directory")?)? {
        let file = file?;
        fs::copy(file.path(), offered.join(file.file_name()))?;
    }

    let machine = Debian::start(dir).await?;
    let mut enrol = scenario.site.server()?;
    enrol.args(["enrol", "new", "--kind", "desktop", "--uses", "50", "--hours", "2"]);
    machine.write("/etc/hindsight/enrolment", &String::from_utf8(run(&mut enrol)?)?)?;
    machine.write("/etc/hindsight/recorder.toml", SETTINGS)?;
    machine.apt(&["install", &machine.bring(&deb)?])?;
    let own = version(&machine)?;

    // systemd's path unit: whenever a request is there, root looks at it.
    let unit = "while sleep 0.2; do for r in /var/spool/hindsight-update/*.request; do [ ! -e \"$r\" ] || hindsight-update install; done; done";
    let _unit =
        Program::spawn("path unit", &mut machine.command(false, &["sh", "-c", unit]), &dir.join("unit.log"))?;

    let (mut agent, mut customer) = scenario.phones("pcmu").await?;
    scenario.call(&mut customer, &mut agent).await?;
    let mut display = Display::start(dir, 800, 600).await?;
    display.show("clock", dir)?;
    let variables = [
        format!("DISPLAY={}", display.name),
        format!("HINDSIGHT_RECORDER_LOGIN={AGENT_LOGIN}"),
        format!("HINDSIGHT_RECORDER_PASSWORD={}", scenario.secrets.agent),
    ];
    let mut arguments = vec!["env"];
    arguments.extend(variables.iter().map(String::as_str));
    arguments.push("hindsight-recorder");
    let mut recorder = Program::spawn(
        "the packaged recorder",
        &mut machine.command(true, &arguments),
        &dir.join("recorder.log"),
    )?;
    recorder.wait_for_log("capture started", Duration::from_secs(60)).await?;
    recorder.wait_for_log(&format!("the update {NEXT} is fetched"), Duration::from_secs(60)).await?;
    let fetched = machine.root.join(format!("home/{USER}/.local/share/hindsight/update"));
    let whole = fs::metadata(&next)?.len();
    let name = next.file_name().context("no name")?;
    until("the update is there", 60, || Ok(fs::metadata(fetched.join(name))?.len() == whole)).await?;
    ensure!(is_recording(&machine), "nothing keeps root waiting");
    ensure!(
        version(&machine)? == own && outcome(&machine).is_err(),
        "it was installed in the middle of a call"
    );

    agent.hang_up().await?;
    recorder.wait_for_log("the capture ended", Duration::from_secs(30)).await?;
    ensure!(version(&machine)? == own, "it was installed before the recording had ended");
    until("the update is installed", 120, || Ok(outcome(&machine)? == "installed")).await?;
    ensure!(version(&machine)? == format!("ii {NEXT}"), "{}", version(&machine)?);
    recorder.wait_for_log("ends for the new version", Duration::from_secs(90)).await?;
    until("the old recorder ends", 30, || Ok(machine.running("/usr/bin/hindsight-recorder").is_empty()))
        .await?;

    // What was recorded meanwhile has arrived whole.
    let console = fixture.console().await?;
    let arrived = |call: &serde_json::Value| {
        let screens = media(call, "screen");
        !screens.is_empty() && screens.iter().all(|file| file["state"] == "ready")
    };
    console.wait_for(CUSTOMER_DN, Duration::from_secs(60), arrived).await?;
    Ok(())
}
