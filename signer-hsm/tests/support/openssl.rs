//! Keys as the `openssl` command line writes and reads them. Where it is missing, the test fails.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

pub(crate) const fn ec(curve: &str) -> [&str; 4] {
    ["-algorithm", "EC", "-pkeyopt", curve]
}

pub(crate) const fn rsa(bits: &str) -> [&str; 4] {
    ["-algorithm", "RSA", "-pkeyopt", bits]
}

pub(crate) fn genpkey_pem(arguments: &[&str]) -> Vec<u8> {
    openssl([&["genpkey"], arguments].concat(), &[])
}

/// What `openssl` writes; it must be there and succeed.
pub(crate) fn openssl(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl does not run: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
