//! Connections and enrolment of a real daemon: TLS, enrolment, revocation, rejections, and renewal.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::ProgramOutput;
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, tls, wait_for};

const TECHNICIAN: &str = "hello technician user=field pin=2468";

/// A box with a TLS listener and a technician.
fn site() -> Site {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
         BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
    Site { more: more.to_owned(), ..Site::sim(&[1]) }
}

fn code_for(the_box: &Daemon, words: &str) -> String {
    let mut technician = the_box.client_over_unix(TECHNICIAN);
    technician.ok(&format!("enrol {words}")).get("code").to_owned()
}

fn enrol(the_box: &Daemon, home: &str, code: &str) -> ProgramOutput {
    let to = format!("127.0.0.1:{}", the_box.tls_port);
    the_box.tool_at(home, &["enrol", "--to", &to, "--code", code])
}

/// Where a workstation keeps what it got.
fn keys(the_box: &Daemon, home: &str) -> PathBuf {
    let folder = the_box.path(home).join("hushbox/boxes");
    let mut files = std::fs::read_dir(folder).unwrap();
    let found = files.next().expect("a file").unwrap().path();
    assert!(files.next().is_none(), "one file and nothing beside it");
    found
}

fn enrolled(the_box: &Daemon, home: &str, words: &str) -> PathBuf {
    let said = enrol(the_box, home, &code_for(the_box, words));
    assert_eq!(said.code, Some(0), "{said:?}");
    keys(the_box, home)
}

fn authority(the_box: &Daemon) -> PathBuf {
    the_box.data().join("tls/ca.crt")
}

/// A connection with this identity, or none.
fn over_tls(the_box: &Daemon, identity: Option<&Path>) -> Client {
    Client::tls(the_box.tls_port, tls::config(&authority(the_box), identity))
}

/// The value of a counter.
fn counter(the_box: &Daemon, name: &str) -> u64 {
    let mut monitor = the_box.client_over_unix("hello monitor");
    let rows = monitor.ask("stats").rows;
    let row = rows.iter().find(|row| row.get("name") == name);
    row.unwrap_or_else(|| panic!("no {name}")).number("value")
}

fn turned_away(the_box: &Daemon, why: &str) -> u64 {
    counter(the_box, &format!("hushbox_turned_away_total{{why=\"{why}\"}}"))
}

#[test]
fn workstation_enrols_works_and_is_revoked() {
    let mut the_box = Daemon::start_new(site());
    for file in ["ca.crt", "ca.key", "server.crt", "server.key"] {
        let mode = std::fs::metadata(the_box.data().join("tls").join(file)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let code = code_for(&the_box, "WS-042");
    let said = enrol(&the_box, "desk", &code);
    let address = format!("tls:127.0.0.1:{}", the_box.tls_port);
    let wanted = format!("enrolled machine=WS-042 kinds=agent,screen box={address}\n");
    assert_eq!((said.code, said.out.as_str()), (Some(0), wanted.as_str()), "{said:?}");
    let identity = keys(&the_box, "desk");
    assert_eq!(std::fs::metadata(&identity).unwrap().permissions().mode() & 0o777, 0o600);
    // The code is used up.
    let again = enrol(&the_box, "other", &code);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("denied"), "{again:?}");

    // The tool comes in as this workstation, in TLS although its address does not say so.
    let to = format!("127.0.0.1:{}", the_box.tls_port);
    let words = ["send", "--to", &to, "--user", "a1", "--machine", "ws-042", "status"];
    let said = the_box.tool_at("desk", &words);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("row call=-"), "{said:?}");
    // It need not say which machine it is: the certificate does, whatever the host is called.
    let said = the_box.tool_at("desk", &["send", "--to", &to, "--user", "a1", "status"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let words = ["send", "--to", &to, "--user", "a1", "--machine", "WS-043", "status"];
    let said = the_box.tool_at("desk", &words);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("enrolled as WS-042, not as WS-043; say no machine="), "{said:?}");

    let words = ["agent", "--to", &to, "--user", "a1", "--machine", "WS-042"];
    let mut command = std::process::Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(words).env("XDG_CONFIG_HOME", the_box.path("desk"));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"ping\nstatus\nquit\n").unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("ok time=") && said.contains("recording=off"), "{said}");

    // It is this machine, of these kinds, and no other.
    let mut client = over_tls(&the_box, Some(&identity));
    client.err("hello agent user=a1 machine=WS-001", "denied");
    client.err("hello cti", "denied");
    assert_eq!(client.ok("hello agent user=a1").get("agent"), "Agent 1");
    client.await_news("the state", |line| line.is("recording", "off"));

    // All of it outlives a power cut.
    the_box.kill();
    the_box.start();
    let mut open = over_tls(&the_box, Some(&identity));
    open.ok("hello agent user=a1 machine=WS-042");
    let mut technician = the_box.client_over_unix(TECHNICIAN);
    technician.err("revoke WS-007", "not-enrolled");
    technician.ok("revoke ws-042");
    open.until_closed();
    over_tls(&the_box, Some(&identity)).err("hello agent user=a1", "not-enrolled");
    the_box.kill();
    the_box.start();
    over_tls(&the_box, Some(&identity)).err("hello agent user=a1", "not-enrolled");
    the_box.stop();
    the_box.assert_verified();
}

