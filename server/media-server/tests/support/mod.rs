//! A throwaway site and a SIP caller, shared by the tests and the load example.
#![allow(dead_code)] // Each program that includes this uses its own part of it.

use hindsight_link::Identity;
use hindsight_msml::{Command, DialogId as MsmlDialog, Outcome, Params, Request as Msml};
use hindsight_sip::{
    Destination, Dialog, Event, Ids, Method, NameAddr, NewRequest, Request, Response, SipConfig, SipHandle,
    SipStack, Uri,
};
use hindsight_wire::{DeviceId, InteractionId, component::VoiceConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub const LIMIT: Duration = Duration::from_secs(20);

/// A CA, a device of it, and a recipient of recordings.
pub struct Site {
    pub device_key: String,
    pub device_cert: String,
    pub ca: String,
    pub recipient_key: String,
    pub recipient_cert: String,
}

impl Site {
    pub fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);

        let device_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, DeviceId::new().to_string());
        params.distinguished_name.push(DnType::OrganizationalUnitName, "media-server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let device = params.signed_by(&device_key, &issuer).unwrap();

        let recipient_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "recordings");
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        let recipient = params.self_signed(&recipient_key).unwrap();
        Self {
            device_key: device_key.serialize_pem(),
            device_cert: device.pem(),
            ca: ca.pem(),
            recipient_key: recipient_key.serialize_pem(),
            recipient_cert: recipient.pem(),
        }
    }

    /// Keeps the identity where a child process finds it.
    pub fn store(&self, dir: &Path) {
        std::fs::write(dir.join("key.pem"), &self.device_key).unwrap();
        std::fs::write(dir.join("cert.pem"), &self.device_cert).unwrap();
        std::fs::write(dir.join("ca.pem"), &self.ca).unwrap();
    }

    /// What [`Site::store`] kept; the web services' address is one where nobody listens.
    pub fn identity(dir: &Path) -> Identity {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let nobody = Some("127.0.0.1:9".to_owned());
        Identity::new(Zeroizing::new(read("key.pem")), read("cert.pem"), read("ca.pem"), nobody).unwrap()
    }

    /// The configuration that a media server finds cached in its data directory.
    pub fn cache_config(&self, data: &Path, recipients: bool) {
        let recipients = if recipients { vec![self.recipient_cert.clone()] } else { Vec::new() };
        let config = VoiceConfig { version: 1, realm: "test".into(), recipients, ..VoiceConfig::default() };
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    }
}

/// A free UDP and TCP port.
pub fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A UAC.
pub struct Caller {
    pub sip: SipHandle,
    pub events: mpsc::Receiver<Event>,
    pub server: SocketAddr,
    ids: Ids,
}

/// A leg that the caller has opened.
pub struct CallerLeg {
    pub dialog: Dialog,
    /// The media server's RTP address for it.
    pub media: SocketAddr,
}

