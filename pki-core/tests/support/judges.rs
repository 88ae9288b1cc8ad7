//! Other people's programs as judges of certificates. Where one is missing, the test fails.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::{ExtendedKeyUsage, Limits, TrustBundle, verify_chain, verify_server_name};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::authority::at;
use crate::keys::VERIFIERS;
use crate::tools::{room, run};

/// One leaf before one relying party, and what has to come of it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) anchors: Vec<CertificateDer<'static>>,
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) party: RelyingParty,
    /// When the party looks, in seconds since 1970.
    pub(crate) at: i64,
    /// Why the leaf has to be refused, if it has to.
    pub(crate) fault: Option<Fault>,
}

/// Who looks at a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RelyingParty {
    /// A client that calls the server of this name or address.
    ClientOf(ServerName<'static>),
    /// A server that asks its clients for certificates.
    Server,
}

impl RelyingParty {
    pub(crate) fn client_of(name: &'static str) -> Self {
        Self::ClientOf(ServerName::try_from(name).unwrap())
    }

    pub(crate) const fn usage(&self) -> ExtendedKeyUsage {
        match self {
            Self::ClientOf(_) => ExtendedKeyUsage::ServerAuth,
            Self::Server => ExtendedKeyUsage::ClientAuth,
        }
    }
}

/// The one thing that is wrong with a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Usage,
    Name,
    Expired,
    NotYetValid,
    /// The issuer is none of the anchors, although one may have its name.
    Issuer,
    Signature,
}

/// Acceptance, or what the judge said instead.
pub(crate) type Verdict = Result<(), String>;

/// The files of one judge, each list of certificates once.
struct Files {
    room: PathBuf,
    paths: HashMap<Vec<CertificateDer<'static>>, String>,
}

impl Files {
    fn of(judge: &str) -> Self {
        Self { room: room(&format!("judges-{judge}")), paths: HashMap::new() }
    }

    fn path(&mut self, certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> String {
        let certificates: Vec<_> = certificates.into_iter().collect();
        let path = self.room.join(format!("{}.pem", self.paths.len())).to_str().unwrap().to_owned();
        let path = self.paths.entry(certificates).or_insert_with_key(|certificates| {
            let text: String = certificates.iter().map(|der| encode_pem(CERTIFICATE, der)).collect();
            std::fs::write(&path, text).unwrap();
            path
        });
        path.clone()
    }
}

/// OpenSSL, strict about RFC 5280. Leaves before the same party go to one process.
pub(crate) fn openssl(cases: &[&Case]) -> Vec<Verdict> {
    let mut files = Files::of("openssl");
    let mut parties: BTreeMap<Vec<String>, Vec<(usize, String)>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let (anchors, at) = (files.path(case.anchors.clone()), case.at.to_string());
        let mut arguments = vec!["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", &anchors];
        arguments.extend(["-attime", &at]);
        let intermediates = files.path(case.intermediates.clone());
        if !case.intermediates.is_empty() {
            arguments.extend(["-untrusted", &intermediates]);
        }
        let name = match &case.party {
            RelyingParty::ClientOf(name) => Some(name.to_str()),
            RelyingParty::Server => None,
        };
        arguments.extend(match (&case.party, &name) {
            (RelyingParty::ClientOf(ServerName::IpAddress(_)), Some(name)) => {
                vec!["-purpose", "sslserver", "-verify_ip", name]
            }
            (_, Some(name)) => vec!["-purpose", "sslserver", "-verify_hostname", name],
            (_, None) => vec!["-purpose", "sslclient"],
        });
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        parties.entry(arguments).or_default().push((index, files.path([case.leaf.clone()])));
    }

    let mut verdicts = vec![Ok(()); cases.len()];
    for (arguments, leaves) in parties {
        let paths = leaves.iter().map(|(_, path)| path);
        let arguments: Vec<_> = arguments.iter().chain(paths).map(String::as_str).collect();
        let (_, _, said) = run("openssl", &arguments, &[]);
        let judged = openssl_verdicts(&said);
        for (index, path) in leaves {
            verdicts[index] = judged.get(path.as_str()).cloned().unwrap_or_else(|| Err(said.clone()));
        }
    }
    verdicts
}

/// openssl's verdict on each file. Its reasons stand before the line that names the refused one.
fn openssl_verdicts(said: &str) -> HashMap<&str, Verdict> {
    let (mut verdicts, mut reasons) = (HashMap::new(), String::new());
    for line in said.lines() {
        let refused = line.strip_prefix("error ").and_then(|line| line.strip_suffix(": verification failed"));
        match (line.strip_suffix(": OK"), refused) {
            (Some(path), _) => drop(verdicts.insert(path, Ok(()))),
            (None, Some(path)) => drop(verdicts.insert(path, Err(std::mem::take(&mut reasons)))),
            (None, None) => reasons = format!("{reasons}{line}\n"),
        }
    }
    verdicts
}

