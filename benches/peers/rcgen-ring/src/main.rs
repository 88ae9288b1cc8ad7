//! rcgen on ring as a peer of the benches, driven over standard input as `benches::Outside` says.
//!
//! It is a process of its own because Cargo builds rcgen once for a program, with the features of everybody who asks for it, and
//! rcgen on aws-lc-rs is among the peers inside. For the same reason it has to be built alone: `cargo build -p rcgen-ring`.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rcgen::{
    Certificate, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustix::time::{ClockId, Timespec, clock_gettime};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Peer {
    issuer: Issuer<'static, KeyPair>,
    requests: Vec<CertificateSigningRequestDer<'static>>,
    now: OffsetDateTime,
    usages: Vec<KeyUsagePurpose>,
}

impl Peer {
    fn open(directory: &Path) -> Outcome<Self> {
        let read = |name: &str| fs::read_to_string(directory.join(name));
        let issuer = Issuer::from_ca_cert_pem(&read("ca.crt")?, KeyPair::from_pem(&read("ca.key")?)?)?;
        let requests = CertificateSigningRequestDer::pem_slice_iter(&fs::read(directory.join("requests.pem"))?)
            .collect::<Result<_, _>>()?;
        let now = OffsetDateTime::from_unix_timestamp(read("now")?.trim().parse()?)?;
        let mut usages = vec![KeyUsagePurpose::DigitalSignature];
        if read("key")?.starts_with("rsa") {
            usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        Ok(Self { issuer, requests, now, usages })
    }

    fn issue(&self, number: usize) -> Outcome<Certificate> {
        let request = number.checked_rem(self.requests.len()).and_then(|number| self.requests.get(number));
        let mut request = CertificateSigningRequestParams::from_der(request.ok_or("no requests")?)?;
        let params = &mut request.params;
        params.key_usages.clone_from(&self.usages);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let mut serial = [0; 16];
        getrandom::fill(&mut serial)?;
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = self.now - Duration::minutes(5);
        params.not_after = self.now + Duration::hours(8_760);
        Ok(request.signed_by(&self.issuer)?)
    }

    fn answer(&self, question: &str) -> Outcome<String> {
        let mut words = question.split_whitespace();
        let word = words.next();
        let mut number = || -> Outcome<usize> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
        match word {
            Some("show") => {
                let certificate = self.issue(number()?)?;
                Ok(certificate.der().iter().map(|octet| format!("{octet:02x}")).collect())
            }
            Some("run") => {
                let (from, times) = (number()?, number()?);
                let begin = clock_gettime(ClockId::ThreadCPUTime);
                for number in from..from + times {
                    black_box(self.issue(number)?);
                }
                Ok((nanoseconds(clock_gettime(ClockId::ThreadCPUTime)) - nanoseconds(begin)).to_string())
            }
            _ => Err("expected `show INDEX` or `run FROM TIMES`".into()),
        }
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn main() -> Outcome<ExitCode> {
    if KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).is_ok() {
        eprintln!("rcgen is not on ring here; build this program alone: cargo build -p rcgen-ring");
        return Ok(ExitCode::from(2));
    }
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: rcgen-ring DIRECTORY");
        return Ok(ExitCode::from(2));
    };
    let peer = Peer::open(Path::new(&directory))?;
    for question in io::stdin().lock().lines() {
        println!("{}", peer.answer(&question?)?);
        io::stdout().flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
