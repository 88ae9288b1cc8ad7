//! Real tokens for tests: SoftHSM2 in this process, behind `p11-kit server`, or behind a shim that counts and limits.
//!
//! A module reads its configuration from the environment and belongs to the whole process, so each test runs in a
//! process of its own: the test starts itself once more, with the environment set. What is not installed fails the test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use signer_hsm::pkcs11::{Pin, Pkcs11KeyStore, Pkcs11Module, Pkcs11Uri, TokenOptions};

pub(crate) const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CLIENTS: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so", "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so"];
const CHILD: &str = "TOKEN_TEST_DIRECTORY";
const MAKE: &str = "TOKEN_TEST_MAKES_KEY";
const LABEL: &str = "t1";
pub(crate) const PIN: &str = "1234";

/// A directory with one initialized token of SoftHSM2, in a process whose environment points to it.
pub(crate) struct Token {
    directory: PathBuf,
}

/// Runs `test`, whose name is `name`, in a process of its own.
pub(crate) fn in_own_process(name: &str, environment: &[(&str, &str)], test: impl FnOnce(&Token)) {
    const FINISHED: &str = "finished";

    if let Some(recipe) = std::env::var_os(MAKE) {
        return make_key(recipe.to_str().unwrap());
    }
    if let Some(directory) = std::env::var_os(CHILD) {
        let token = Token { directory: directory.into() };
        test(&token);
        fs::write(token.path(FINISHED), "").unwrap();
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let token = Token { directory: scratch.path().to_owned() };
    token.initialize();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(CHILD, scratch.path());
    command.env("SOFTHSM2_CONF", token.path("softhsm2.conf"));
    command.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", token.path("p11.sock").display()));
    command.env("SHIM_MODULE", SOFTHSM).env("SHIM_LOG", token.path("shim.log"));
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}:\n{said}", output.status);
    // A name that fits no test would pass without having run.
    assert!(token.path(FINISHED).exists(), "{name} did not run:\n{said}");
}

impl Token {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn initialize(&self) {
        fs::create_dir(self.path("tokens")).unwrap();
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            self.path("tokens").display()
        );
        fs::write(self.path("softhsm2.conf"), configuration).unwrap();
        let mut command = Command::new("softhsm2-util");
        command.args(["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "5678"]);
        succeed(command.env("SOFTHSM2_CONF", self.path("softhsm2.conf")));
    }

    pub(crate) fn softhsm(&self) -> Pkcs11Module {
        Pkcs11Module::load(SOFTHSM).unwrap()
    }

    pub(crate) fn client(&self) -> Pkcs11Module {
        let client = CLIENTS.into_iter().find(|client| Path::new(client).exists());
        Pkcs11Module::load(client.expect("p11-kit-client.so, of p11-kit-modules, is not installed")).unwrap()
    }

    /// SoftHSM2 behind `shim.c`, compiled here.
    pub(crate) fn shim(&self) -> Pkcs11Module {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/shim.c");
        let library = self.path("shim.so");
        let output = library.to_str().unwrap();
        succeed(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", output, source, "-ldl"]));
        Pkcs11Module::load(library).unwrap()
    }

    /// How many logins the shim saw.
    pub(crate) fn logins(&self) -> usize {
        fs::read_to_string(self.path("shim.log")).unwrap_or_default().lines().count()
    }

    pub(crate) fn store(&self, module: &Pkcs11Module) -> Pkcs11KeyStore {
        self.store_with(module, TokenOptions::default())
    }

    pub(crate) fn store_with(&self, module: &Pkcs11Module, options: TokenOptions) -> Pkcs11KeyStore {
        let pin = || Some(Pin::new(PIN.to_owned()));
        Pkcs11KeyStore::new(module, Pkcs11Uri::token_label(LABEL).unwrap(), pin, options).unwrap()
    }

    pub(crate) fn uri(&self) -> Pkcs11Uri {
        Pkcs11Uri::token_label(LABEL).unwrap()
    }

    /// Has another process make a key that is as `flags` say, with `CKA_ID` 01.
    pub(crate) fn make_key(&self, label: &str, kind: &str, flags: &[&str]) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let recipe = [&[label, kind], flags].concat().join(" ");
        succeed(command.args(std::env::args_os().skip(1)).env(MAKE, recipe));
    }

    /// Another process that is logged in to the token.
    pub(crate) fn pkcs11_tool(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("pkcs11-tool");
        command.args(["--module", SOFTHSM, "--token-label", LABEL, "--login", "--pin", PIN]);
        succeed(command.args(arguments))
    }

    pub(crate) fn server(&self) -> Server {
        let socket = self.path("p11.sock");
        let _stale = fs::remove_file(&socket);
        let mut command = Command::new("p11-kit");
        command.args(["server", "-f", "--provider", SOFTHSM, "-n"]).arg(&socket);
        let child = command.arg(format!("pkcs11:token={LABEL}")).stdout(Stdio::null()).spawn().unwrap();
        let server = Server(child);
        wait_until("the server listens", || socket.exists());
        server
    }

    /// Takes the token out of its slot, or puts it back.
    pub(crate) fn set_present(&self, present: bool) {
        let (here, away) = (self.path("tokens"), self.path("away"));
        if present { fs::rename(away, here) } else { fs::rename(here, away) }.unwrap();
    }
}

/// Makes a key pair that may do everything that it is flagged for, and nothing else.
fn make_key(recipe: &str) {
    let mut words = recipe.split(' ');
    let (label, kind) = (words.next().unwrap(), words.next().unwrap());
    let flags: Vec<&str> = words.collect();
    let has = |flag: &str| flags.contains(&flag);
    let named = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![1])];
    let (mechanism, parameters) = match kind {
        "rsa" => (Mechanism::RsaPkcsKeyPairGen, vec![Attribute::ModulusBits(2048.into())]),
        _ => {
            let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
            (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(p256)])
        }
    };
    let private = [
        Attribute::Private(true),
        Attribute::Sensitive(!has("readable")),
        Attribute::Extractable(has("extractable")),
        Attribute::Sign(has("sign")),
        Attribute::Decrypt(has("decrypt")),
        Attribute::Unwrap(has("unwrap")),
        Attribute::Derive(has("derive")),
    ];
    let context = Pkcs11::new(SOFTHSM).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let session = context.open_rw_session(slots[0]).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(Box::<str>::from(PIN)))).unwrap();
    session
        .generate_key_pair(
            &mechanism,
            &[&parameters, named.as_slice()].concat(),
            &[private.as_slice(), &named].concat(),
        )
        .unwrap();
    drop(session);
    context.finalize().unwrap();
}

/// A `p11-kit server`, killed when it is dropped.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn signal(&self, signal: &str) {
        succeed(Command::new("kill").args([signal, &self.0.id().to_string()]));
    }

    /// The processes that answer the clients: the server has one for each.
    pub(crate) fn signal_children(&self, signal: &str) {
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &self.0.id().to_string()]).output().unwrap();
        for child in String::from_utf8(children.stdout).unwrap().split_whitespace() {
            succeed(Command::new("kill").args([signal, child]));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_children("-KILL");
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn succeed(command: &mut Command) -> Output {
    let program = OsStr::to_owned(command.get_program());
    let output = command.output().unwrap_or_else(|error| panic!("{} does not run: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", program.display());
    output
}
