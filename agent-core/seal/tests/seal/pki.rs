//! Keys and certificates made by OpenSSL.

use hindsight_seal::{PrivateKey, Recipient};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use uuid::Uuid;

/// A fixed recording id.
pub const RECORDING: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
/// Another one.
pub const OTHER_RECORDING: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0002);

/// One certificate and its key, as files.
pub struct Party {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Party {
    pub fn recipient(&self) -> Recipient {
        Recipient::from_pem(&self.certificate_pem()).unwrap()
    }

    pub fn private_key(&self) -> PrivateKey {
        PrivateKey::from_pkcs8_pem(&self.key_pem()).unwrap()
    }

    pub fn certificate_pem(&self) -> String {
        std::fs::read_to_string(&self.certificate).unwrap()
    }

    pub fn key_pem(&self) -> String {
        std::fs::read_to_string(&self.key).unwrap()
    }
}

pub struct Pki {
    pub rsa3072: Party,
    pub rsa2048: Party,
    pub p256: Party,
    pub p256_other: Party,
    pub p384: Party,
}

/// Made by the first test that needs it and kept with the build: RSA keys take their time.
pub static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seal-pki-1");
    if !kept.exists() {
        let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (name, kind) in [
            ("rsa3072", &["-newkey", "rsa:3072"][..]),
            ("rsa2048", &["-newkey", "rsa:2048"]),
            ("p256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            ("p256-other", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            ("p384", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ] {
            self_signed(fresh.path(), name, kind);
        }
        // Whoever comes first wins; the others' directory goes away.
        let _ = std::fs::rename(fresh.path(), &kept);
    }
    Pki {
        rsa3072: party(&kept, "rsa3072"),
        rsa2048: party(&kept, "rsa2048"),
        p256: party(&kept, "p256"),
        p256_other: party(&kept, "p256-other"),
        p384: party(&kept, "p384"),
    }
});

fn party(dir: &Path, name: &str) -> Party {
    Party { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) }
}

pub fn self_signed(dir: &Path, name: &str, options: &[&str]) -> Party {
    let party = party(dir, name);
    let mut arguments = vec!["req", "-x509", "-nodes", "-days", "7300", "-sha256"];
    let subject = format!("/O=Hindsight tests/CN={name}");
    let (certificate, key) = (party.certificate.to_str().unwrap(), party.key.to_str().unwrap());
    arguments.extend(["-subj", &subject, "-out", certificate, "-keyout", key]);
    arguments.extend(options);
    openssl(&arguments, None);
    party
}

/// Runs OpenSSL, which must succeed; its standard output.
pub fn openssl(arguments: &[&str], input: Option<&[u8]>) -> Vec<u8> {
    let output = try_openssl(arguments, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    output.stdout
}

pub fn try_openssl(arguments: &[&str], input: Option<&[u8]>) -> Output {
    run(Command::new("openssl").args(arguments), input)
}

/// Runs a program with `input` on its standard input.
pub fn run(command: &mut Command, input: Option<&[u8]>) -> Output {
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs what tests need"));
    let feeder = input.map(|input| {
        let (mut pipe, input) = (child.stdin.take().unwrap(), input.to_vec());
        // A program that fails early does not read all: its status tells.
        std::thread::spawn(move || drop(std::io::Write::write_all(&mut pipe, &input)))
    });
    let output = child.wait_with_output().unwrap();
    if let Some(feeder) = feeder {
        feeder.join().unwrap();
    }
    output
}

/// `len` bytes that look random and are the same every time.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
