//! What strangers, insiders and a hostile network cannot make the portal hold, do or forget.

use super::http::{HttpClient, read_response, send_raw};
use super::stack::{PASSWORD, Stack, StackOptions, wait_for};
use nix::unistd::{Gid, Uid, chown, geteuid};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Peak memory of the portal that no number of logins exceeds, in KiB: two hashes of 19 MiB each,
/// and the rest. It was over a gigabyte.
const PEAK_KIB_MAX: u64 = 128 << 10;

fn proxied_stack() -> Stack {
    Stack::new(&StackOptions { is_behind_proxy: true, ..StackOptions::default() })
}

/// Peak resident memory of a process, in KiB.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A login form, ready to be sent from this address.
fn login_request(proxy: &HttpClient, address: &str, name: &str, password: &str) -> String {
    let mut client = proxy.with_address(address);
    let csrf = client.get("/login").csrf_token();
    let fields = [("csrf", &*csrf), ("username", name), ("password", password)];
    client.form_request("/login", &fields)
}

#[test]
fn h4_600_wrong_logins_from_many_addresses_do_not_make_the_portal_grow() {
    let stack = proxied_stack();
    let (proxy, port) = (HttpClient::new(&stack), stack.port);
    std::thread::scope(|scope| {
        for client in 0..12 {
            let proxy = &proxy;
            scope.spawn(move || {
                for n in 0..50 {
                    let address = format!("10.{client}.{n}.7");
                    let name = format!("stranger{client}-{n}");
                    let request = login_request(proxy, &address, &name, "a wrong password");
                    let status = send_raw(port, request.as_bytes()).status;
                    assert!([401, 503].contains(&status), "{status}");
                }
            });
        }
    });
    let peak = peak_memory_kib(stack.portal_pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(proxy.with_address("10.0.0.1").log_in("boss", PASSWORD).status, 303);
}

/// What the portal noted about log-ins of this user, oldest first.
fn audited_log_ins(stack: &Stack, user: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(stack.path("portal/portal.sqlite")).unwrap();
    let sql = "select what from events where user = ?1 order by number";
    let mut all = db.prepare(sql).unwrap();
    let rows = all.query_map([user], |row| row.get(0)).unwrap();
    let rows: Vec<String> = rows.map(Result::unwrap).collect();
    rows.into_iter().filter(|what| what.contains("wrong") || what == "logged in").collect()
}

/// Sends these passwords from an address each, and completes them all before any answer is read.
fn guess_at_once(stack: &Stack, proxy: &HttpClient, passwords: &[&str]) -> Vec<u16> {
    let hold = |(n, password): (usize, &&str)| {
        let request = login_request(proxy, &format!("10.0.{n}.1"), "jdoe", password);
        let mut stream = TcpStream::connect(("127.0.0.1", stack.port)).unwrap();
        let (most, last) = request.split_at(request.len() - 1);
        stream.write_all(most.as_bytes()).unwrap();
        (stream, last.as_bytes().to_vec())
    };
    let mut held: Vec<_> = passwords.iter().enumerate().map(hold).collect();
    for (stream, last) in &mut held {
        stream.write_all(last).unwrap();
    }
    held.into_iter().map(|(stream, _)| read_response(stream).status).collect()
}

#[test]
fn c5_right_one_of_many_guesses_in_flight_does_not_pass_the_lock() {
    const WRONG: &str = "a wrong password";
    let stack = proxied_stack();
    let proxy = HttpClient::new(&stack);
    let try_once = |password| guess_at_once(&stack, &proxy, &[password])[0];
    let mut passwords = vec![WRONG; 29];
    passwords.push(PASSWORD);
    let statuses = guess_at_once(&stack, &proxy, &passwords);
    assert!(statuses[..29].iter().all(|status| *status == 401), "{statuses:?}");
    // The portal may count the right one among the first five, in any order. Then it forgives the
    // wrong ones, at most four before it and five after it.
    let has_passed = statuses[29] == 303;
    let audited = audited_log_ins(&stack, "jdoe");
    let wrong = audited.iter().filter(|what| *what != "logged in").count();
    assert_eq!(audited.len() - wrong, usize::from(has_passed), "{audited:?}");
    match has_passed {
        true => assert!(wrong <= 9, "{audited:?}"),
        false => assert_eq!(wrong, 5, "{audited:?}"),
    }
    // Five more at the most lock the account.
    let wrong_after = |count: usize| {
        guess_at_once(&stack, &proxy, &vec![WRONG; count]);
        audited_log_ins(&stack, "jdoe").iter().filter(|what| *what != "logged in").count()
    };
    let wrong_until_lock = wrong_after(5);
    assert!(wrong_until_lock <= wrong + 5);
    // Of guesses that come after the lock none is checked, not even the right one.
    let statuses = guess_at_once(&stack, &proxy, &passwords);
    assert_eq!(statuses, [401; 30], "locked");
    assert_eq!(wrong_after(5), wrong_until_lock, "a locked account checks no password");
    assert_eq!(try_once(PASSWORD), 401, "locked");
    stack.run_user_command(&["passwd", "jdoe"], PASSWORD);
    assert_eq!(try_once(PASSWORD), 303, "until a new password is set");
}

#[test]
fn c4_link_used_twice_at_the_same_time_sets_one_password() {
    let stack = Stack::new(&StackOptions { has_mail: true, ..StackOptions::default() });
    let mut client = HttpClient::new(&stack);
    let csrf = client.get("/forgot").csrf_token();
    client.post("/forgot", &[("csrf", &csrf), ("username", "jdoe")]);
    let text = stack.next_mail().1;
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let csrf = client.get(&format!("/reset?token={token}")).csrf_token();
    let uses: Vec<(String, TcpStream)> = (0..6)
        .map(|n| {
            let wanted = format!("another good password {n}");
            let fields =
                [("csrf", &*csrf), ("token", token), ("password", &wanted), ("again", &wanted)];
            let mut stream = TcpStream::connect(("127.0.0.1", stack.port)).unwrap();
            stream.write_all(client.form_request("/reset", &fields).as_bytes()).unwrap();
            (wanted, stream)
        })
        .collect();
    let set: Vec<String> = uses
        .into_iter()
        .filter_map(|(wanted, stream)| (read_response(stream).status == 303).then_some(wanted))
        .collect();
    assert_eq!(set.len(), 1, "{set:?}");
    assert_eq!(HttpClient::new(&stack).log_in("jdoe", &set[0]).status, 303);
}

/// Reads a stream of events until a line begins so.
fn read_until_line(stream: TcpStream, wanted: &str) -> BufReader<TcpStream> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with(wanted) {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "{wanted:?} was awaited");
    }
    reader
}

