//! What is sent to harm: the connection ends, and the service serves everybody else.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use signer_hsm::service::client::{ClientError, Endpoint};
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::ServerLimits;
use signer_hsm::service::log::{Entry, verify_directory};
use signer_hsm::service::protocol::{
    Ask, Frames, Hello, Outcome, ProtocolError, Refusal, Request, Response, Service, SignerAsk, Welcome, push_frame,
};
use signer_hsm::service::server::{ListenError, Peers};
use signer_hsm::service::{CallerId, Server};

use crate::support::{Bench, NODE, ROLE, blue, caller, order, own_uid, pause, request_id, serving};

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_frame(&mut out, body);
    out
}

fn hello() -> Vec<u8> {
    frame(&Hello::new(Service::Issuing, Welcome::Ready).encode())
}

fn request(sequence: u64) -> Request {
    let ask = serving(NODE, &[NODE]).0;
    let (cluster, role) = ("blue".to_owned(), "cluster".to_owned());
    Request { sequence, id: request_id(), cluster, role, epoch: SignerEpoch::FIRST, ask }
}

/// Sends octets, and reads until the server ends the connection.
fn converse(bench: &Bench, octets: &[u8], is_over: bool) -> Vec<Vec<u8>> {
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may have ended before everything was sent.
    let _sent = stream.write_all(octets);
    if is_over {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection is not ended"),
    }
    let mut frames = Frames::new(1 << 20);
    frames.push(&received);
    let mut all = Vec::new();
    while let Some(frame) = frames.pop().unwrap() {
        all.push(frame.to_vec());
    }
    all
}

/// Reads one frame.
fn receive(stream: &mut UnixStream) -> Vec<u8> {
    let (mut frames, mut buffer) = (Frames::new(1 << 20), [0; 1024]);
    loop {
        if let Some(frame) = frames.pop().unwrap() {
            return frame.to_vec();
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection is ended");
        frames.push(&buffer[..count]);
    }
}

#[test]
fn silence_before_a_frame_is_not_of_its_time() {
    let bench = Bench::new();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&hello()).unwrap();
    receive(&mut stream);
    // Longer than a frame may take, and not as long as a connection may be silent.
    pause(100);
    bench.clock.skip(11_000);
    let whole = frame(&request(0).encode());
    stream.write_all(&whole[..100]).unwrap();
    pause(100);
    stream.write_all(&whole[100..]).unwrap();
    receive(&mut stream);
}

#[test]
fn whatever_is_sent_ends_one_connection_and_no_more() {
    let bench = Bench::new();
    let service = bench.service();
    let mut limits = ServerLimits::DEFAULT;
    limits.frame_deadline = Duration::from_millis(300);
    let _server = bench.server(&service, limits);
    let good = request(0).encode();
    let mut trailing = good.clone();
    trailing.push(0);
    let mut unknown_ask = good.clone();
    unknown_ask.truncate(24 + 4 + 4 + 4 + 7 + 8);
    unknown_ask.push(9);
    // Not a word of the protocol, also as the first word: no answer at all.
    for octets in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 64], vec![0xff; 64], frame(b""), frame(b"carousel")] {
        assert_eq!(converse(&bench, &octets, false).len(), 0);
    }
    // After the hello: nothing but the hello back.
    for body in [&b""[..], b"nonsense", &good[..20], &trailing, &unknown_ask] {
        assert_eq!(converse(&bench, &[hello(), frame(body)].concat(), false).len(), 1);
    }
    // Above the limit, unread; half-sent and silent; half-sent and gone.
    let announced = u32::try_from(limits.frame_len_max + 1).unwrap().to_be_bytes();
    assert_eq!(converse(&bench, &[hello(), announced.to_vec()].concat(), false).len(), 1);
    let half = frame(&good)[..100].to_vec();
    assert_eq!(converse(&bench, &[hello(), half.clone()].concat(), false).len(), 1);
    assert_eq!(converse(&bench, &[hello(), half].concat(), true).len(), 1);
    // Replayed, reordered, left out: what was in order is answered, what was not is the end.
    let (zero, one, two) = (frame(&good), frame(&request(1).encode()), frame(&request(2).encode()));
    for (sent, answered) in
        [([&zero, &zero, &one], 1), ([&one, &zero, &two], 0), ([&zero, &two, &one], 1), ([&zero, &one, &one], 2)]
    {
        let octets = [&hello(), sent[0], sent[1], sent[2]].map(Vec::as_slice).concat();
        assert_eq!(converse(&bench, &octets, false).len(), 1 + answered);
    }
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    client.issue(&order(&authority, NODE, &[NODE])).unwrap();
    verify_directory(bench.path(), None, |_| {}).unwrap();
}