#[test]
fn new_certificate_closes_sessions_of_the_old_one() {
    let the_box = Daemon::start_new(site());
    let first = enrolled(&the_box, "desk", "WS-042 kinds=agent,monitor");
    let mut open = over_tls(&the_box, Some(&first));
    open.ok("hello monitor machine=WS-042");
    let second = enrolled(&the_box, "desk-anew", "ws-042 kinds=monitor");
    open.until_closed();
    over_tls(&the_box, Some(&first)).err("hello monitor", "not-enrolled");
    let mut new = over_tls(&the_box, Some(&second));
    new.err("hello agent user=a1", "denied");
    new.ok("hello monitor");
}

#[test]
fn client_without_certificate_may_only_enrol() {
    let the_box = Daemon::start_new(site());
    let mut client = over_tls(&the_box, None);
    client.ok("ping");
    client.err("hello agent user=a1", "not-enrolled");
    client.err("hello monitor", "not-enrolled");
    client.err("status", "hello-first");
    assert!(client.until_closed().is_empty());
    // No client enrols in plain text, nor with a line where a request should be.
    let mut plain = Client::tcp(the_box.port);
    plain.err("enrol code=AAAA", "denied");
    let mut hasty = over_tls(&the_box, None);
    hasty.send("enrol code=AAAA");
    hasty.send("ping");
    assert_eq!(hasty.reply().end.code(), "bad-argument");
    assert_eq!(hasty.reply().end.verb(), "ok");
    // A box without a TLS listener has nothing to enrol for.
    let more = site().more.replace("[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n", "");
    let plain_box = Daemon::start_new(Site { more, ..site() });
    plain_box.client_over_unix(TECHNICIAN).err("enrol WS-042", "config");
    assert!(!plain_box.data().join("tls").exists());
}

fn enrol_by_hand(client: &mut Client, code: &str, request: &[u8]) -> Line {
    client.send(&format!("enrol code={code}\ndata {}", request.len()));
    client.send_raw(request);
    client.send_raw(b"\n");
    client.reply().end
}

#[test]
fn h4_wrong_codes_lock_out_their_sender_only() {
    let the_box = Daemon::start_new(site());
    let code = code_for(&the_box, "WS-042");
    let wrong = code.replace(&code[..4], if code.starts_with("AAAA") { "BBBB" } else { "AAAA" });
    let stranger = || {
        let config = tls::config(&authority(&the_box), None);
        Client::tls_from(Ipv4Addr::new(127, 0, 0, 2), the_box.tls_port, config)
    };
    let mut tries = 0;
    while tries < 5 {
        let mut guesser = stranger();
        for _ in 0..3.min(5 - tries) {
            assert_eq!(enrol_by_hand(&mut guesser, &wrong, b"x").code(), "denied");
            tries += 1;
        }
        if tries == 3 {
            assert!(guesser.until_closed().is_empty(), "three tries a session");
        }
    }
    let mut late = stranger();
    assert_eq!(enrol_by_hand(&mut late, &code, b"x").code(), "locked", "even the right one");
    let mut technician = the_box.client_over_unix(TECHNICIAN);
    let alarms = technician.ask("alarms").rows;
    let alarm = alarms.iter().find(|row| row.is("code", "guessing")).expect("an alarm");
    assert!(alarm.get("text").contains("127.0.0.2"), "{alarm:?}");
    let said = enrol(&the_box, "desk", &code);
    assert_eq!(said.code, Some(0), "from another address: {said:?}");
    assert_eq!(counter(&the_box, "hushbox_refused_total{code=\"locked\"}"), 1);
}