#[test]
fn h4_agent_with_many_tabs_is_limited_and_others_listen_and_export() {
    let stack = Stack::new(&StackOptions::default());
    let id = super::supervisor::record_call(&stack);
    let jane = HttpClient::logged_in(&stack, "jdoe");
    let streams = |path: &str, count: usize, wanted: &str| -> Vec<_> {
        let open = |_| read_until_line(jane.open_stream(path), wanted);
        (0..count).map(open).collect()
    };
    let mut open = streams("/agent/events", 10, "event: state");
    open.extend(streams("/session/events", 10, "event: session"));
    for path in ["/agent/events", "/session/events"] {
        drop(read_until_line(jane.open_stream(path), "data: tabs"));
    }
    // A thousand further tabs only hear that there are too many.
    for _ in 0..1000 {
        drop(read_until_line(jane.open_stream("/agent/events"), "event: gone"));
    }
    let mut boss = HttpClient::logged_in(&stack, "boss");
    assert!(boss.get(&format!("/records/{id}/sound")).body.starts_with(b"RIFF"));
    let csrf = boss.get(&format!("/records/{id}")).csrf_token();
    let fields = [("csrf", &*csrf), ("kind", "wav")];
    let exported = boss.post(&format!("/records/{id}/export"), &fields);
    assert!(exported.body.starts_with(b"RIFF"), "{}", exported.text());
    // A closed tab makes room; other sessions of the same agent have their own.
    drop(open.pop());
    wait_for("a free stream", || {
        let mut first = String::new();
        let mut reader = read_until_line(jane.open_stream("/session/events"), "event: ");
        reader.read_line(&mut first).unwrap();
        (!first.contains("tabs")).then_some(())
    });
    let other = HttpClient::logged_in(&stack, "jdoe");
    drop(read_until_line(other.open_stream("/agent/events"), "event: state"));
}

#[test]
fn h4_heads_and_bodies_that_never_end_are_cut_off() {
    let stack = Stack::new(&StackOptions::default());
    let mut guest = HttpClient::new(&stack);
    let csrf = guest.get("/login").csrf_token();
    let fields = [("csrf", &*csrf), ("username", "jdoe"), ("password", "x")];
    let form = guest.form_request("/login", &fields);
    let connect = || TcpStream::connect(("127.0.0.1", stack.port)).unwrap();
    // The body lacks its last byte.
    let mut body = connect();
    body.write_all(&form.as_bytes()[..form.len() - 1]).unwrap();
    // The first request is complete, the second one is not.
    let mut second = connect();
    let host = format!("Host: 127.0.0.1:{}\r\n", stack.port);
    let get = format!("GET /assets/x/icon.svg HTTP/1.1\r\n{host}\r\n");
    second.write_all(get.as_bytes()).unwrap();
    second.write_all(&get.as_bytes()[..get.len() - 2]).unwrap();
    // A head that is too large is refused although it has no end.
    let mut large = connect();
    drop(large.write_all(format!("GET / HTTP/1.1\r\n{host}X: {}", "x".repeat(90_000)).as_bytes()));
    assert_eq!(read_response(large).status, 431);
    let answer = read_response(body);
    assert!(answer.status == 408 && answer.text().contains("did not arrive in time"));
    let answer = read_response(second);
    assert!(answer.status == 200 && answer.text().contains("svg"), "then the portal closes");
    assert_eq!(guest.get("/login").status, 200);
}

