//! What a component sends: a request for its own key.

use crate::SignatureAlgorithm;
use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::name::{Subject, SubjectAltName};
use crate::signer::{SignError, SignErrorKind, Signer, sign_to_vec};
use crate::tbs::{encode_oid, encode_subject, encode_subject_alt_names};

/// Makes a DER request for `signer`'s own key: what a component sends.
///
/// # Errors
/// When the signer fails, or signs with an algorithm that requests do not use.
pub fn create_request(
    subject: &Subject,
    subject_alt_names: &[SubjectAltName],
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    if !SignatureAlgorithm::CERTIFICATES.contains(&signer.algorithm()) {
        return Err(SignError::new(SignErrorKind::UnsupportedAlgorithm));
    }
    let attributes = if subject_alt_names.is_empty() {
        Vec::new()
    } else {
        let extensions = encode::element(tag::SEQUENCE, &encode_subject_alt_names(subject_alt_names));
        let values = encode::element(tag::SET, &extensions);
        encode::wrap(tag::SEQUENCE, &[&encode_oid(oids::EXTENSION_REQUEST), &values])
    };
    let info = encode::wrap(
        tag::SEQUENCE,
        &[
            &[tag::INTEGER, 1, 0],
            &encode_subject(subject),
            signer.public_key(),
            &encode::element(tag::CONTEXT_0, &attributes),
        ],
    );
    let algorithm = encode::element(tag::SEQUENCE, &signer.algorithm().identifier());
    let mut signature = Vec::new();
    encode::push_bit_string(&mut signature, &sign_to_vec(signer, &info)?);
    Ok(encode::wrap(tag::SEQUENCE, &[&info, &algorithm, &signature]))
}