/// GnuTLS, which asks the real clock and nothing else for the time.
pub(crate) fn gnutls(cases: &[&Case]) -> Vec<Verdict> {
    let mut files = Files::of("gnutls");
    let judge = |case: &&Case| {
        let anchors = files.path(case.anchors.clone());
        let chain = files.path([case.leaf.clone()].into_iter().chain(case.intermediates.clone()));
        let fixed = ["--verify", "--load-ca-certificate", &anchors, "--infile", &chain, "--verify-purpose"];
        let (verified, _, said) = match &case.party {
            RelyingParty::ClientOf(name) => {
                let name = name.to_str();
                run("certtool", &[&fixed[..], &["1.3.6.1.5.5.7.3.1", "--verify-hostname", &name]].concat(), &[])
            }
            RelyingParty::Server => run("certtool", &[&fixed[..], &["1.3.6.1.5.5.7.3.2"]].concat(), &[]),
        };
        if verified { Ok(()) } else { Err(said) }
    };
    cases.iter().map(judge).collect()
}

/// Path validation of Python's cryptography.
pub(crate) fn python_cryptography(cases: &[&Case]) -> Vec<Verdict> {
    let encoded = |certificates: &[CertificateDer<'static>]| -> Value {
        certificates.iter().map(|der| BASE64.encode(der)).collect()
    };
    let questions = cases.iter().map(|case| {
        let server = match &case.party {
            RelyingParty::ClientOf(name @ ServerName::IpAddress(_)) => json!({ "ip": name.to_str() }),
            RelyingParty::ClientOf(name) => json!({ "dns": name.to_str() }),
            RelyingParty::Server => Value::Null,
        };
        let (anchors, intermediates) = (encoded(&case.anchors), encoded(&case.intermediates));
        json!({
            "anchors": anchors,
            "intermediates": intermediates,
            "leaf": BASE64.encode(&case.leaf),
            "server": server,
            "at": case.at,
        })
    });
    let answer = ask_python(&json!({ "verify": questions.collect::<Value>(), "lint": [] }));
    let verdict = |answer: &Value| answer.as_str().map_or(Ok(()), |reason| Err(reason.to_owned()));
    answer["verify"].as_array().unwrap().iter().map(verdict).collect()
}

/// This crate, as a relying party uses it.
pub(crate) fn this_crate(cases: &[&Case]) -> Vec<Verdict> {
    let judge = |case: &&Case| {
        let bundle = TrustBundle::from_der(case.anchors.clone(), &Limits::DEFAULT).unwrap();
        let (usage, limits) = (case.party.usage(), &Limits::DEFAULT);
        let (intermediates, at) = (&case.intermediates, at(case.at));
        verify_chain(&case.leaf, intermediates, &bundle, usage, limits, VERIFIERS, at).and_then(|_| match &case.party {
            RelyingParty::ClientOf(name) => verify_server_name(&case.leaf, name),
            RelyingParty::Server => Ok(()),
        })
    };
    cases.iter().map(|case| judge(case).map_err(|error| format!("{error:?}"))).collect()
}

/// What pkilint has to say about one certificate.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: String,
    /// Severity, message, and where.
    pub(crate) detail: String,
}

/// pkilint's findings about each certificate, from WARNING upwards.
pub(crate) fn pkilint<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Vec<Vec<Finding>> {
    let encoded: Value = certificates.into_iter().map(|der| BASE64.encode(der)).collect();
    let answer = ask_python(&json!({ "verify": [], "lint": encoded }));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let finding = |finding: &Value| Finding {
        code: text(finding, "code"),
        detail: ["severity", "message", "path"].map(|field| text(finding, field)).join(", "),
    };
    let findings = |answer: &Value| answer.as_array().unwrap().iter().map(finding).collect();
    answer["lint"].as_array().unwrap().iter().map(findings).collect()
}

/// Puts a question to `judges/judge.py`, in the environment that `./test` makes beside the directory of the tests.
fn ask_python(question: &Value) -> Value {
    let judges = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("judges");
    let held = std::fs::read_to_string(judges.join("requirements.txt")).unwrap_or_default();
    let pinned = include_str!("../judges/requirements.txt");
    assert!(held == pinned, "the Python judges are missing or of other versions: install them with `./test --install`");
    let (python, script) =
        (judges.join("venv/bin/python"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/judge.py"));
    let (answered, answer, said) = run(python.to_str().unwrap(), &["-I", script], question.to_string().as_bytes());
    assert!(answered, "{said}");
    serde_json::from_slice(&answer).unwrap()
}