#[test]
fn wrong_pins_lock_login_and_raise_an_alarm() {
    let the_box = Daemon::start_new(site());
    let mut monitor = the_box.client_over_unix("hello monitor");
    let mut alarms = || {
        let rows = monitor.ask("status").rows;
        rows.iter().find(|row| row.is("what", "alarms")).unwrap().number("active")
    };
    let before = alarms();
    for pin in 1000..1005 {
        let mut guesser = Client::unix(&the_box.socket());
        guesser.send(&format!("hello technician user=field pin={pin}"));
        drop(guesser);
    }
    wait_for("an alarm", || (alarms() == before + 1).then_some(()));
    let mut technician = Client::unix(&the_box.socket());
    technician.err(TECHNICIAN, "locked");
}

#[test]
fn invalid_signing_request_keeps_the_code_valid() {
    let the_box = Daemon::start_new(site());
    let code = code_for(&the_box, "WS-042");
    let mut client = over_tls(&the_box, None);
    assert_eq!(enrol_by_hand(&mut client, &code, b"no request").code(), "bad-argument");
    assert_eq!(enrol_by_hand(&mut client, &code, &vec![b'x'; 9000]).code(), "bad-argument");
    let said = enrol(&the_box, "desk", &code);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// A CA that an attacker made, and a certificate of it for every box's name.
struct Impostor {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    life: Option<(i64, i64)>,
) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["hushbox".to_owned()]).unwrap();
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
    if let Some((from, until)) = life {
        params.not_before = time::OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(until).unwrap();
    }
    (params.signed_by(&key, issuer).unwrap().der().clone(), key)
}

impl Impostor {
    /// Shows its own CA, or this one.
    fn new(shown: Option<CertificateDer<'static>>) -> Impostor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = params.self_signed(&key).unwrap().der().clone();
        let (leaf, leaf_key) = leaf(&Issuer::new(params, key), None);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        Impostor { chain: vec![leaf, shown.unwrap_or(authority)], key }
    }

    /// Shows what a workstation got when it was enrolled.
    fn insider(identity: &Path) -> Impostor {
        let pem = std::fs::read(identity).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
        Impostor { chain: tls::certificates(&pem), key }
    }

    /// Serves one client and gives all plaintext that it sent.
    fn serve(self, listener: TcpListener) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(self.chain, self.key)
                .unwrap();
            let (socket, _) = listener.accept().unwrap();
            let tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, socket);
            drop(stream.write_all(b"hushbox 1 box=story boot=1\n"));
            let mut heard = Vec::new();
            drop(stream.read_to_end(&mut heard));
            heard
        })
    }
}

