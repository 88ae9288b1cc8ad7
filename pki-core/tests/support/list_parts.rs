//! Revocation lists as another hand writes them, octet by octet.

use pki_core::sign_to_vec;

use crate::der::{CONTEXT_0, INTEGER, bits, oid, seq, tlv};
use crate::drafts::extension;
use crate::lists::ETCD;

pub(crate) const SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
pub(crate) const SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
pub(crate) const REASON: &[u8] = &[0x55, 0x1d, 21];
pub(crate) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
pub(crate) const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
pub(crate) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
pub(crate) const UNKNOWN: &[u8] = &[0x2a, 3, 4];
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const KEY_ID: u8 = 0x80;

/// A list in its parts, sound until a case changes one.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) version: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) outer_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) this_update: Vec<u8>,
    pub(crate) next_update: Vec<u8>,
    pub(crate) revoked: Vec<u8>,
    pub(crate) extensions: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let algorithm = seq(&[&oid(SHA256)]);
        Self {
            version: vec![INTEGER, 1, 1],
            outer_algorithm: algorithm.clone(),
            algorithm,
            issuer: ETCD.issuer.certificate().subject_der().to_vec(),
            this_update: tlv(UTC_TIME, b"240101000000Z"),
            next_update: tlv(UTC_TIME, b"240201000000Z"),
            revoked: seq(&[&entry(&[1], &[])]),
            extensions: extensions(&[&authority_key_id(), &crl_number(&[5])]),
            rest: Vec::new(),
        }
    }

    pub(crate) fn sign(&self) -> Vec<u8> {
        let tbs = seq(&[
            &self.version,
            &self.algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update,
            &self.revoked,
            &self.extensions,
            &self.rest,
        ]);
        let signature = sign_to_vec(&ETCD.key, &tbs).unwrap();
        seq(&[&tbs, &self.outer_algorithm, &bits(&signature)])
    }
}

pub(crate) fn authority_key_id() -> Vec<u8> {
    let id = tlv(KEY_ID, ETCD.issuer.certificate().subject_key_id());
    extension(AUTHORITY_KEY_ID, false, &seq(&[&id]))
}

pub(crate) fn crl_number(content: &[u8]) -> Vec<u8> {
    extension(CRL_NUMBER, false, &tlv(INTEGER, content))
}

pub(crate) fn extensions(list: &[&[u8]]) -> Vec<u8> {
    tlv(CONTEXT_0, &seq(list))
}

pub(crate) fn entry(serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { seq(extensions) };
    seq(&[&tlv(INTEGER, serial), &tlv(UTC_TIME, b"231231000000Z"), &extensions])
}

pub(crate) fn reason(content: &[u8]) -> Vec<u8> {
    extension(REASON, false, &tlv(ENUMERATED, content))
}
