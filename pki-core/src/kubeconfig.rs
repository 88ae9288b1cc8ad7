//! Kubeconfig files (`client-go/tools/clientcmd/api/v1`), with everything embedded, named as kubeadm names it.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::pem::{CERTIFICATE, encode_pem};
use crate::{ApiServerEndpoint, Subject, TrustBundle};

/// kubeadm's name of every cluster.
const CLUSTER: &str = "kubernetes";

/// One cluster, one user, one context; certificates and key inside.
///
/// The key is wiped when this is dropped, and never printed.
pub struct Kubeconfig {
    server: String,
    certificate_authority_data: String,
    user: String,
    client_certificate_data: String,
    client_key_data: Zeroizing<String>,
}

impl Kubeconfig {
    /// A kubeconfig for the user that a client certificate names.
    ///
    /// Every anchor of `bundle` is embedded, so that during a rotation the client trusts both authorities: client-go
    /// never re-reads embedded data. `chain` is the leaf and what stands between it and an anchor. `key` is the PEM
    /// of the leaf's key; wiping it is the caller's.
    ///
    /// # Errors
    /// [`KubeconfigError`], when the bundle or the chain is empty.
    pub fn new(
        server: &ApiServerEndpoint,
        bundle: &TrustBundle,
        user: &Subject,
        chain: &[CertificateDer<'_>],
        key: &str,
    ) -> Result<Self, KubeconfigError> {
        if bundle.is_empty() {
            return Err(KubeconfigError::NoAnchor);
        }
        if chain.is_empty() {
            return Err(KubeconfigError::NoCertificate);
        }
        let pem = |certificate: &CertificateDer<'_>| encode_pem(CERTIFICATE, certificate);
        let anchors: String = bundle.certificates().iter().map(|anchor| pem(anchor.der())).collect();
        let chain: String = chain.iter().map(pem).collect();
        Ok(Self {
            server: server.to_string(),
            certificate_authority_data: STANDARD.encode(anchors),
            user: user.common_name().to_owned(),
            client_certificate_data: STANDARD.encode(chain),
            client_key_data: Zeroizing::new(STANDARD.encode(key)),
        })
    }

    /// The name of the user, which is the common name of its certificate.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name of the context: the user at the cluster.
    #[must_use]
    pub fn context(&self) -> String {
        format!("{}@{CLUSTER}", self.user)
    }

    /// The file's content.
    ///
    /// It is written into one allocation, which never moves and is wiped when dropped; the serializer passes the key
    /// through and keeps nothing of it.
    ///
    /// # Errors
    /// None that this crate knows of: the allocation has room for whatever [`new`](Self::new) takes.
    #[cfg(feature = "yaml")]
    pub fn to_yaml(&self) -> Result<Zeroizing<String>, fmt::Error> {
        let mut text = Unmoved(Zeroizing::new(String::with_capacity(self.yaml_len_max())));
        // A folded block would end the data with a line break.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_fmt_writer_with_options(&mut text, self, options).map_err(|_no_room| fmt::Error)?;
        Ok(text.0)
    }

    /// More than the file has: names stand in it up to four times, quoted at worst.
    #[cfg(feature = "yaml")]
    fn yaml_len_max(&self) -> usize {
        const FRAME: usize = 1024;
        let data = [&self.certificate_authority_data, &self.client_certificate_data, &*self.client_key_data];
        let data: usize = data.iter().map(|data| data.len()).sum();
        FRAME + data + 2 * self.server.len() + 16 * self.user.len()
    }
}

/// A text that fails rather than to grow: growing would leave a copy of the key behind, unwiped.
#[cfg(feature = "yaml")]
struct Unmoved(Zeroizing<String>);

#[cfg(feature = "yaml")]
impl fmt::Write for Unmoved {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.0.capacity().saturating_sub(self.0.len()) < more.len() {
            return Err(fmt::Error);
        }
        self.0.push_str(more);
        Ok(())
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no [`Kubeconfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// No anchor to embed: the client would trust whatever its machine trusts.
    NoAnchor,
    /// No client certificate.
    NoCertificate,
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnchor => {
                "a kubeconfig without an authority would trust whatever its machine trusts, expected one or more"
            }
            Self::NoCertificate => "a kubeconfig with a client key needs its certificate, found none",
        })
    }
}

impl core::error::Error for KubeconfigError {}

/// The file as client-go reads it. Fields stand in the order in which client-go writes them.
#[cfg(any(feature = "serde", feature = "yaml"))]
mod file {
    use serde::{Serialize, Serializer};

    use super::{CLUSTER, Kubeconfig};

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Config<'a> {
        api_version: &'static str,
        clusters: [NamedCluster<'a>; 1],
        contexts: [NamedContext<'a>; 1],
        #[serde(rename = "current-context")]
        current_context: &'a str,
        kind: &'static str,
        users: [NamedUser<'a>; 1],
    }

    #[derive(Serialize)]
    struct NamedCluster<'a> {
        cluster: Cluster<'a>,
        name: &'static str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Cluster<'a> {
        certificate_authority_data: &'a str,
        server: &'a str,
    }

    #[derive(Serialize)]
    struct NamedContext<'a> {
        context: Context<'a>,
        name: &'a str,
    }

    #[derive(Serialize)]
    struct Context<'a> {
        cluster: &'static str,
        user: &'a str,
    }

    #[derive(Serialize)]
    struct NamedUser<'a> {
        name: &'a str,
        user: User<'a>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct User<'a> {
        client_certificate_data: &'a str,
        client_key_data: &'a str,
    }

    impl Serialize for Kubeconfig {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let (user, context) = (self.user.as_str(), &*self.context());
            let certificate_authority_data = &self.certificate_authority_data;
            let cluster = Cluster { certificate_authority_data, server: &self.server };
            let credential =
                User { client_certificate_data: &self.client_certificate_data, client_key_data: &self.client_key_data };
            let config = Config {
                api_version: "v1",
                clusters: [NamedCluster { cluster, name: CLUSTER }],
                contexts: [NamedContext { context: Context { cluster: CLUSTER, user }, name: context }],
                current_context: context,
                kind: "Config",
                users: [NamedUser { name: user, user: credential }],
            };
            config.serialize(serializer)
        }
    }
}
