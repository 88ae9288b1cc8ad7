//! Where the private keys of the miniature cluster's authorities are: here, in a token, or in another process.

mod issuing;

use core::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use pki_core::{CaVersion, ClusterId, Preset};
use signer_hsm::agent::{Agent, AgentKeyStore, Labels, Right, Rights};
use signer_hsm::pkcs11::{ExportAttempt, Pin, Pkcs11KeyStore, Pkcs11Module, TokenOptions};
use signer_hsm::service::CallerId;
use signer_hsm::service::client::Endpoint;
use signer_hsm::service::limits::{Clock, ServerLimits};
use signer_hsm::service::server::Peers;
use signer_hsm::{KeyLabel, KeyStore, SoftwareKeyStore};

use crate::clock::ServiceClock;
use crate::report::{ExportReport, KeysReport};

use self::issuing::Serving;
pub use self::issuing::{Issuing, ServiceFailure};

type Attempted<T> = Result<T, Box<dyn core::error::Error + Send + Sync>>;

/// The cluster, as labels of keys begin.
pub(crate) const CLUSTER: &str = "miniature";
/// The key that is made to be taken, to see that the attempts at the others are attempts.
const CONTROL: &str = "control";
/// No call on loopback or in SoftHSM2 takes so long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The generations that a run can come to: the first, and one for each rotation.
const GENERATIONS: usize = 4;
/// What the process with the keys says when it can be asked.
const READY: &str = "ready";

/// The key store of a run, and whatever has to be ended with it.
#[derive(Debug)]
pub struct CaKeys {
    store: Arc<dyn KeyStore>,
    keeper: Keeper,
}

enum Keeper {
    Memory,
    Token { token: Arc<Pkcs11KeyStore>, module: Pkcs11Module },
    Process { child: Child, issuing: Arc<Issuing>, _directory: tempfile::TempDir },
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "Memory",
            Self::Token { .. } => "Token",
            Self::Process { .. } => "Process",
        })
    }
}

impl CaKeys {
    /// In the memory of this process.
    #[must_use]
    pub fn software() -> Self {
        Self { store: Arc::new(SoftwareKeyStore::new()), keeper: Keeper::Memory }
    }

    /// In the SoftHSM2 token of [`TokenDirectory`], to which the environment of this process points.
    ///
    /// # Errors
    /// When module or token cannot be used.
    pub fn token(module: &Path) -> Attempted<Self> {
        make_control_key(module)?;
        let module = Pkcs11Module::load(module)?;
        let pin = || Some(Pin::new(TokenDirectory::PIN.to_owned()));
        let uri = format!("pkcs11:token={}", TokenDirectory::LABEL).parse()?;
        let token = Arc::new(Pkcs11KeyStore::new(&module, uri, pin, TokenOptions::default())?);
        if let Err(error) = token.check() {
            module.finalize(TIMEOUT)?;
            return Err(error.into());
        }
        let store: Arc<dyn KeyStore> = Arc::<Pkcs11KeyStore>::clone(&token);
        Ok(Self { store, keeper: Keeper::Token { token, module } })
    }

    /// In the memory of another process, which `command` begins and which calls [`serve`] with the path that is added
    /// to its arguments. It ends with this one. Beside the keys it has an issuing service for the nodes of this preset.
    ///
    /// # Errors
    /// When the process cannot be begun, or is not ready.
    pub fn process(mut command: Command, preset: Preset) -> Attempted<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("keys.sock");
        let mut child = command.arg(&socket).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or("the process has no pipes")?;
        let (mut stdout, mut said) = (BufReader::new(stdout), String::new());
        stdout.read_line(&mut said)?;
        if said.trim_end() != READY {
            return Err(format!("the process with the keys is not ready: {}", child.wait()?).into());
        }
        let issuing = Arc::new(Issuing::new(&socket, preset, stdin, stdout)?);
        let clock: Arc<dyn Clock> = Arc::new(ServiceClock::start());
        let store = Arc::new(AgentKeyStore::new(Endpoint::Unix(socket), clock, TIMEOUT));
        Ok(Self { store, keeper: Keeper::Process { child, issuing, _directory: directory } })
    }

    /// What the cluster's authorities sign with.
    #[must_use]
    pub fn store(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.store)
    }

    /// The service that signs what nodes ask for, where it is not this process that does.
    #[must_use]
    pub fn issuing(&self) -> Option<Arc<Issuing>> {
        match &self.keeper {
            Keeper::Process { issuing, .. } => Some(Arc::clone(issuing)),
            _ => None,
        }
    }

    /// Tries to take every key that is left after a run of this preset, where there is a way to try, and ends whatever
    /// kept them.
    ///
    /// # Errors
    /// When the keys cannot be asked for any more.
    pub fn finish(self, preset: Preset) -> Attempted<KeysReport> {
        let place = match &self.keeper {
            Keeper::Memory => "software",
            Keeper::Token { .. } => "pkcs11",
            Keeper::Process { .. } => "service",
        };
        let mut report = KeysReport { place: place.to_owned(), ..KeysReport::default() };
        let cluster: ClusterId = CLUSTER.parse()?;
        let hierarchy = pki_core::Hierarchy::preset(preset);
        let generations = core::iter::successors(Some(CaVersion::FIRST), |version| Some(version.next()));
        for version in generations.take(GENERATIONS) {
            for role in hierarchy.roles() {
                let label = KeyLabel::authority(&cluster, *role, version);
                if self.store.find(&label)? {
                    report.keys.push(label.to_string());
                }
            }
        }
        match self.keeper {
            Keeper::Memory => {}
            Keeper::Token { token, module } => {
                let control = token.probe_export(&CONTROL.parse()?)?;
                report.control = Some(attempts(CONTROL, &control));
                for key in &report.keys {
                    report.exports.push(attempts(key, &token.probe_export(&key.parse()?)?));
                }
                drop((token, self.store));
                module.finalize(TIMEOUT)?;
            }
            Keeper::Process { mut child, issuing, .. } => {
                // It ends when nobody can speak to it any more.
                report.issuing = Some(issuing.finish()?);
                let status = child.wait()?;
                if !status.success() {
                    return Err(format!("the process with the keys ended with {status}").into());
                }
            }
        }
        Ok(report)
    }
}