#[test]
fn h4_monitors_are_read_by_address_and_not_through_the_name_of_another_site() {
    let stack = Stack::new(&StackOptions::default());
    let get = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        send_raw(stack.port, request.as_bytes()).status
    };
    for path in ["/healthz", "/metrics"] {
        for host in ["127.0.0.1", "localhost:8443", "[::1]:8443", &stack.url["http://".len()..]] {
            assert_eq!(get(path, host), 200, "{path} {host}");
        }
        // A page of another site whose name resolves to this machine.
        for host in ["evil.example", "evil.example:8443", "127.0.0.1.evil.example", ""] {
            assert_eq!(get(path, host), 421, "{path} {host:?}");
        }
    }
    assert_eq!(get("/login", "localhost"), 421, "pages have one name");
}

#[test]
fn h5_only_a_whole_identity_is_taken_for_one() {
    let mut stack = Stack::new(&StackOptions::default());
    let id = super::supervisor::record_call(&stack);
    stack.stop_portal();
    let toml = std::fs::read_to_string(stack.path("portal.toml")).unwrap();
    let without: Vec<&str> = toml.lines().filter(|line| !line.starts_with("identity")).collect();
    std::fs::write(stack.path("portal.toml"), without.join("\n")).unwrap();
    stack.start_portal();
    let identity = std::fs::read_to_string(stack.path("data/keys/identity.txt")).unwrap();
    let key = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let csrf = boss.get("/records").csrf_token();
    let mut hand_in = |text: &str| {
        let fields = [("csrf", &*csrf), ("identity", text), ("then", "read")];
        boss.post(&format!("/records/{id}/identity"), &fields)
    };
    let (cut, swapped) = (&key[..key.len() - 1], format!("{}QQ", &key[..key.len() - 2]));
    for bad in ["", "AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1QQQQ", cut, &swapped] {
        let answer = hand_in(bad);
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().contains("not a complete identity"), "{}", answer.text());
    }
    assert_eq!(hand_in(&identity).status, 303);
}

#[test]
fn c3_names_that_look_like_others_are_refused() {
    let stack = Stack::new(&StackOptions::default());
    for name in ["boss\u{200b}", "\u{202e}ssob", "bo\u{ad}ss", "bo\u{feff}ss", "bo\nss"] {
        let output = run_as(&stack, None, &["add", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("visible characters"), "{said}");
        let mut boss = HttpClient::logged_in(&stack, "boss");
        let csrf = boss.get("/admin").csrf_token();
        let fields = [("csrf", &*csrf), ("do", "add"), ("name", name), ("password", PASSWORD)];
        let answer = boss.post("/admin/account", &fields);
        assert_eq!(answer.header("location"), Some("/admin?said=name"), "{name:?}");
    }
}

/// Runs `hushbox-portal user …` with no input, as root or as another user.
fn run_as(stack: &Stack, user: Option<u32>, words: &[&str]) -> Output {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    command.arg("--config").arg(stack.path("portal.toml")).arg("user").args(words);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn h4_user_command_of_root_follows_no_link_of_the_portals_user() {
    let mut stack = Stack::new(&StackOptions::default());
    stack.stop_portal();
    let database = stack.path("portal/portal.sqlite");
    // A file of root that the portal's user may not touch.
    let victim = stack.path("victim");
    std::fs::write(&victim, "").unwrap();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set(&victim, 0o644);
    std::fs::rename(&database, stack.path("portal/kept.sqlite")).unwrap();
    symlink(&victim, &database).unwrap();
    let output = run_as(&stack, None, &["list"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("a file, not a link"), "{said}");
    assert_eq!((mode_of(&victim), victim.metadata().unwrap().len()), (0o644, 0));
    if !geteuid().is_root() {
        return;
    }
    // Root acts as the owner of the folder: not even a link of SQLite's own files leads further.
    const NOBODY: u32 = 65_534;
    set(stack.folder.path(), 0o755);
    std::fs::rename(stack.path("portal/kept.sqlite"), &database).unwrap();
    for file in std::fs::read_dir(stack.path("portal")).unwrap() {
        let path = file.unwrap().path();
        chown(&path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    }
    let folder = stack.path("portal");
    chown(&folder, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    for name in ["portal.sqlite-wal", "portal.sqlite-shm"] {
        drop(std::fs::remove_file(folder.join(name)));
        symlink(stack.path(&format!("made-{name}")), folder.join(name)).unwrap();
    }
    run_as(&stack, None, &["disable", "quiet"]);
    assert!(!stack.path("made-portal.sqlite-wal").exists(), "only root could make it here");
    for name in ["portal.sqlite-wal", "portal.sqlite-shm"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let output = run_as(&stack, None, &["disable", "quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run_as(&stack, Some(NOBODY), &["list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("quiet\tdisabled"), "{output:?}");
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().uid(), NOBODY, "{file:?}");
    }
}
