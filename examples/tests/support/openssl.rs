//! openssl at work in a directory.

use std::path::Path;
use std::process::Command;

/// Runs openssl with arguments that are separated by spaces, and gives its standard output.
pub(crate) fn openssl(directory: &Path, arguments: &str) -> String {
    let output = Command::new("openssl")
        .current_dir(directory)
        .args(arguments.split(' '))
        .output()
        .unwrap_or_else(|error| panic!("openssl does not run: {error}"));
    let said = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned());
    assert!(output.status.success(), "{arguments}: {}{}", said[0], said[1]);
    let [stdout, _] = said;
    stdout
}
