//! Frames and messages of the issuing service and the agent, and entries of the issuance log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signer_hsm::agent::read_and_write;
use signer_hsm::service::log::{Entry, verify};
use signer_hsm::service::protocol::{Frames, Hello, Request, Response};

fuzz_target!(|octets: &[u8]| {
    let mut frames = Frames::new(1 << 16);
    for part in octets.chunks(97) {
        frames.push(part);
        while let Ok(Some(frame)) = frames.pop() {
            let _ = Hello::decode(frame);
            if let Ok(request) = Request::decode(frame) {
                assert_eq!(request.encode(), frame);
            }
            if let Ok(response) = Response::decode(frame) {
                assert_eq!(response.encode(), frame);
            }
            for again in read_and_write(frame).into_iter().flatten() {
                assert_eq!(again, frame);
            }
        }
    }
    if let Some(entry) = Entry::decode(octets) {
        assert_eq!(entry.encode(), octets);
    }
    let _ = verify(&mut &*octets, octets.len() as u64, None, |_| {});
});