#[test]
fn a_stranger_another_version_and_another_service_are_told_so() {
    let bench = Bench::new();
    let service = bench.service();
    let server = Server::issuing(service, ServerLimits::DEFAULT);
    server.listen_unix(&bench.socket(), 0o600, Peers::new().with_user(own_uid() + 1, caller())).unwrap();
    let error = bench.client().current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::TurnedAway(Welcome::Denied)), "{error}");
    for (said, welcome) in [
        (Hello { version: 2, ..Hello::new(Service::Issuing, Welcome::Ready) }, Welcome::UnknownVersion),
        (Hello::new(Service::Agent, Welcome::Ready), Welcome::OtherService),
    ] {
        let answers = converse(&bench, &frame(&said.encode()), false);
        assert_eq!(Hello::decode(&answers[0]).unwrap(), Hello::new(Service::Issuing, welcome));
    }
}

#[test]
fn another_user_of_the_machine_is_another_caller() {
    if own_uid() != 0 {
        eprintln!("not run as root: no process of another user could be begun");
        return;
    }
    let bench = Bench::new();
    let service = bench.service();
    let server = Server::issuing(service, ServerLimits::DEFAULT);
    server.listen_unix(&bench.socket(), 0o666, Peers::new().with_user(0, caller())).unwrap();
    std::fs::set_permissions(bench.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = |uid: &str| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
            s.sendall(bytes.fromhex(sys.argv[2]))\nf=s.makefile('rb')\nn=int.from_bytes(f.read(4),'big')\n\
            print(f.read(n).hex())";
        let hex: String = hello().iter().map(|octet| format!("{octet:02x}")).collect();
        let output = std::process::Command::new("setpriv")
            .args(["--reuid", uid, "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script])
            .arg(bench.socket())
            .arg(hex)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let hex = String::from_utf8(output.stdout).unwrap();
        let octets: Vec<_> =
            (0..hex.trim().len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        Hello::decode(&octets).unwrap().welcome
    };
    assert_eq!(said("0"), Welcome::Ready);
    assert_eq!(said("65534"), Welcome::Denied);
}

#[test]
fn more_connections_than_a_caller_may_have_are_told_so_and_harm_no_other() {
    let bench = Bench::new();
    let service = bench.service();
    let mut limits = ServerLimits::DEFAULT;
    (limits.connections_max, limits.strangers_max) = (2, 2);
    let server = bench.server(&service, limits);
    // Another caller and somebody who is none, by sockets of their own.
    let (others, strangers) = (bench.path().join("others"), bench.path().join("strangers"));
    server.listen_unix(&others, 0o600, Peers::new().with_user(own_uid(), CallerId::new("other"))).unwrap();
    server.listen_unix(&strangers, 0o600, Peers::new().with_user(own_uid(), CallerId::new("nobody"))).unwrap();
    let (mut first, mut second) = (bench.client(), bench.client());
    first.current(&blue(), ROLE).unwrap();
    second.current(&blue(), ROLE).unwrap();
    let error = bench.client().current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::TurnedAway(Welcome::Full)) && error.is_retryable(), "{error}");
    // Silent ones, far more than there is room for: those above twice the share are not even listened to.
    while server.connections() > 2 {
        pause(5);
    }
    let idle = |path: &std::path::Path| (0..20).map(|_| UnixStream::connect(path).unwrap()).collect::<Vec<_>>();
    let (_idle, mut idle_strangers) = (idle(&bench.socket()), idle(&strangers));
    pause(200);
    assert_eq!(server.connections(), 4 + 2);
    let mut other = bench.client_at(&others);
    other.current(&"green".parse().unwrap(), ROLE).unwrap();
    assert_eq!(server.connections(), 4 + 2 + 1);
    idle_strangers.clear();
    while server.connections() > 4 + 1 {
        pause(5);
    }
    let error = bench.client_at(&strangers).current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::TurnedAway(Welcome::Denied)), "{error}");
    drop((first, _idle));
    while server.connections() > 2 {
        pause(5);
    }
    bench.client().current(&blue(), ROLE).unwrap();
}

