//! Answers every call at once and every other request with 200: something for `sipp` to call.
//!
//! `cargo run --release -p hindsight-sip --example answering -- 127.0.0.1:5090`

use std::collections::HashMap;

use hindsight_sip::sdp::{self, Description, Writer};
use hindsight_sip::{
    Dialog, DialogId, Event, Ids, Method, Response, SipConfig, SipMessage, SipStack, StatusCode,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5090".into()).parse()?;
    let (sip, mut events) = SipStack::bind(SipConfig::new(listen)).await?;
    let mut ids = Ids::from_os();
    let mut dialogs: HashMap<DialogId, Dialog> = HashMap::new();
    let media = std::net::SocketAddr::new(listen.ip(), 40000);
    while let Some(event) = events.recv().await {
        let Event::Request { transaction, request, .. } = event else { continue };
        match (&request.method, DialogId::of_request(&request)) {
            (Method::Invite, None) => {
                let dialog = Dialog::uas(&request, &ids.tag(), sip.contact("answering"), ids.cseq())?;
                sip.respond(transaction, dialog.response(&request, StatusCode::RINGING)).await?;
                match Description::parse(&request.sdp().unwrap_or_default()) {
                    Ok(offer) => {
                        let answer = offer.audio.answered_at(media, None);
                        let body = Writer::new(1).write(&answer, offer.shape());
                        let ok = dialog.response(&request, StatusCode::OK);
                        sip.accept(transaction, ok.with_body(sdp::CONTENT_TYPE, body)).await?;
                        dialogs.insert(dialog.id().clone(), dialog);
                    }
                    Err(_) => {
                        sip.respond(transaction, Response::to(&request, StatusCode::NOT_ACCEPTABLE_HERE))
                            .await?
                    }
                }
            }
            (Method::Bye, Some(id)) => {
                let known = dialogs.remove(&id).is_some();
                let status = if known { StatusCode::OK } else { StatusCode::CALL_DOES_NOT_EXIST };
                sip.respond(transaction, Response::to(&request, status)).await?;
            }
            _ => sip.respond(transaction, Response::to(&request, StatusCode::OK)).await?,
        }
    }
    Ok(())
}
