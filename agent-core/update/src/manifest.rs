//! The update manifest: `update.json`, signed as `update.json.minisig`.

use ring::digest::{Context, SHA256};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// Name of the manifest where the server offers it.
pub const MANIFEST_FILE: &str = "update.json";
/// Name of its signature.
pub const SIGNATURE_FILE: &str = "update.json.minisig";
/// Largest manifest or signature, bytes.
pub const LARGEST_MANIFEST: usize = 64 * 1024;
/// Largest package, bytes.
pub const LARGEST_PACKAGE: u64 = 1 << 30;

/// One version of the desktop, for every system that it was built for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// What gets installed.
    pub version: Version,
    /// Lowest version of the link's messages that a server must speak for it.
    pub min_server_protocol: u32,
    /// One for each system.
    pub packages: Vec<Package>,
}

/// A file to install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Package {
    /// Kind of package: `deb`, `rpm`, `AppImage`, `msi`, `dmg`.
    pub format: String,
    /// As `uname -m` says it.
    pub architecture: String,
    /// Name of the file, beside the manifest.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the expected JSON.
    #[error("the update manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// Too large to be one.
    #[error("the update manifest has {0} bytes")]
    Size(usize),
    /// A value without sense.
    #[error("the update manifest: {0}")]
    Value(&'static str),
}

impl Manifest {
    /// Reads a manifest whose signature was verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > LARGEST_MANIFEST {
            return Err(ManifestError::Size(bytes.len()));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        for package in &manifest.packages {
            package.check()?;
        }
        Ok(manifest)
    }
}

impl Package {
    fn check(&self) -> Result<(), ManifestError> {
        if !is_file_name(&self.file) {
            return Err(ManifestError::Value("a file is named by letters, digits and . _ - + ~ only"));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ManifestError::Value("a SHA-256 is 64 lower-case hexadecimal digits"));
        }
        if self.size == 0 || self.size > LARGEST_PACKAGE {
            return Err(ManifestError::Value("a package has between 1 byte and 1 GiB"));
        }
        Ok(())
    }

    /// Whether these are the bytes that were signed; reads no more than one byte over their number.
    pub fn is(&self, content: impl Read) -> std::io::Result<bool> {
        let (size, sha256) = fingerprint(content.take(self.size + 1))?;
        Ok(size == self.size && sha256 == self.sha256)
    }
}

/// Size and SHA-256 (lower-case hexadecimal) of what can be read.
pub fn fingerprint(mut content: impl Read) -> std::io::Result<(u64, String)> {
    let (mut context, mut size, mut buffer) = (Context::new(&SHA256), 0, vec![0; 64 * 1024]);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok((size, hex::encode(context.finish()))),
            read => {
                context.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// Whether a name is a plain file name that is safe on every system.
pub fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'~');
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(file: &str, size: u64, sha256: &str) -> Vec<u8> {
        let package = serde_json::json!({
            "format": "deb", "architecture": "x86_64", "file": file, "size": size, "sha256": sha256,
        });
        let manifest =
            serde_json::json!({ "version": "1.2.3", "minServerProtocol": 1, "packages": [package] });
        serde_json::to_vec(&manifest).unwrap()
    }

    #[test]
    fn values_that_could_do_harm_are_refused() {
        let good = "ab".repeat(32);
        assert!(Manifest::parse(&json("hindsight-desktop_1.2.3_amd64.deb", 7, &good)).is_ok());
        for file in ["../etc/shadow", "/etc/shadow", "", ".hidden", "a b", "a\nb", "a/b", "ä"] {
            assert!(Manifest::parse(&json(file, 7, &good)).is_err(), "{file:?}");
        }
        for (size, sha256) in
            [(0, good.as_str()), (LARGEST_PACKAGE + 1, &good), (7, "ab"), (7, &"AB".repeat(32))]
        {
            assert!(Manifest::parse(&json("a.deb", size, sha256)).is_err(), "{size} {sha256}");
        }
        assert!(matches!(Manifest::parse(&vec![b' '; LARGEST_MANIFEST + 1]), Err(ManifestError::Size(_))));
        assert!(
            Manifest::parse(b"{\"version\":\"1.2.3\",\"minServerProtocol\":1,\"packages\":[],\"new\":1}")
                .is_err()
        );
    }

    #[test]
    fn one_byte_more_less_or_other_is_not_the_package() {
        let (size, sha256) = fingerprint(&b"package"[..]).unwrap();
        let package = Package {
            format: "deb".into(),
            architecture: "x86_64".into(),
            file: "a.deb".into(),
            size,
            sha256,
        };
        assert!(package.is(&b"package"[..]).unwrap());
        for other in [&b"packag"[..], b"packages", b"Package", b""] {
            assert!(!package.is(other).unwrap());
        }
    }
}
