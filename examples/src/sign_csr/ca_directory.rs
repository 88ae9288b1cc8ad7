//! A CA as kubeadm keeps it: `ca.crt` and `ca.key` in one directory.

use core::fmt;
use std::path::{Path, PathBuf};

use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, PemError, decode_pem};
use pki_core::verify::aws_lc_rs;
use pki_core::{
    AuthorityRole, CaCertificate, CaVersion, DecodeError, Hierarchy, Issuer, KeyAlgorithm, KeyLedger, LeafKind, Limits,
    Serial, Signer as _, Validity, mint_root,
};
use signer_hsm::{KeyFileError, SoftwareKey};
use time::UtcDateTime;
use zeroize::Zeroizing;

use super::files::{FileError, read_bounded, shown};

/// The largest key file that is read: an RSA-4096 key in PEM has 3.3 KB.
const KEY_FILE_LEN_MAX: usize = 64 << 10;

/// An opened CA directory.
#[derive(Debug)]
pub struct CaDirectory {
    issuer: Issuer,
    key: SoftwareKey,
}

impl CaDirectory {
    /// Reads `ca.crt` and `ca.key`.
    ///
    /// # Errors
    /// When one is missing or unreadable, `ca.crt` is not exactly one CA certificate, the CA is not valid at `now`, or
    /// the key is not the certificate's.
    pub fn open(directory: &Path, now: UtcDateTime) -> Result<Self, CaDirectoryError> {
        let certificate = directory.join("ca.crt");
        let fail = |cause| CaDirectoryError { path: certificate.clone(), cause };
        let limits = Limits::DEFAULT;
        let text = read_bounded(&certificate, limits.pem_len_max).map_err(|error| fail(Cause::File(error)))?;
        let blocks = decode_pem(&text, CERTIFICATE, &limits).map_err(|error| fail(Cause::Pem(error)))?;
        let [der] = <[Vec<u8>; 1]>::try_from(blocks).map_err(|blocks| fail(Cause::Certificates(blocks.len())))?;
        let root = CaCertificate::parse(der.into()).map_err(|error| fail(Cause::Certificate(error)))?;
        if !root.validity().contains(now) {
            return Err(fail(Cause::NotValid(root.validity())));
        }
        let issuer = Issuer::new(root, leaves()).map_err(|error| fail(Cause::Certificate(error)))?;

        let path = directory.join("ca.key");
        let fail = |cause| CaDirectoryError { path: path.clone(), cause };
        let text = read_bounded(&path, KEY_FILE_LEN_MAX).map_err(|error| fail(Cause::File(error)))?;
        let key = SoftwareKey::from_pem(&Zeroizing::new(text)).map_err(|error| fail(Cause::Key(error)))?;
        if key.public_key() != issuer.certificate().public_key() {
            return Err(fail(Cause::ForeignKey));
        }
        Ok(Self { issuer, key })
    }

    /// A CA that is nowhere but here, of kubeadm's form.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_memory(now: UtcDateTime) -> Result<Self, Box<dyn core::error::Error>> {
        let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
        let (hierarchy, role) = (Hierarchy::kubeadm(), AuthorityRole::Cluster);
        let lifetime = hierarchy.ca_lifetime(role).ok_or("the cluster CA is a certificate")?;
        let validity = Validity::around(now, hierarchy.ca_backdate(), lifetime)?;
        let serial = Serial::generate(&mut SysRng)?;
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"demonstration".parse()?, role, CaVersion::FIRST, &key)?;
        let root = mint_root(&admitted, validity, serial, aws_lc_rs())?;
        Ok(Self { issuer: Issuer::new(root, leaves())?, key })
    }

    /// What issues.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What signs.
    #[must_use]
    pub const fn key(&self) -> &SoftwareKey {
        &self.key
    }
}

fn leaves() -> Vec<LeafKind> {
    Hierarchy::kubeadm().leaves_of(AuthorityRole::Cluster).collect()
}

/// Why a directory is no CA: which file, and what is wrong with it.
#[derive(Debug)]
pub struct CaDirectoryError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    File(FileError),
    Pem(PemError),
    Certificates(usize),
    Certificate(DecodeError),
    NotValid(Validity),
    Key(KeyFileError),
    ForeignKey,
}

impl fmt::Display for CaDirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file error names its path itself.
        if let Cause::File(error) = &self.cause {
            return write!(f, "{error}");
        }
        write!(f, "{}: ", shown(&self.path))?;
        match &self.cause {
            Cause::File(_) => Ok(()),
            Cause::Pem(error) => write!(f, "{error}"),
            // kube-controller-manager's words for its signing file.
            Cause::Certificates(found) => write!(f, "expected 1 certificate, found {found}"),
            Cause::Certificate(error) => write!(f, "{error}"),
            Cause::NotValid(validity) => {
                write!(f, "the CA is valid from {} to {} only", validity.not_before(), validity.not_after())
            }
            Cause::Key(error) => write!(f, "{error}"),
            Cause::ForeignKey => f.write_str("the key is not the one of ca.crt"),
        }
    }
}

impl core::error::Error for CaDirectoryError {}
