//! What is handed out around a rotation, besides what components load.

use core::fmt;
use core::str::FromStr;

/// Something that people or outside systems hold and must be given anew when a rotation has completed, because the
/// certificates in it are revoked (GDC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Delivery {
    /// The administrator's kubeconfig: Secret `admin`, key `admin.conf`, in the namespace of the user cluster in the
    /// admin cluster. It goes to everyone who uses a kubeconfig.
    AdminKubeconfig,
    /// The authentication configuration file for OIDC.
    Oidc,
    /// The authentication configuration file for OIDC with AD FS.
    OidcAdFs,
    /// The authentication configuration file for OIDC with Google.
    OidcGoogle,
}

impl Delivery {
    /// Everything that GDC names.
    pub const ALL: [Self; 4] = [Self::AdminKubeconfig, Self::Oidc, Self::OidcAdFs, Self::OidcGoogle];
    /// The Secret that holds the administrator's kubeconfig.
    pub const ADMIN_SECRET: &'static str = "admin";
    /// The key in that Secret.
    pub const ADMIN_SECRET_KEY: &'static str = "admin.conf";

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::AdminKubeconfig => "admin-kubeconfig",
            Self::Oidc => "oidc",
            Self::OidcAdFs => "oidc-ad-fs",
            Self::OidcGoogle => "oidc-google",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The version that a cluster was upgraded to, as its vendor writes it: `1.16.0-gke.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ClusterVersion(String);

/// Not a version: empty, longer than 63 octets, or with something in it that is neither alphanumeric nor one of `.-+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterVersionError(());

impl fmt::Display for ClusterVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version has 1 to 63 letters, digits, dots, hyphens and plus signs, such as `1.16.0-gke.0`")
    }
}

impl core::error::Error for ClusterVersionError {}

impl TryFrom<String> for ClusterVersion {
    type Error = ClusterVersionError;

    fn try_from(text: String) -> Result<Self, ClusterVersionError> {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b".-+".contains(&octet);
        if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(ClusterVersionError(()))
        }
    }
}

impl FromStr for ClusterVersion {
    type Err = ClusterVersionError;

    fn from_str(text: &str) -> Result<Self, ClusterVersionError> {
        text.to_owned().try_into()
    }
}

impl From<ClusterVersion> for String {
    fn from(version: ClusterVersion) -> Self {
        version.0
    }
}

impl fmt::Display for ClusterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_short_and_plain() {
        assert_eq!("1.16.0-gke.0".parse::<ClusterVersion>().unwrap().to_string(), "1.16.0-gke.0");
        for text in ["", "1.16 ", "1.16\n", &"1".repeat(64)] {
            assert!(text.parse::<ClusterVersion>().is_err(), "{text:?}");
        }
    }
}
