use super::*;
use hindsight_update::{
    Package,
    handover::{Request, hand_over, state},
    manifest::fingerprint,
    recording_lock::Recording,
};
use std::{cell::RefCell, process::Command, rc::Rc};

/// A package tool whose packages are text files `hindsight-desktop VERSION [good|fails|breaks]`.
#[derive(Clone)]
struct Pretended(Rc<RefCell<String>>);

impl PackageTool for Pretended {
    fn installed(&self) -> anyhow::Result<Installed> {
        let version = self.0.borrow().split(' ').nth(1).context("nothing")?.parse()?;
        Ok(Installed { version, format: "deb".into(), architecture: "x86_64".into() })
    }
    fn is_ours(&self, file: &Path, version: &semver::Version) -> anyhow::Result<()> {
        let content = fs::read_to_string(file)?;
        anyhow::ensure!(
            content.starts_with(&format!("hindsight-desktop {version} ")),
            "the package is {content}"
        );
        Ok(())
    }
    fn keep(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        fs::write(directory.join("before"), self.0.borrow().as_bytes())?;
        Ok(directory.join("before"))
    }
    fn install(&self, file: &Path) -> anyhow::Result<()> {
        let content = fs::read_to_string(file)?;
        anyhow::ensure!(!content.ends_with("fails"), "no space");
        *self.0.borrow_mut() = content;
        Ok(())
    }
    fn starts(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.0.borrow().ends_with("breaks"), "it does not start");
        Ok(())
    }
}

struct Site {
    directory: tempfile::TempDir,
    machine: Machine,
    installed: Rc<RefCell<String>>,
}

impl Site {
    /// 1.0.0 is installed; the key `ours` is believed.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("spool")).unwrap();
        for name in ["ours", "theirs"] {
            let path = |end: &str| directory.path().join(format!("{name}.{end}"));
            let made = Command::new("minisign")
                .args(["-G", "-W", "-p"])
                .arg(path("pub"))
                .arg("-s")
                .arg(path("key"))
                .output()
                .expect("minisign (Debian package) makes the keys of this test");
            assert!(made.status.success(), "{made:?}");
        }
        let mut keys = Keys::default();
        keys.add(&fs::read_to_string(directory.path().join("ours.pub")).unwrap()).unwrap();
        let installed = Rc::new(RefCell::new("hindsight-desktop 1.0.0 good".to_owned()));
        let tool = Box::new(Pretended(installed.clone()));
        let (lock, state) = (directory.path().join("lock"), directory.path().join("state/state.json"));
        Self { machine: Machine { tool, keys, lock, state }, directory, installed }
    }

    fn sign(&self, manifest: &[u8], key: &str) -> String {
        let (file, signature) = (self.directory.path().join("m"), self.directory.path().join("m.sig"));
        fs::write(&file, manifest).unwrap();
        let mut minisign = Command::new("minisign");
        minisign.arg("-SH").arg("-s").arg(self.directory.path().join(format!("{key}.key")));
        let signed = minisign.arg("-m").arg(&file).arg("-x").arg(&signature).output().unwrap();
        assert!(signed.status.success(), "{signed:?}");
        fs::read_to_string(signature).unwrap()
    }

    /// Hands over a package of this content as this version; `spoil` may change what is handed over.
    fn offer(
        &self,
        version: &str,
        content: &str,
        key: &str,
        spoil: impl FnOnce(&mut Request, &mut String),
    ) -> State {
        let (size, sha256) = fingerprint(content.as_bytes()).unwrap();
        let package = Package {
            format: "deb".into(),
            architecture: "x86_64".into(),
            file: "new.deb".into(),
            size,
            sha256,
        };
        let manifest =
            Manifest { version: version.parse().unwrap(), min_server_protocol: 1, packages: vec![package] };
        let manifest = serde_json::to_string(&manifest).unwrap();
        let signature = self.sign(manifest.as_bytes(), key);
        let (mut request, mut content) = (Request { manifest, signature }, content.to_owned());
        spoil(&mut request, &mut content);
        let (spool, file) = (self.directory.path().join("spool"), self.directory.path().join("package"));
        fs::write(&file, content).unwrap();
        hand_over(&spool, "1", &request, &file).unwrap();
        for taken in taking::take_all(&spool).unwrap() {
            self.machine.handle(taken).unwrap();
        }
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
        state(&self.machine.state).unwrap()
    }

    fn version(&self) -> String {
        self.installed.borrow().split(' ').nth(1).unwrap().to_owned()
    }
}

