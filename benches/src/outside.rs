//! Peers that are programs of their own, because they are of another language or cannot be linked into this one.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use pki_core::pem::{CERTIFICATE, PRIVATE_KEY, encode_pem};
use tempfile::TempDir;

use crate::Setup;
use crate::requests::{Authority, Case};

/// A program that issues over the same requests, whenever it is its turn.
///
/// Its only argument is a directory with `ca.crt` and `ca.key` (PEM, PKCS#8), `requests.pem`, `key` (the kind of the requests'
/// keys) and `now` (the moment of issuing, in seconds since 1970). It reads lines, answers each with one line, and ends when
/// there are no more:
///
/// - `run FROM TIMES`: issues for so many requests from that one on, beginning again after the last; answers with the nanoseconds
///   of processor time that it took;
/// - `show INDEX`: the certificate for that request, in hexadecimal.
#[derive(Debug)]
pub struct Outside {
    process: RefCell<Process>,
    /// Read by the process when it begins, and gone with it.
    _directory: TempDir,
}

#[derive(Debug)]
struct Process {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Outside {
    /// Starts `program` over these requests.
    ///
    /// # Errors
    /// When the directory cannot be written, or the program cannot be started.
    pub fn start(program: &Path, authority: &Authority, cases: &[Case]) -> Setup<Self> {
        let directory = tempfile::tempdir()?;
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
        write("ca.crt", &encode_pem(CERTIFICATE, authority.issuer.certificate().der()))?;
        write("ca.key", &encode_pem(PRIVATE_KEY, &authority.pkcs8))?;
        write("requests.pem", &cases.iter().map(|case| case.pem.as_str()).collect::<String>())?;
        write("key", cases.first().ok_or("there are requests")?.algorithm.id())?;
        write("now", &authority.now.unix_timestamp().to_string())?;

        let mut command = Command::new(program);
        command.arg(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let questions = child.stdin.take().ok_or("the peer has a standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("the peer has a standard output")?);
        Ok(Self { process: RefCell::new(Process { child, questions, answers }), _directory: directory })
    }

    pub(crate) fn run(&self, from: u32, times: u32) -> Setup<Duration> {
        Ok(Duration::from_nanos(self.ask(&format!("run {from} {times}"))?.parse()?))
    }

    pub(crate) fn show(&self, number: u32) -> Setup<Vec<u8>> {
        let answer = self.ask(&format!("show {number}"))?;
        let octet = |at| u8::from_str_radix(answer.get(at..at + 2).unwrap_or("odd"), 16);
        Ok((0..answer.len()).step_by(2).map(octet).collect::<Result<_, _>>()?)
    }

    fn ask(&self, question: &str) -> Setup<String> {
        let Process { questions, answers, .. } = &mut *self.process.borrow_mut();
        writeln!(questions, "{question}")?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            return Err(format!("the peer ended when it was asked to {question}").into());
        }
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let (_killed, _waited) = (self.child.kill(), self.child.wait());
    }
}
