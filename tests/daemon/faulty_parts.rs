//! An address, a board or a file that cannot be had is an alarm. The rest of the box works, the
//! faulty part is retried, and signals without a meaning change nothing.

use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, is_there, wait_for};

const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,\
    p=1$BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
const HELLO: &str = "hello technician user=field pin=2468";

/// The text with which an alarm was raised.
fn alarm_text(watcher: &mut Client, number: &str) -> String {
    let raised = |line: &Line| line.is("what", "alarm") && line.is("alarm", number);
    watcher.await_news("the alarm", raised).get("text").to_owned()
}

fn await_over(watcher: &mut Client, number: &str) -> Line {
    watcher.await_news("the alarm's end", |line| {
        line.is("what", "alarm-over") && line.is("alarm", number)
    })
}

fn watch(story: &Daemon) -> Client {
    let mut watcher = story.client_over_unix("hello monitor");
    watcher.ok("watch from=1");
    watcher
}

/// Records a call on channel 1.
fn record_a_call(story: &Daemon, watcher: &mut Client) {
    let mut feed = story.client_over_unix("hello cti");
    feed.ok("call start device=1001 call=c1");
    let mut agent = story.client_over_unix("hello agent user=a1 machine=WS-1");
    let recording = agent.ok("record start").get("recording").to_owned();
    feed.ok("call stop device=1001 call=c1");
    await_ended(watcher, &[&recording]);
}

#[test]
fn h4_address_in_use_is_an_alarm_and_opens_later() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let mut story = Daemon::new(Site { address: address.to_string(), ..Site::sim(&[1]) });
    story.start_unready();
    let mut watcher = watch(&story);
    let text = alarm_text(&mut watcher, "508");
    for word in [&address.to_string(), "taken by another program", "another port"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    record_a_call(&story, &mut watcher);
    drop(other);
    await_over(&mut watcher, "508");
    Client::tcp(address.port()).ok("hello monitor");
    let status = watcher.ask("status").rows;
    let listen = status[0].get("listen");
    assert!(listen.starts_with(&format!("{address},")), "{status:?}");
    story.signal(Signal::SIGTERM);
    let ready = story.stdout_line().unwrap();
    assert!(ready.ends_with("hushbox.sock") && !ready.contains("127.0.0.1"), "{ready}");
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
}

#[test]
fn h4_socket_in_the_way_is_left_alone_and_replaced_when_stale() {
    let mut story = Daemon::new(Site::sim(&[1]));
    std::fs::create_dir(story.data()).unwrap();
    let other = UnixListener::bind(story.socket()).unwrap();
    story.start();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch from=1");
    let text = alarm_text(&mut watcher, "508");
    assert!(text.contains("hushbox.sock: another program listens"), "{text}");
    assert!(is_there(&story.socket()));
    // The other one died: its socket is stale and is replaced.
    drop(other);
    await_over(&mut watcher, "508");
    story.client_over_unix("hello monitor").ok("ping");
    story.stop();
    std::fs::write(story.socket(), "precious").unwrap();
    story.start();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch from=1");
    let text = alarm_text(&mut watcher, "508");
    assert!(text.contains("not a socket; move it"), "{text}");
    story.stop();
    assert_eq!(std::fs::read(story.socket()).unwrap(), b"precious");
}

#[test]
fn h4_damaged_tls_keys_close_only_the_tls_listener() {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n".to_owned();
    let mut story = Daemon::start_new(Site { more, ..Site::sim(&[1]) });
    story.stop();
    let key = story.data().join("tls/ca.key");
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, "no key").unwrap();
    story.start();
    let mut watcher = watch(&story);
    let text = alarm_text(&mut watcher, "508");
    assert!(text.contains("with TLS") && text.contains("restore data/tls"), "{text}");
    record_a_call(&story, &mut watcher);
    std::fs::write(&key, good).unwrap();
    await_over(&mut watcher, "508");
    story.stop();
}

#[test]
fn h4_board_that_cannot_be_polled_is_its_own_alarm() {
    let null = "[[board]]\nname = \"null\"\nkind = \"alsa\"\npcm = \"null\"\nrate = 8000\n\
                channels = [{ id = 9, device = \"1009\", slots = [0] }]\n";
    let mut story = Daemon::new(Site { more: null.to_owned(), ..Site::sim(&[1]) });
    story.start_unready();
    let mut watcher = watch(&story);
    let text = alarm_text(&mut watcher, "101");
    assert!(text.contains("cannot be waited for"), "{text}");
    assert_eq!(text.matches("board").count(), 1, "named once: {text}");
    record_a_call(&story, &mut watcher);
    story.signal(Signal::SIGTERM);
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
}