fn nothing(_: &mut Request, _: &mut String) {}

#[test]
fn a_signed_newer_package_is_installed() {
    let site = Site::new();
    let state = site.offer("1.1.0", "hindsight-desktop 1.1.0 good", "ours", nothing);
    assert_eq!((state.outcome, site.version().as_str()), (Outcome::Installed, "1.1.0"));
}

#[test]
fn what_is_not_signed_not_whole_not_ours_or_older_is_refused() {
    let site = Site::new();
    let good = "hindsight-desktop 1.1.0 good";
    let refused = [
        ("another key", site.offer("1.1.0", good, "theirs", nothing)),
        (
            "changed manifest",
            site.offer("1.1.0", good, "ours", |r, _| r.manifest = r.manifest.replace("1.1.0", "1.2.0")),
        ),
        ("no signature", site.offer("1.1.0", good, "ours", |r, _| r.signature.clear())),
        ("signature cut", site.offer("1.1.0", good, "ours", |r, _| r.signature.truncate(80))),
        ("corrupt package", site.offer("1.1.0", good, "ours", |_, p| p.replace_range(0..1, "H"))),
        ("cut package", site.offer("1.1.0", good, "ours", |_, p| p.truncate(9))),
        ("longer package", site.offer("1.1.0", good, "ours", |_, p| p.push('x'))),
        ("downgrade", site.offer("0.9.0", "hindsight-desktop 0.9.0 good", "ours", nothing)),
        ("another package", site.offer("1.1.0", "bash 1.1.0 good", "ours", nothing)),
        ("another version inside", site.offer("1.1.0", "hindsight-desktop 0.1.0 good", "ours", nothing)),
    ];
    for (what, state) in refused {
        assert_eq!(state.outcome, Outcome::Refused, "{what}: {}", state.reason);
    }
    assert_eq!(site.version(), "1.0.0");
}

#[test]
fn without_a_key_nothing_is_believed() {
    let mut site = Site::new();
    site.machine.keys = Keys::default();
    let state = site.offer("1.1.0", "hindsight-desktop 1.1.0 good", "ours", nothing);
    assert_eq!(state.outcome, Outcome::Refused);
    assert!(state.reason.contains("no update key"), "{}", state.reason);
}

#[test]
fn when_the_installation_fails_the_version_before_stands() {
    let site = Site::new();
    for how in ["fails", "breaks"] {
        let state = site.offer("1.1.0", &format!("hindsight-desktop 1.1.0 {how}"), "ours", nothing);
        assert_eq!((state.outcome, site.version().as_str()), (Outcome::Failed, "1.0.0"), "{how}");
        assert!(state.reason.contains("1.0.0 stands"), "{}", state.reason);
    }
}

#[test]
fn it_says_that_it_waits_and_installs_when_the_recording_is_over() {
    let site = Site::new();
    assert!(!Installing::would_wait(&site.machine.lock).unwrap());
    let recording = Recording::begin(&site.machine.lock).unwrap();
    let state_file = site.machine.state.clone();
    // The end of the recording comes when root has said that it waits.
    let agent = std::thread::spawn(move || {
        while state(&state_file).is_none_or(|state| state.outcome != Outcome::Waiting) {
            std::thread::yield_now();
        }
        drop(recording);
    });
    let state = site.offer("1.1.0", "hindsight-desktop 1.1.0 good", "ours", nothing);
    agent.join().unwrap();
    assert_eq!((state.outcome, site.version().as_str()), (Outcome::Installed, "1.1.0"));
}
