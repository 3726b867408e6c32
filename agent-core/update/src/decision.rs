//! Whether an update fits what is installed.

use crate::manifest::{Manifest, Package};
use semver::Version;
use serde::{Deserialize, Serialize};

/// Where a package says what it is.
pub const PACKAGE_FILE: &str = "/usr/share/hindsight/package.json";

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Version of the package.
    pub version: Version,
    /// Kind of package, as in [`Package::format`].
    pub format: String,
    /// As in [`Package::architecture`].
    pub architecture: String,
}

/// Why an update is not for this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Older than what is installed.
    #[error("the update {offered} is older than the installed {installed}")]
    Downgrade {
        /// Of the update.
        offered: Version,
        /// Here.
        installed: Version,
    },
    /// Not built for this system.
    #[error("the update {offered} has no {format} package for {architecture}")]
    NoPackage {
        /// Of the update.
        offered: Version,
        /// Wanted.
        format: String,
        /// Wanted.
        architecture: String,
    },
    /// The server is too old for it.
    #[error("the update {offered} needs a server of protocol {needed}; this one speaks {server}")]
    Protocol {
        /// Of the update.
        offered: Version,
        /// Of the update.
        needed: u32,
        /// Of the server.
        server: u32,
    },
}

/// The package to install; `None` when this version is installed. `server`: protocol of the site's server, when known.
pub fn decide<'a>(
    manifest: &'a Manifest,
    installed: &Installed,
    server: Option<u32>,
) -> Result<Option<&'a Package>, Refused> {
    let offered = manifest.version.clone();
    // Build metadata does not order versions (Semantic Versioning 10).
    match offered.cmp_precedence(&installed.version) {
        std::cmp::Ordering::Equal => return Ok(None),
        std::cmp::Ordering::Less => {
            return Err(Refused::Downgrade { offered, installed: installed.version.clone() });
        }
        std::cmp::Ordering::Greater => {}
    }
    if let Some(server) = server.filter(|server| *server < manifest.min_server_protocol) {
        return Err(Refused::Protocol { offered, needed: manifest.min_server_protocol, server });
    }
    let fits = |p: &&Package| p.format == installed.format && p.architecture == installed.architecture;
    manifest.packages.iter().find(fits).map(Some).ok_or_else(|| Refused::NoPackage {
        offered,
        format: installed.format.clone(),
        architecture: installed.architecture.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(format: &str, architecture: &str) -> Package {
        Package {
            format: format.into(),
            architecture: architecture.into(),
            file: format!("a.{format}"),
            size: 1,
            sha256: "00".repeat(32),
        }
    }

    fn offered(version: &str) -> Manifest {
        let packages = vec![package("rpm", "x86_64"), package("deb", "aarch64"), package("deb", "x86_64")];
        Manifest { version: version.parse().unwrap(), min_server_protocol: 2, packages }
    }

    fn installed(version: &str) -> Installed {
        Installed { version: version.parse().unwrap(), format: "deb".into(), architecture: "x86_64".into() }
    }

    #[test]
    fn only_a_newer_version_for_this_system_is_taken() {
        let manifest = offered("1.10.0");
        assert_eq!(decide(&manifest, &installed("1.9.0"), Some(2)), Ok(Some(&manifest.packages[2])));
        assert_eq!(decide(&manifest, &installed("1.10.0"), None), Ok(None));
        assert_eq!(decide(&manifest, &installed("1.10.0+rebuilt"), None), Ok(None));
        assert!(matches!(decide(&manifest, &installed("1.10.1"), None), Err(Refused::Downgrade { .. })));
        assert!(matches!(
            decide(&offered("1.10.0-rc.1"), &installed("1.10.0"), None),
            Err(Refused::Downgrade { .. })
        ));
        let arm = Installed { architecture: "riscv64".into(), ..installed("1.0.0") };
        assert!(matches!(decide(&manifest, &arm, None), Err(Refused::NoPackage { .. })));
    }

    #[test]
    fn a_server_that_is_too_old_for_it_keeps_the_version_that_it_knows() {
        let manifest = offered("2.0.0");
        assert!(matches!(decide(&manifest, &installed("1.0.0"), Some(1)), Err(Refused::Protocol { .. })));
        assert!(decide(&manifest, &installed("1.0.0"), None).is_ok());
    }
}