impl Caller {
    pub async fn new(server: SocketAddr) -> Self {
        let (sip, events) = SipStack::bind(SipConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
        Self { sip, events, server, ids: Ids::from_os() }
    }

    /// Sends an INVITE, takes it back as soon as it may, and waits for its final response.
    pub async fn ask_and_cancel(&mut self, invite: Request) -> Response {
        let id = self.sip.send_request(invite, Destination::udp(self.server)).await.unwrap();
        self.sip.cancel(id).await.unwrap();
        self.answer(id).await
    }

    /// Sends a request and waits for its final response.
    pub async fn ask(&mut self, request: Request) -> Response {
        let id = self.sip.send_request(request, Destination::udp(self.server)).await.unwrap();
        self.answer(id).await
    }

    async fn answer(&mut self, id: hindsight_sip::ClientTransactionId) -> Response {
        let wait = async {
            loop {
                match self.events.recv().await.unwrap() {
                    Event::Response { transaction, response, .. }
                        if transaction == id && response.status.is_final() =>
                    {
                        return response;
                    }
                    Event::TimedOut { transaction } | Event::TransportFailed { transaction, .. }
                        if transaction == id =>
                    {
                        panic!("no response")
                    }
                    _ => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("a response in time")
    }

    /// Waits until the server answers OPTIONS; returns its load.
    pub async fn ready(&mut self) -> String {
        self.ready_with(200).await
    }

    /// The same, with this status.
    pub async fn ready_with(&mut self, status: u16) -> String {
        for _ in 0..100 {
            let request = self.request(Method::Options, "sip:media@127.0.0.1");
            let id = self.sip.send_request(request, Destination::udp(self.server)).await.unwrap();
            let wait = async {
                loop {
                    if let Some(Event::Response { transaction, response, .. }) = self.events.recv().await
                        && transaction == id
                    {
                        return response;
                    }
                }
            };
            if let Ok(response) = tokio::time::timeout(Duration::from_millis(200), wait).await {
                assert_eq!(response.status.as_u16(), status);
                return response.headers.get("X-Load").unwrap().to_owned();
            }
        }
        panic!("the media server does not answer");
    }

    pub fn request(&mut self, method: Method, target: &str) -> Request {
        NewRequest {
            method,
            target: Uri::parse(target).unwrap(),
            from: NameAddr::parse("<sip:1001@test>").unwrap(),
            from_tag: self.ids.tag(),
            to: NameAddr::parse(&format!("<{target}>")).unwrap(),
            call_id: self.ids.call_id(),
            cseq: self.ids.cseq(),
            contact: Some(self.sip.contact("sip-server")),
        }
        .build()
    }

    pub fn invite(&mut self, interaction: InteractionId, role: &str, offer: &str) -> Request {
        let target = format!("sip:msml={}@127.0.0.1;role={role}", interaction.to_session_id());
        self.request(Method::Invite, &target).with_body("application/sdp", offer)
    }

    /// Opens a leg for a phone that speaks from this port.
    pub async fn open(&mut self, interaction: InteractionId, role: &str, phone: u16) -> CallerLeg {
        let invite = self.invite(interaction, role, &offer(phone, "sendrecv"));
        let response = self.ask(invite.clone()).await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.reason);
        let dialog = Dialog::uac(&invite, &response).unwrap();
        self.ack(&dialog).await;
        CallerLeg { dialog, media: media_of(&response) }
    }

    pub async fn ack(&mut self, dialog: &Dialog) {
        let ack = dialog.clone().request(Method::Bye);
        let number = hindsight_sip::SipMessage::cseq(&ack).unwrap().number - 1;
        self.sip.send_stateless(dialog.ack(number), Destination::udp(self.server)).await.unwrap();
    }

    pub async fn reinvite(&mut self, leg: &mut CallerLeg, offer: &str) -> Response {
        let request = leg.dialog.request(Method::Invite).with_body("application/sdp", offer);
        let response = self.ask(request).await;
        self.ack(&leg.dialog).await;
        response
    }

    pub async fn msml(
        &mut self,
        leg: &mut CallerLeg,
        interaction: InteractionId,
        command: Command,
    ) -> Outcome {
        let params =
            Params { by: Some("anna".into()), reason: Some("card number".into()), ..Params::default() };
        self.msml_with(leg, interaction, command, params).await
    }

    pub async fn msml_with(
        &mut self,
        leg: &mut CallerLeg,
        interaction: InteractionId,
        command: Command,
        params: Params,
    ) -> Outcome {
        let dialog = MsmlDialog { conference: interaction.to_session_id(), name: "rec".into() };
        let body = hindsight_msml::write_request(&Msml { command, dialog, params });
        let request = leg.dialog.request(Method::Info).with_body(hindsight_msml::CONTENT_TYPE, body);
        let response = self.ask(request).await;
        assert_eq!(response.status.as_u16(), 200);
        hindsight_msml::parse_result(&response.body).unwrap()
    }

    pub async fn bye(&mut self, leg: &mut CallerLeg) {
        let request = leg.dialog.request(Method::Bye);
        assert_eq!(self.ask(request).await.status.as_u16(), 200);
    }
}

pub fn offer(port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
}

/// Address and port of the audio line of an answer.
pub fn media_of(response: &Response) -> SocketAddr {
    let body = std::str::from_utf8(&response.body).unwrap();
    let line = body.lines().find(|line| line.starts_with("m=audio ")).unwrap();
    let port: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// An RTP packet of 20 ms G.711.
pub fn rtp(ssrc: u32, n: u16, tag: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(n.to_be_bytes());
    bytes.extend((u32::from(n) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([tag; 160]);
    bytes
}
