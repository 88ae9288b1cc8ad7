//! PEM files: blocks are found within bounds, and what one decodes to is read again from what is written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pki_core::pem::{CERTIFICATE_REQUEST, decode_single_pem, encode_pem, pem_blocks};
use pki_core::{Limits, request_der};

fuzz_target!(|text: &[u8]| {
    let limits = Limits::DEFAULT;
    if let Ok(blocks) = pem_blocks(text, &limits) {
        assert!(blocks.len() <= limits.pem_blocks_max);
        let decoded: usize = blocks.iter().filter_map(|block| block.decode().ok()).map(|octets| octets.len()).sum();
        assert!(decoded <= text.len());
    }
    if let Ok(octets) = decode_single_pem(text, CERTIFICATE_REQUEST, &limits) {
        let written = encode_pem(CERTIFICATE_REQUEST, &octets);
        assert_eq!(decode_single_pem(written.as_bytes(), CERTIFICATE_REQUEST, &limits), Ok(octets));
    }
    let _ = request_der(text, &limits);
});
