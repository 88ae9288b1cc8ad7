//! The examples' binaries, which a whole test run has built beside the tests.

use std::process::{Command, Output};

/// An example, ready to be given arguments.
pub(crate) fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(binary.exists(), "{} is not built: `cargo build --examples`", binary.display());
    Command::new(binary)
}

pub(crate) fn text(stream: &[u8]) -> String {
    String::from_utf8(stream.to_vec()).unwrap()
}

/// The example refused its arguments: one line that says why, nothing else, exit status 2.
pub(crate) fn assert_refused(output: &Output, reason: &str) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{stdout}{stderr}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(reason), "expected `{reason}`: {stderr}");
}