#[test]
fn h4_box_without_any_board_starts_and_waits_for_one() {
    let mut story = Daemon::new(Site { more: TECHNICIAN.to_owned(), ..Site::sim(&[1]) });
    let wav = story.path("1.wav");
    let good = std::fs::read(&wav).unwrap();
    std::fs::remove_file(&wav).unwrap();
    story.start_unready();
    let mut watcher = watch(&story);
    let text = alarm_text(&mut watcher, "101");
    assert!(text.contains("1.wav") && text.contains("No such file"), "{text}");
    std::fs::write(&wav, "RIFF, they said").unwrap();
    let mut technician = story.client_over_unix(HELLO);
    wait_for("the new reason", || {
        let alarms = technician.ask("alarms").rows;
        alarms.iter().any(|row| row.get("text").contains("sox")).then_some(())
    });
    std::fs::write(&wav, good).unwrap();
    await_over(&mut watcher, "101");
    assert!(story.stdout_line().unwrap().starts_with("ready "));
    record_a_call(&story, &mut watcher);
    story.stop();
}

#[test]
fn h4_unusable_config_falls_back_to_the_last_good_one() {
    let mut story = Daemon::start_new(Site { more: TECHNICIAN.to_owned(), ..Site::sim(&[1]) });
    story.stop();
    let good = std::fs::read_to_string(story.config()).unwrap();
    for bad in [Some("[box\ndata = \"data\"\n".to_owned()), Some(good.replace("pcm", "mp3")), None]
    {
        match &bad {
            Some(text) => std::fs::write(story.config(), text).unwrap(),
            None => std::fs::remove_file(story.config()).unwrap(),
        }
        story.start();
        let mut watcher = watch(&story);
        let text = alarm_text(&mut watcher, "509");
        assert!(text.contains("config.toml cannot be used"), "{text}");
        record_a_call(&story, &mut watcher);
        let mut technician = story.client_over_unix(HELLO);
        assert!(technician.ok("config restore").is("restart", "no"));
        await_over(&mut watcher, "509");
        technician.err("config restore", "config");
        assert_eq!(std::fs::read_to_string(story.config()).unwrap(), good);
        let kept = std::fs::read_to_string(story.path("config.toml.broken")).ok();
        assert_eq!(kept, bad, "the broken file is kept");
        drop(std::fs::remove_file(story.path("config.toml.broken")));
        story.stop();
    }
}

#[test]
fn h4_reloaded_config_becomes_the_last_good_one() {
    let mut story = Daemon::start_new(Site { more: TECHNICIAN.to_owned(), ..Site::sim(&[1]) });
    let mut technician = story.client_over_unix(HELLO);
    let good = std::fs::read_to_string(story.config()).unwrap();
    let newer = good.replace("Caller name", "Name of the caller");
    std::fs::write(story.config(), &newer).unwrap();
    technician.ok("config check");
    let copy = || std::fs::read_to_string(story.data().join("config.last-good.toml")).unwrap();
    assert_eq!(copy(), good, "a check takes nothing over");
    technician.ok("config reload");
    assert_eq!(copy(), newer);
    std::fs::write(story.config(), "nonsense").unwrap();
    technician.err("config reload", "config");
    assert_eq!(copy(), newer);
    story.stop();
}

#[test]
fn h4_signals_without_a_meaning_are_logged_and_ignored() {
    let mut story = Daemon::start_new(Site::sim(&[1]));
    let mut watcher = watch(&story);
    let names = [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "TSTP", "TTIN", "TTOU", "XFSZ",
        "XCPU", "WINCH", "STKFLT",
    ];
    for name in names {
        story.signal(format!("SIG{name}").parse::<Signal>().unwrap());
    }
    story.signal(Signal::SIGPIPE);
    let real_time = format!("kill -40 {}", story.pid());
    assert!(Command::new("sh").args(["-c", &real_time]).status().unwrap().success());
    let told = |name: &str| story.log().contains(&format!("{name} has no meaning here"));
    for name in names {
        wait_for("the log line", || told(&format!("SIG{name}")).then_some(()));
    }
    wait_for("the log line", || told("signal 40").then_some(()));
    record_a_call(&story, &mut watcher);
    assert!(story.is_alive());
    story.signal(Signal::SIGQUIT);
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
}
