//! An agent's desktop and their call: what they are shown follows it, what they ask for happens, and both phones see it.

use crate::{fixture::Fixture, network::Trace};
use anyhow::{Context, Result, anyhow, ensure};
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    process::eventually,
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
};
use hindsight_wire::{
    InteractionId,
    agent::{AgentAction, CallAction, Hold, InteractionView, Progress, RecordingState},
    component::RecordingAction,
    local::Ask,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(10);

/// What the window shows of the one interaction there is, once it is as wanted.
async fn shown(client: &Client, wanted: impl Fn(&InteractionView) -> bool) -> Result<InteractionView> {
    let mut status = client.status();
    let found = status.wait_for(|status| status.interactions.iter().any(&wanted));
    let found = tokio::time::timeout(LIMIT, found).await;
    match found {
        Ok(status) => Ok(status?.interactions.iter().find(|view| wanted(view)).context("shown")?.clone()),
        Err(_) => Err(anyhow!("not shown in time: {:?}", client.status().borrow().interactions)),
    }
}

async fn ask(client: &Client, action: AgentAction) -> Result<(), String> {
    client.request(Ask::Agent(action)).await.map(drop)
}

async fn call(client: &Client, interaction: InteractionId, action: CallAction) -> Result<()> {
    ask(client, AgentAction::Call { interaction, action }).await.map_err(|why| anyhow!("{action:?}: {why}"))
}

/// Seconds since the epoch, as tshark writes them.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

#[tokio::test]
async fn the_desktop_holds_takes_back_pauses_and_hangs_up_a_real_call() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5\n\n[agent]\nreasons = [\"Lunch\"]\n");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("clock", (640, 480), "x11").await?;
    let client = Client::connect(&socket_path(&f.dir().join("desktop/data"))).await?;
    let console = f.console().await?;

    // Ready or not, with the site's reason; a supervisor sees it.
    let lunch = AgentAction::State { ready: false, reason: Some("Lunch".into()) };
    ask(&client, lunch).await.map_err(|why| anyhow!(why))?;
    let bored = AgentAction::State { ready: false, reason: Some("Bored".into()) };
    assert_eq!(ask(&client, bored).await, Err("this is not one of the site's reasons".into()));
    let list = console.get("/api/v2/desktops").await?;
    assert_eq!(list["items"][0]["person"]["reason"], "Lunch", "{list:#}");
    ask(&client, AgentAction::State { ready: true, reason: None }).await.map_err(|why| anyhow!(why))?;

    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let view = shown(&client, |view| {
        view.progress == Progress::Established
            && view.voice == RecordingState::Recording
            && view.screen == RecordingState::Recording
    })
    .await?;
    assert_eq!((view.from.as_str(), view.to.as_str()), (CUSTOMER_DN, AGENT_DN));
    assert_eq!(view.calls, [CallAction::Hold, CallAction::HangUp], "this phone is answered by hand only");
    assert_eq!(view.recording, [RecordingAction::Pause], "policy records it");
    let id = view.id;

    // Hold and retrieve; what the other phone is told and hears is read from the wire, below.
    let began = std::time::Instant::now();
    call(&client, id, CallAction::Hold).await?;
    println!("hold confirmed after {} ms", began.elapsed().as_millis());
    let held = now()?;
    let view = shown(&client, |view| view.progress == Progress::Held).await?;
    assert_eq!(view.calls, [CallAction::Retrieve, CallAction::HangUp]);
    assert_eq!(view.holds, [Hold::Agent]);
    talk(Duration::from_secs(2)).await;
    let asked_back = now()?;
    let began = std::time::Instant::now();
    call(&client, id, CallAction::Retrieve).await?;
    println!("retrieve confirmed after {} ms", began.elapsed().as_millis());
    shown(&client, |view| view.progress == Progress::Established).await?;
    talk(Duration::from_secs(1)).await;

    // One pause for voice and screen.
    let recording = |action| AgentAction::Recording { interaction: id, action, reason: "card".into() };
    ask(&client, recording(RecordingAction::Pause)).await.map_err(|why| anyhow!(why))?;
    let paused = |view: &InteractionView| {
        (view.voice, view.screen) == (RecordingState::Paused, RecordingState::Paused)
    };
    shown(&client, paused).await?;
    let stop = ask(&client, recording(RecordingAction::Stop)).await;
    assert!(stop.is_err_and(|why| why.contains("recorded by policy")));
    ask(&client, recording(RecordingAction::Resume)).await.map_err(|why| anyhow!(why))?;

    // A hold at the phone itself: the desktop offers nothing that would be refused, and says who holds.
    trace.stop().await?;
    agent.hold().await?;
    let view = shown(&client, |view| view.progress == Progress::Held).await?;
    assert_eq!((&view.calls[..], &view.holds[..]), (&[CallAction::HangUp][..], &[Hold::AgentsPhone][..]));
    let refused = call(&client, id, CallAction::Retrieve).await.expect_err("the phone holds");
    assert!(refused.to_string().contains("not possible now"), "{refused}");
    customer.hold().await?;
    let both = |view: &InteractionView| view.holds == [Hold::AgentsPhone, Hold::OtherParty];
    shown(&client, both).await?;
    agent.resume().await?;
    let view = shown(&client, |view| view.holds == [Hold::OtherParty]).await?;
    assert_eq!(
        (view.progress, &view.calls[..]),
        (Progress::Held, &[CallAction::Hold, CallAction::HangUp][..])
    );
    customer.resume().await?;
    let view = shown(&client, |view| view.progress == Progress::Established).await?;
    assert!(view.holds.is_empty());

    // Hang-up ends both, and is reported when both are gone.
    let began = std::time::Instant::now();
    call(&client, id, CallAction::HangUp).await?;
    println!("hang-up confirmed after {} ms", began.elapsed().as_millis());
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    customer.wait_for("CALL_CLOSED", LIMIT).await?;
    let mut status = client.status();
    tokio::time::timeout(LIMIT, status.wait_for(|status| status.interactions.is_empty())).await??;

    let offers: Vec<String> =
        trace.offers_to(customer.sip_port)?.into_iter().map(|(_, direction)| direction).collect();
    assert_eq!(offers, ["sendonly", "sendrecv"], "the other phone is put on hold and taken back");
    let own: Vec<String> =
        trace.offers_to(agent.sip_port)?.into_iter().map(|(_, direction)| direction).collect();
    assert_eq!(own, ["sendrecv", "recvonly", "sendrecv"], "the agent's own phone expects nothing meanwhile");
    let heard = trace.voice_to_phone(customer.rtp_ports())?;
    let on_hold = heard.iter().filter(|at| **at > held + 0.05 && **at < asked_back).count();
    let after = heard.iter().filter(|at| **at > asked_back + 0.5).count();
    println!("voice packets to the customer: {on_hold} in 2 s on hold, {after} after it");
    assert!(on_hold == 0 && after >= 10, "no word of the agent's passes a hold");

    // Both pauses are in the timeline, each proved by its own recorder; hold and retrieve are there too.
    let done = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    for kind in ["voice", "screen"] {
        let files = done["mediaFiles"].as_array().context("mediaFiles")?;
        let file = files.iter().find(|file| file["kind"] == kind).context("a recording")?;
        assert_eq!(file["pauses"].as_array().map(Vec::len), Some(1), "{kind}: {file:#}");
        assert_eq!(file["pauses"][0]["reason"], "card");
    }
    let kinds: Vec<&str> =
        done["eventHistory"].as_array().into_iter().flatten().filter_map(|e| e["type"].as_str()).collect();
    for kind in ["call-ringing", "call-held", "call-retrieved", "recording-paused", "recording-resumed"] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    recorder.terminate(Duration::from_secs(20)).await?;
    let list = eventually("the list to show that it is gone", LIMIT, || async {
        let list = console.get("/api/v2/desktops").await?;
        ensure!(list["items"][0]["state"] == "offline", "{list:#}");
        Ok(list)
    })
    .await?;
    assert_eq!(list["items"][0]["dn"], AGENT_DN);
    f.scenario.site.stop().await
}