#[test]
fn a_service_that_does_not_answer_leaves_the_outcome_unknown() {
    let bench = Bench::new();
    let listener = std::os::unix::net::UnixListener::bind(bench.socket()).unwrap();
    let silent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&hello()).unwrap();
        let mut sink = Vec::new();
        // Until the client gives up.
        stream.read_to_end(&mut sink).unwrap();
        sink.len()
    });
    let clock: std::sync::Arc<dyn signer_hsm::service::limits::Clock> =
        std::sync::Arc::<crate::support::TestClock>::clone(&bench.clock);
    let endpoint = Endpoint::Unix(bench.socket());
    let deadline = Duration::from_millis(300);
    let mut client = signer_hsm::service::Client::new(endpoint, clock, pki_core::verify::aws_lc_rs(), deadline);
    let error = client.current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }) && error.is_retryable(), "{error}");
    drop(client);
    assert!(silent.join().unwrap() > 40);
}

#[test]
fn a_drain_answers_what_has_arrived_and_lets_nobody_in() {
    let bench = Bench::new();
    let service = bench.service();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    stream.write_all(&hello()).unwrap();
    let mut welcome = vec![0; hello().len()];
    stream.read_exact(&mut welcome).unwrap();
    let requests: Vec<_> = (0..100).map(|sequence| frame(&request(sequence).encode())).collect();
    stream.write_all(&requests.concat()).unwrap();
    let drained = server.drain(Duration::from_secs(20));
    assert_eq!((drained.finished, drained.cut_off), (1, 0));
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let mut frames = Frames::new(1 << 20);
    frames.push(&received);
    let mut issued = 0;
    while let Some(frame) = frames.pop().unwrap() {
        assert!(matches!(Response::decode(frame).unwrap().outcome, Outcome::Certificate(_)));
        issued += 1;
    }
    assert_eq!(issued, 100);
    let error = bench.client().current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    let (_, verified) = verify_directory(bench.path(), None, |_: &Entry| {}).unwrap();
    assert_eq!(verified.issued, 100);
}

#[test]
fn the_socket_of_the_dead_is_taken_over_and_that_of_the_living_is_not() {
    let bench = Bench::new();
    drop(std::os::unix::net::UnixListener::bind(bench.socket()).unwrap());
    assert!(bench.socket().exists(), "left behind");
    let service = bench.service();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    bench.client().current(&blue(), ROLE).unwrap();
    let second = Server::issuing(std::sync::Arc::clone(&service), ServerLimits::DEFAULT);
    let taken = second.listen_unix(&bench.socket(), 0o600, Peers::new());
    assert!(matches!(taken, Err(ListenError::InUse(_))));
    bench.client().current(&blue(), ROLE).unwrap();
    drop(server);
    assert!(!bench.socket().exists());
    // Somebody who knows no lock, but lives; and something that is no socket.
    let living = std::os::unix::net::UnixListener::bind(bench.socket()).unwrap();
    assert!(matches!(second.listen_unix(&bench.socket(), 0o600, Peers::new()), Err(ListenError::InUse(_))));
    drop(living);
    std::fs::remove_file(bench.socket()).unwrap();
    std::fs::write(bench.socket(), "precious").unwrap();
    assert!(matches!(second.listen_unix(&bench.socket(), 0o600, Peers::new()), Err(ListenError::NotASocket(_))));
    assert_eq!(std::fs::read(bench.socket()).unwrap(), b"precious");
}

#[test]
fn a_server_whose_thread_cannot_be_begun_leaves_no_socket() {
    const CHILD: &str = "NO_THREADS_HERE";
    if std::env::var_os(CHILD).is_none() {
        // No thread has a stack of so much, so none is begun in that process.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["hostile::a_server_whose_thread_cannot_be_begun_leaves_no_socket", "--exact", "--test-threads=1"]);
        let output = child.env(CHILD, "").env("RUST_MIN_STACK", (1_u64 << 46).to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let bench = Bench::new();
    let server = Server::issuing(bench.service(), ServerLimits::DEFAULT);
    for _ in 0..2 {
        let refused = server.listen_unix(&bench.socket(), 0o600, Peers::new());
        assert!(matches!(refused, Err(ListenError::Io(_))), "{refused:?}");
        assert!(!bench.socket().exists(), "nothing was changed");
    }
}

#[test]
fn frames_are_bounded_and_cut_wherever_they_are_split() {
    let octets = [frame(b"one"), frame(b""), frame(&[7; 50])].concat();
    for split in 0..octets.len() {
        let mut frames = Frames::new(50);
        let mut found = Vec::new();
        for part in [&octets[..split], &octets[split..]] {
            frames.push(part);
            while let Some(frame) = frames.pop().unwrap() {
                found.push(frame.to_vec());
            }
        }
        assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 50]]);
        assert!(!frames.is_within());
    }
    let mut frames = Frames::new(50);
    frames.push(&51_u32.to_be_bytes());
    assert_eq!(frames.pop(), Err(ProtocolError::FrameTooLong { found: 51, max: 50 }));
}

