//! What the log says, as octets.

use core::fmt;

use crate::service::epoch::SignerEpoch;
use crate::service::protocol::RequestId;
use crate::service::wire::{Reader, Writer};

/// The most octets of one entry: a certificate of the limit of `pki-core`, and what is said of it.
pub(super) const ENTRY_LEN_MAX: usize = 128 << 10;
const TEXT_LEN_MAX: usize = 64 << 10;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// From here on this key signs for the authority.
    Signer {
        /// When, in seconds since 1970.
        time: i64,
        /// The cluster.
        cluster: String,
        /// The authority, by the identifier of its role.
        role: String,
        /// The epoch that begins.
        epoch: SignerEpoch,
        /// The generation.
        version: u32,
        /// The key identifier.
        key: [u8; 20],
    },
    /// A certificate is about to be signed. Written before the key is asked.
    Prepared {
        /// For which request.
        of: Origin,
        /// SHA-256 over the octets that are signed.
        tbs_sha256: [u8; 32],
        /// Serial, purpose, names, key and validity, as `pki_core::IssuanceRecord` prints them.
        record: String,
    },
    /// A certificate is about to be given out. Written before it is.
    Issued {
        /// For which request.
        of: Origin,
        /// The certificate, DER.
        certificate: Vec<u8>,
    },
    /// A request got nothing.
    Refused {
        /// Which request.
        of: Origin,
        /// The stable code.
        code: String,
        /// In words, cut.
        text: String,
    },
    /// From here on this generation never signs again.
    Retired {
        /// When, in seconds since 1970.
        time: i64,
        /// The cluster.
        cluster: String,
        /// The authority, by the identifier of its role.
        role: String,
        /// The epoch in which it ended.
        epoch: SignerEpoch,
        /// The generation.
        version: u32,
        /// The key identifier.
        key: [u8; 20],
    },
    /// An operator's order is about to be carried out. What came of it is written with it, and stands behind it.
    Ordered {
        /// By which request.
        of: Origin,
    },
}

/// Which request an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// When, in seconds since 1970.
    pub time: i64,
    /// Who asked, as the transport proved it.
    pub caller: String,
    /// Which cluster was named.
    pub cluster: String,
    /// Which role was named.
    pub role: String,
    /// Which epoch was named.
    pub epoch: SignerEpoch,
    /// The request's identifier.
    pub request: RequestId,
    /// SHA-256 over the request without its identifier and number.
    pub digest: [u8; 32],
}

impl Origin {
    fn texts(&self) -> [&str; 3] {
        [&self.caller, &self.cluster, &self.role]
    }

    fn write(&self, writer: &mut Writer) {
        writer.octets(&self.time.to_be_bytes());
        writer.text(&self.caller);
        writer.text(&self.cluster);
        writer.text(&self.role);
        writer.u64(self.epoch.number());
        writer.octets(&self.request.0);
        writer.octets(&self.digest);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            time: reader.array().map(i64::from_be_bytes)?,
            caller: reader.text(TEXT_LEN_MAX)?.to_owned(),
            cluster: reader.text(TEXT_LEN_MAX)?.to_owned(),
            role: reader.text(TEXT_LEN_MAX)?.to_owned(),
            epoch: SignerEpoch::new(reader.u64()?)?,
            request: RequestId(reader.array()?),
            digest: reader.array()?,
        })
    }
}

