//! Calls from and to the world outside: baresip outside, Kamailio as the carrier, a phone of the site inside.

use crate::{
    call::{follows, wave_of},
    fixture::Fixture,
};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    carrier::Carrier,
    console::media,
    phone::{Phone, PhoneConfig},
    process::{eventually, run},
    scenario::{AGENT_DN, talk},
};
use std::{path::Path, time::Duration};

/// Who is outside, as the carriers know them and in the one form.
const OUTSIDE: &str = "4917112345";
const OUTSIDE_NUMBER: &str = "+4917112345";
const AGENT_NUMBER: &str = "4930123401";
const LIMIT: Duration = Duration::from_secs(10);

/// A site with two trunks: the first is better, asks for a password and is registered with; the second one is spoken to
/// by TCP. Nothing runs yet.
struct World {
    f: Fixture,
    one: Carrier,
    two: Carrier,
}

impl World {
    fn new() -> Result<Self> {
        let f = Fixture::new("");
        let site = f.scenario.site.ports.sip;
        let password = &f.scenario.secrets.supervisor;
        let one = Carrier::new(&f.dir().join("one"), [127, 0, 0, 2].into(), site, Some(password))?;
        let two = Carrier::new(&f.dir().join("two"), [127, 0, 0, 3].into(), site, None)?;
        let trunk = |name: &str, priority: u8, carrier: &Carrier, more: &str| {
            format!(
                "[[trunk]]\nname = \"{name}\"\naddress = \"{}\"\npriority = {priority}\nformat = \"plain\"\n\
                 numbers = [{{ number = \"+{AGENT_NUMBER}\", dn = \"{AGENT_DN}\" }}]\n{more}\n",
                carrier.address
            )
        };
        let outside = "[outside]\nprefix = \"0\"\ncountry = \"49\"\narea = \"30\"\n";
        let account = format!("user = \"site\"\npassword = \"{password}\"\nregister = true");
        let trunks = [trunk("one", 1, &one, &account), trunk("two", 2, &two, "transport = \"tcp\"")];
        let text = format!("{outside}{}", trunks.concat());
        let file = f.dir().join("trunks.toml");
        std::fs::write(&file, text)?;
        run(f.scenario.site.server()?.args(["config", "apply"]).arg(&file))?;
        Ok(Self { f, one, two })
    }

    /// A phone outside, registered with a carrier, and the agent's.
    async fn phone(&self, name: &str, dn: &str, registrar: &str, speech: &Path) -> Result<Phone> {
        let authority = self.f.scenario.site.authority_file();
        let config = PhoneConfig {
            dn,
            password: &self.f.scenario.secrets.agent_phone,
            registrar,
            authority: &authority,
            speech,
            codec: "pcmu",
            media_encryption: "",
            auto_answer: true,
        };
        Phone::start(&self.f.dir().join(name), &config).await
    }

    /// Waits until a trunk is known to be up or down.
    async fn known(&self, trunk: &str, up: bool, limit: Duration) -> Result<()> {
        let (site, line) =
            (&self.f.scenario.site, format!("hindsight_sip_trunk_up{{trunk=\"{trunk}\"}} {}", u8::from(up)));
        eventually(&line, limit, || async {
            let text = site.http()?.get(format!("{}/metrics", site.url())).send().await?.text().await?;
            ensure!(text.lines().any(|known| known == line), "{text}");
            Ok(())
        })
        .await
    }
}

/// The recording of the newest call with who is outside: each voice on its own track.
async fn recorded(world: &World, calls: usize, caller: &str, dialled: &str) -> Result<()> {
    let console = world.f.console().await?;
    let call = eventually("the recording", Duration::from_secs(40), || async {
        let found = console.by_number(&OUTSIDE_NUMBER.replace('+', "%2B")).await?;
        ensure!(found.len() == calls, "{} calls", found.len());
        let newest = found.first().and_then(|call| call["id"].as_str()).context("no call")?;
        let call = console.interaction(newest).await?;
        ensure!(call["voice"] == "complete", "{call:#}");
        Ok(call)
    })
    .await?;
    ensure!(call["callerPhoneNumber"] == caller && call["dialedPhoneNumber"] == dialled, "{call:#}");
    let files = media(&call, "voice");
    ensure!(files.len() == 1, "{call:#}");
    let wave = wave_of(&console, files[0]).await?;
    let agent = follows(&wave, 0, &world.f.dir().join("agent.wav"))?;
    let outside = follows(&wave, 1, &world.f.dir().join("customer.wav"))?;
    println!("{caller} to {dialled}: {:.2} s, agent {agent:?}, outside {outside:?}", wave.seconds());
    ensure!(agent.coefficient >= 0.95 && outside.coefficient >= 0.95, "{agent:?} {outside:?}");
    let crossed = follows(&wave, 1, &world.f.dir().join("agent.wav"))?;
    ensure!(crossed.coefficient < 0.5, "the agent is heard outside's track: {crossed:?}");
    Ok(())
}