#[test]
fn man_in_the_middle_learns_nothing() {
    let the_box = Daemon::start_new(site());
    let identity = enrolled(&the_box, "desk", "WS-042");
    let shown = tls::certificates(&std::fs::read(authority(&the_box)).unwrap()).remove(0);
    let insider = enrolled(&the_box, "insider", "WS-666");
    let impostors: [&dyn Fn() -> Impostor; 3] =
        [&|| Impostor::new(None), &|| Impostor::new(Some(shown.clone())), &|| {
            Impostor::insider(&insider)
        }];
    for impostor in impostors {
        let code = code_for(&the_box, "WS-007");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = format!("127.0.0.1:{port}");
        let heard = impostor().serve(listener.try_clone().unwrap());
        let said = the_box.tool_at("victim", &["enrol", "--to", &to, "--code", &code]);
        assert_eq!(said.code, Some(69), "{said:?}");
        assert!(said.err.contains("certificate"), "{said:?}");
        assert_eq!(heard.join().unwrap(), b"", "the code was told");
        assert!(!the_box.path("victim").exists());

        // Nor does it get a hello of a workstation that is enrolled at the true box.
        let pinned = identity.with_file_name(format!("127.0.0.1_{port}.pem"));
        std::fs::copy(&identity, &pinned).unwrap();
        let heard = impostor().serve(listener);
        let said = the_box.tool_at("desk", &["send", "--to", &to, "--user", "a1", "status"]);
        assert_eq!(said.code, Some(69), "{said:?}");
        assert_eq!(heard.join().unwrap(), b"", "a hello was said");
        std::fs::remove_file(pinned).unwrap();

        // The code is still good: no client has seen it.
        let said = enrol(&the_box, "honest", &code);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[test]
fn connection_without_tls_is_rejected_and_counted() {
    let the_box = Daemon::start_new(site());
    let mut noise = TcpStream::connect(("127.0.0.1", the_box.tls_port)).unwrap();
    noise.write_all(b"hello agent user=a1\n").unwrap();
    let mut heard = Vec::new();
    drop(noise.read_to_end(&mut heard));
    assert!(!heard.starts_with(b"hushbox"), "{heard:?}");
    wait_for("it is counted", || (turned_away(&the_box, "handshake") == 1).then_some(()));
    // A certificate of another CA does not even get through the handshake.
    let stranger = the_box.path("stranger.pem");
    let impostor = Impostor::new(None);
    let pem = |tag: &str, der: &[u8]| {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN {tag}-----\n{text}\n-----END {tag}-----\n")
    };
    let key = pem("PRIVATE KEY", impostor.key.secret_der());
    std::fs::write(&stranger, key + pem("CERTIFICATE", &impostor.chain[0]).as_str()).unwrap();
    let config = tls::config(&authority(&the_box), Some(&stranger));
    let mut stream = tls::connect(the_box.tls_port, config);
    let error = stream.read(&mut [0; 64]).expect_err("let in");
    assert!(error.to_string().contains("UnknownCA"), "{error}");
    wait_for("it is counted", || (turned_away(&the_box, "handshake") == 2).then_some(()));
}

#[test]
fn slow_handshakes_wait_behind_others() {
    let the_box = Daemon::start_new(site());
    let config = tls::config(&authority(&the_box), None);
    let mut slow = tls::connect(the_box.tls_port, config);
    let mut quick = over_tls(&the_box, None);
    let mut plain = Client::tcp(the_box.port);
    let mut greeting = [0; 10];
    slow.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hushbox 1 ");
    quick.ok("ping");
    plain.ok("ping");
    slow.write_all(b"ping\n").unwrap();
    slow.read_exact(&mut greeting).unwrap();
}

#[test]
fn h4_session_limit_is_reported() {
    let site = site();
    let more = format!("{}[limits]\nsessions = 4\n", site.more);
    let the_box = Daemon::start_new(Site { more, ..site });
    let config = tls::config(&authority(&the_box), None);
    let mut inside: Vec<Client> = (0..2).map(|_| over_tls(&the_box, None)).collect();
    inside.extend((0..2).map(|_| Client::tcp(the_box.port)));
    let mut refused = tls::connect(the_box.tls_port, config);
    let mut text = String::new();
    refused.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("err too-many "), "{text}");
    let mut refused = TcpStream::connect(("127.0.0.1", the_box.port)).unwrap();
    text.clear();
    refused.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("err too-many "), "{text}");
    drop(inside.pop());
    wait_for("a place is free", || {
        let mut client = TcpStream::connect(("127.0.0.1", the_box.port)).unwrap();
        let mut first = [0; 7];
        client.read_exact(&mut first).unwrap();
        (first == *b"hushbox").then_some(())
    });
}

#[test]
fn unfinished_handshake_times_out() {
    let the_box = Daemon::start_new(site());
    let mut slow = TcpStream::connect(("127.0.0.1", the_box.tls_port)).unwrap();
    slow.write_all(&[22, 3, 1, 2, 0]).unwrap();
    let mut heard = Vec::new();
    drop(slow.read_to_end(&mut heard));
    assert_eq!(turned_away(&the_box, "unfinished"), 1);
}