impl Entry {
    /// As octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Signer { time, cluster, role, epoch, version, key } => {
                writer.u8(1);
                writer.octets(&time.to_be_bytes());
                writer.text(cluster);
                writer.text(role);
                writer.u64(epoch.number());
                writer.u32(*version);
                writer.octets(key);
            }
            Self::Prepared { of, tbs_sha256, record } => {
                writer.u8(2);
                of.write(&mut writer);
                writer.octets(tbs_sha256);
                writer.text(record);
            }
            Self::Issued { of, certificate } => {
                writer.u8(3);
                of.write(&mut writer);
                writer.counted(certificate);
            }
            Self::Refused { of, code, text } => {
                writer.u8(4);
                of.write(&mut writer);
                writer.text(code);
                writer.text(text);
            }
            Self::Retired { time, cluster, role, epoch, version, key } => {
                writer.u8(5);
                writer.octets(&time.to_be_bytes());
                writer.text(cluster);
                writer.text(role);
                writer.u64(epoch.number());
                writer.u32(*version);
                writer.octets(key);
            }
            Self::Ordered { of } => {
                writer.u8(6);
                of.write(&mut writer);
            }
        }
        writer.0
    }

    /// Whether [`decode`](Self::decode) takes what [`encode`](Self::encode) makes of it, as far as its texts go.
    pub(super) fn is_bounded(&self) -> bool {
        let fit = |texts: &[&str]| texts.iter().all(|text| text.len() <= TEXT_LEN_MAX);
        match self {
            Self::Signer { cluster, role, .. } | Self::Retired { cluster, role, .. } => fit(&[cluster, role]),
            Self::Prepared { of, record, .. } => fit(&of.texts()) && fit(&[record]),
            Self::Issued { of, .. } | Self::Ordered { of } => fit(&of.texts()),
            Self::Refused { of, code, text } => fit(&of.texts()) && fit(&[code, text]),
        }
    }

    /// Reads one; `None` for what [`encode`](Self::encode) does not write.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader(octets);
        let entry = match reader.u8()? {
            1 => Self::Signer {
                time: reader.array().map(i64::from_be_bytes)?,
                cluster: reader.text(TEXT_LEN_MAX)?.to_owned(),
                role: reader.text(TEXT_LEN_MAX)?.to_owned(),
                epoch: SignerEpoch::new(reader.u64()?)?,
                version: reader.u32()?,
                key: reader.array()?,
            },
            2 => Self::Prepared {
                of: Origin::read(&mut reader)?,
                tbs_sha256: reader.array()?,
                record: reader.text(TEXT_LEN_MAX)?.to_owned(),
            },
            3 => Self::Issued { of: Origin::read(&mut reader)?, certificate: reader.counted(ENTRY_LEN_MAX)?.to_vec() },
            4 => Self::Refused {
                of: Origin::read(&mut reader)?,
                code: reader.text(TEXT_LEN_MAX)?.to_owned(),
                text: reader.text(TEXT_LEN_MAX)?.to_owned(),
            },
            5 => Self::Retired {
                time: reader.array().map(i64::from_be_bytes)?,
                cluster: reader.text(TEXT_LEN_MAX)?.to_owned(),
                role: reader.text(TEXT_LEN_MAX)?.to_owned(),
                epoch: SignerEpoch::new(reader.u64()?)?,
                version: reader.u32()?,
                key: reader.array()?,
            },
            6 => Self::Ordered { of: Origin::read(&mut reader)? },
            _ => return None,
        };
        reader.finish()?;
        Some(entry)
    }
}

/// One line, hostile characters escaped.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signer { time, cluster, role, epoch, version, key } => {
                let (cluster, role) = (cluster.escape_debug(), role.escape_debug());
                write!(f, "{time} signer cluster={cluster} role={role} epoch={epoch} version={version} key=")?;
                key.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Self::Retired { time, cluster, role, epoch, version, key } => {
                let (cluster, role) = (cluster.escape_debug(), role.escape_debug());
                write!(f, "{time} retired cluster={cluster} role={role} epoch={epoch} version={version} key=")?;
                key.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Self::Ordered { of } => write!(f, "{of} ordered"),
            Self::Prepared { of, record, .. } => write!(f, "{of} prepared {record}"),
            Self::Issued { of, certificate } => {
                write!(f, "{of} issued fingerprint={}", pki_core::Fingerprint::of(certificate))
            }
            Self::Refused { of, code, text } => {
                write!(f, "{of} refused code={} reason=\"{}\"", code.escape_debug(), text.escape_debug())
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, caller, cluster, role, epoch, request, digest: _ } = self;
        let (caller, cluster, role) = (caller.escape_debug(), cluster.escape_debug(), role.escape_debug());
        write!(f, "{time} caller={caller} cluster={cluster} role={role} epoch={epoch} request={request}")
    }
}
