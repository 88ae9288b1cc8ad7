//! Other people's programs as judges. Where one is missing, the test fails.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs a program; gives whether it succeeded and what it said on both outputs.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (output.status.success(), output.stdout, said.concat())
}

/// The directory of one test. The next run overwrites what this one leaves there.
pub(crate) fn room(name: &str) -> PathBuf {
    let room = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&room).unwrap();
    room
}