#[test]
fn a_message_is_of_this_protocol_within_its_bounds_and_nothing_more() {
    let sound = Hello::new(Service::Issuing, Welcome::Ready).encode();
    let mut other = sound.clone();
    other[0] ^= 1;
    assert_eq!(Hello::decode(&other), Err(ProtocolError::NotThisProtocol));
    assert_eq!(Hello::decode(&[&sound[..], &[0]].concat()), Err(ProtocolError::Malformed("hello")));
    let refused = Response { sequence: 0, id: request_id(), outcome: Outcome::Refused(Refusal::LogFull) }.encode();
    Response::decode(&refused).unwrap();
    assert_eq!(Response::decode(&[&refused[..], &[0]].concat()), Err(ProtocolError::Malformed("response")));
    let named = |length| Request { cluster: "c".repeat(length), ..request(0) }.encode();
    Request::decode(&named(63)).unwrap();
    assert_eq!(Request::decode(&named(64)), Err(ProtocolError::Malformed("request")));
    let using = |count| {
        let (signer, csr) = ("example.com/s".to_owned(), Vec::new());
        let (usages, groups) = (vec!["client auth".to_owned(); count], Vec::new());
        let ask = SignerAsk { signer, usages, expiration_seconds: None, username: String::new(), groups, csr };
        Request { ask: Ask::signer(ask), ..request(0) }.encode()
    };
    Request::decode(&using(32)).unwrap();
    assert_eq!(Request::decode(&using(33)), Err(ProtocolError::Malformed("request")));
}

#[test]
fn an_answer_of_an_agent_without_its_number_is_none() {
    let done = [0_u64.to_be_bytes().as_slice(), &[0]].concat();
    assert_eq!(signer_hsm::agent::read_and_write(&done), [None, Some(done.clone())]);
    // As an answer without a number each of these would say something: done, found, refused.
    for short in [&done[8..], &[1, 1], &[4, 0], &[5]] {
        assert_eq!(signer_hsm::agent::read_and_write(short), [None, None], "{short:?}");
    }
}

proptest! {
    #[test]
    fn messages_that_are_read_are_written_the_same(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = Request::decode(&octets) { prop_assert_eq!(request.encode(), octets.clone()); }
        if let Ok(response) = Response::decode(&octets) { prop_assert_eq!(response.encode(), octets.clone()); }
        if let Some(entry) = Entry::decode(&octets) { prop_assert_eq!(entry.encode(), octets.clone()); }
        for again in signer_hsm::agent::read_and_write(&octets).into_iter().flatten() { prop_assert_eq!(&again, &octets); }
        if let Ok(hello) = Hello::decode(&octets) { prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello)); }
    }

    #[test]
    fn a_request_that_is_damaged_is_refused_or_another(at in 0_usize..600, bit in 0_u8..8, cut in 0_usize..600) {
        let sound = request(3);
        let mut octets = sound.encode();
        let at = at % octets.len();
        octets[at] ^= 1 << bit;
        prop_assert_ne!(Request::decode(&octets), Ok(sound.clone()));
        let whole = sound.encode();
        prop_assert!(Request::decode(&whole[..cut % whole.len()]).is_err());
    }

    #[test]
    fn refusals_travel_unchanged(sequence: u64, expected in 1_u64.., found in 1_u64.., text in "\\PC{0,100}", ms: u64) {
        let epoch = |number| SignerEpoch::new(number).unwrap();
        for refusal in [
            Refusal::StaleEpoch { expected: epoch(expected), found: epoch(found) },
            Refusal::OffPolicy { code: "policy.name".into(), text: text.clone() },
            Refusal::RateLimited { retry_after_ms: ms },
            Refusal::RoleDenied, Refusal::UnknownGeneration, Refusal::Retired, Refusal::Signing,
            Refusal::ClusterDenied, Refusal::LogFull, Refusal::Signer(pki_core::SignErrorKind::TimedOut),
        ] {
            let response = Response { sequence, id: request_id(), outcome: Outcome::Refused(refusal) };
            prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
        }
    }
}