fn attempts(key: &str, probe: &signer_hsm::pkcs11::ExportProbe) -> ExportReport {
    let octets = |attempt: &ExportAttempt| match attempt {
        ExportAttempt::Yielded(octets) => *octets,
        ExportAttempt::Refused(_) | ExportAttempt::NotTried(_) => 0,
    };
    ExportReport {
        key: key.to_owned(),
        read: octets(&probe.read),
        wrapped: octets(&probe.wrap),
        copied: octets(&probe.copy),
    }
}

/// A new SoftHSM2 token in a directory of its own, gone with this value. A module reads from its environment where its
/// tokens are, so whoever uses it is another process.
#[derive(Debug)]
pub struct TokenDirectory(tempfile::TempDir);

impl TokenDirectory {
    /// The token's label.
    pub const LABEL: &str = CLUSTER;
    /// Of a token that is thrown away with its directory.
    pub const PIN: &str = "1234";

    /// Makes the token.
    ///
    /// # Errors
    /// When `softhsm2-util` is not installed or fails.
    pub fn new() -> Attempted<Self> {
        let directory = Self(tempfile::tempdir()?);
        let tokens = directory.0.path().join("tokens");
        fs::create_dir(&tokens)?;
        let configuration =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(directory.configuration(), configuration)?;
        let mut command = directory.command("softhsm2-util");
        command.args(["--init-token", "--free", "--label", Self::LABEL, "--pin", Self::PIN, "--so-pin", Self::PIN]);
        let output = command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "`softhsm2-util` is not installed; on Debian it comes from softhsm2".to_owned(),
            _ => format!("`softhsm2-util`: {error}"),
        })?;
        if !output.status.success() {
            return Err(format!("`softhsm2-util`: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
        Ok(directory)
    }

    fn configuration(&self) -> PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    /// A command whose SoftHSM2 has this token.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.configuration());
        command
    }
}

/// A key that everything is allowed with, past the library that would refuse to make it.
fn make_control_key(module: &Path) -> Attempted<()> {
    /// prime256v1, as `CKA_EC_PARAMS` has it.
    const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

    let context = Pkcs11::new(module)?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = context.get_slots_with_initialized_token()?.into_iter().next().ok_or("the module has no token")?;
    let session = context.open_rw_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::from(Box::<str>::from(TokenDirectory::PIN))))?;
    let named = [Attribute::Token(true), Attribute::Label(CONTROL.into()), Attribute::Id(CONTROL.into())];
    let public = [&named[..], &[Attribute::EcParams(P256.to_vec())]].concat();
    let open = [Attribute::Private(true), Attribute::Sensitive(false), Attribute::Extractable(true)];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &[&named[..], &open].concat())?;
    drop(session);
    context.finalize()?;
    Ok(())
}

/// Keeps the keys of a miniature cluster behind a socket at this path, for the user of this process, until standard input
/// ends. Says on standard output when it can be asked. Beside it an issuing service signs what so many nodes of this preset ask
/// for, with generations that are installed over standard input; at the end it says how many, and how often its epoch was
/// switched.
///
/// # Errors
/// When it cannot listen.
pub fn serve(socket: &Path, preset: Preset, nodes: usize) -> Attempted<()> {
    let caller = CallerId::new(CLUSTER);
    let rights = Rights::new().with(caller.clone(), Labels::Below(CLUSTER.parse()?), Right::Manage);
    let clock: Arc<dyn Clock> = Arc::new(ServiceClock::start());
    let store: Arc<dyn KeyStore> = Arc::new(SoftwareKeyStore::new());
    let server = Agent::new(Arc::clone(&store), rights).server(ServerLimits::AGENT, clock);
    let own = rustix::process::geteuid().as_raw();
    server.listen_unix(socket, 0o600, Peers::new().with_user(own, caller))?;
    let mut stdout = io::stdout().lock();
    let issuing = Serving::begin(socket, store, preset, nodes)?;
    writeln!(stdout, "{READY}")?;
    stdout.flush()?;
    for line in io::stdin().lock().lines() {
        match issuing.obey(&line?) {
            Ok(()) => writeln!(stdout, "{READY}")?,
            Err(error) => writeln!(stdout, "{}", error.to_string().escape_debug())?,
        }
        stdout.flush()?;
    }
    let _unfinished = server.drain(TIMEOUT);
    writeln!(stdout, "{}", issuing.end()?)?;
    Ok(())
}