/// Gives the box a certificate that is due in so many seconds.
fn replace_certificate(the_box: &Daemon, due_s: i64) -> CertificateDer<'static> {
    let data = the_box.data().join("tls");
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), key).unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    // The last third of its life is the time to renew.
    let (short, key) = leaf(&issuer, Some((now - 60, now + due_s + 30 + due_s / 2)));
    let text = data_encoding::BASE64.encode(&short);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    std::fs::write(data.join("server.crt"), pem).unwrap();
    std::fs::write(data.join("server.key"), key.serialize_pem()).unwrap();
    short
}

#[test]
fn server_certificate_is_renewed_at_run_time() {
    let mut the_box = Daemon::start_new(site());
    let identity = enrolled(&the_box, "desk", "WS-042");
    let config = tls::config(&authority(&the_box), Some(&identity));
    let shown = |the_box: &Daemon| {
        let mut stream = tls::connect(the_box.tls_port, config.clone());
        stream.read_exact(&mut [0; 7]).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    // If the start takes so long that the certificate is due by then, a longer life is tried.
    let short = [3, 20].into_iter().find_map(|due_s| {
        the_box.stop();
        let short = replace_certificate(&the_box, due_s);
        the_box.start();
        (shown(&the_box) == short).then_some(short)
    });
    let short = short.expect("the box shows what it has");
    let mut open = over_tls(&the_box, Some(&identity));
    open.ok("hello agent user=a1");
    let new =
        wait_for("another certificate", || Some(shown(&the_box)).filter(|shown| *shown != short));
    let stored = std::fs::read(the_box.data().join("tls/server.crt")).unwrap();
    let stored = tls::certificates(&stored);
    assert_eq!(stored, [new], "it outlives a restart");
    open.ok("ping");
}

/// Runs the tool as another user; `None` where only root could.
fn as_user(the_box: &Daemon, (uid, gid): (u32, u32), words: &[&str]) -> Option<ProgramOutput> {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tried: only root can be another user");
        return None;
    }
    let to = format!("unix:{}", the_box.path("box.sock").display());
    let mut command = std::process::Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["send", "--to", &to]).args(words).uid(uid).gid(gid).current_dir("/");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(ProgramOutput {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    })
}

#[test]
fn local_clients_are_known_by_user_and_group() {
    let mut the_box = Daemon::new(site());
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(the_box.folder.path(), open).unwrap();
    let text = std::fs::read_to_string(the_box.config()).unwrap();
    let local = "[local]\nportal_user = \"nobody\"\ncti_user = \"daemon\"\n\
                 technician_group = \"bin\"\n";
    let text = text.replace("[local]\n", local).replace("data/hushbox.sock", "box.sock");
    std::fs::write(the_box.config(), text).unwrap();
    the_box.start();
    let id = |name: &str| {
        let user = nix::unistd::User::from_name(name).unwrap().expect("a system user");
        (user.uid.as_raw(), user.gid.as_raw())
    };
    let (portal, feed, technician, stranger) = (id("nobody"), id("daemon"), id("bin"), id("sys"));
    let agent = ["--user", "a1", "--via", "portal", "status"];
    let pin = ["--kind", "technician", "--user", "field", "--pin", "2468", "clients"];
    let cases: [(_, &[&str], i32); 7] = [
        (portal, &agent, 0),
        (portal, &["--kind", "cti", "calls"], 1),
        (feed, &["--kind", "cti", "calls"], 0),
        (feed, &agent, 1),
        (technician, &pin, 0),
        (stranger, &pin, 1),
        (stranger, &["--kind", "monitor", "status"], 1),
    ];
    for (user, words, code) in cases {
        if let Some(said) = as_user(&the_box, user, words) {
            assert_eq!(said.code, Some(code), "{user:?} {words:?}: {said:?}");
            assert!(code == 0 || said.out.starts_with("err denied "), "{said:?}");
        }
    }
    the_box.stop();
}