#[tokio::test]
async fn calls_from_and_to_the_world_outside_are_recorded_and_go_by_the_trunk_that_is_there() -> Result<()> {
    let mut world = World::new()?;
    world.one.start().await?;
    world.two.start().await?;
    world.f.scenario.site.start().await?;
    for trunk in ["one", "two"] {
        world.known(trunk, true, LIMIT).await?;
    }
    world.one.logs("udp REGISTER of site", LIMIT).await?;
    let (registrar, dir) = (world.f.scenario.site.registrar(), world.f.dir().to_owned());
    let mut agent = world.phone("agent-phone", AGENT_DN, &registrar, &dir.join("agent.wav")).await?;
    let speech = dir.join("customer.wav");
    let mut by_one = world.phone("outside-one", OUTSIDE, &world.one.address, &speech).await?;
    let mut by_two = world.phone("outside-two", OUTSIDE, &world.two.address, &speech).await?;

    // In: who is outside dials the agent's number on the public network, and hangs up.
    by_one.dial(&format!("sip:{AGENT_NUMBER}@{}", world.one.address)).await?;
    for phone in [&mut agent, &mut by_one] {
        phone.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    }
    talk(Duration::from_secs(8)).await;
    by_one.hang_up().await?;
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    recorded(&world, 1, OUTSIDE_NUMBER, AGENT_DN).await?;

    // A number that is nobody's, and one that is not this site's.
    for number in ["4930123499", "43900123456"] {
        by_one.dial(&format!("sip:{number}@{}", world.one.address)).await?;
        by_one.wait_for("CALL_CLOSED", LIMIT).await?;
    }

    // Out: the agent dials as agents do, and the other side hangs up.
    let dialled = format!("sip:0017112345@{registrar}");
    agent.dial(&dialled).await?;
    for phone in [&mut agent, &mut by_one] {
        phone.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    }
    talk(Duration::from_secs(8)).await;
    by_one.hang_up().await?;
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    // The number that is nobody's is a call, too.
    recorded(&world, 3, AGENT_DN, OUTSIDE_NUMBER).await?;

    // The better carrier dies: the next call does not wait for it to be missed.
    world.one.kill();
    let began = std::time::Instant::now();
    agent.dial(&dialled).await?;
    by_two.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    let took = began.elapsed();
    agent.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    println!("connected by the second trunk {took:?} after dialling, the first one killed just before");
    ensure!(took < Duration::from_secs(6), "{took:?}");
    world.known("one", false, LIMIT).await?;
    talk(Duration::from_secs(8)).await;
    agent.hang_up().await?;
    by_two.wait_for("CALL_CLOSED", LIMIT).await?;
    recorded(&world, 4, AGENT_DN, OUTSIDE_NUMBER).await?;

    // It is back; so is who is registered there, in a new life.
    drop(by_one);
    world.one.start().await?;
    let began = std::time::Instant::now();
    world.known("one", true, LIMIT).await?;
    println!("known to be up again {:?} after its start", began.elapsed());
    // Its new life knows nothing of the registration in the one before.
    let registered = "udp REGISTER of site";
    eventually("registered anew", LIMIT, || async {
        let log = world.one.log_text();
        ensure!(log.matches(registered).count() >= 4, "{log}");
        Ok(())
    })
    .await?;
    let mut by_one = world.phone("outside-again", OUTSIDE, &world.one.address, &speech).await?;
    agent.dial(&dialled).await?;
    by_one.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    agent.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    agent.hang_up().await?;
    by_one.wait_for("CALL_CLOSED", LIMIT).await?;

    world.two.logs("tcp INVITE of", LIMIT).await?;
    world.two.logs("tcp BYE of", LIMIT).await?;
    let log = world.f.scenario.site.program("server")?.log_text();
    let told = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    ensure!(told("a trunk is down") == 1, "once for each change: {log}");
    ensure!(!log.contains(OUTSIDE) && !log.contains(AGENT_NUMBER), "a number is in the log");
    world.f.scenario.site.stop().await
}
