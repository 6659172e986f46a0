//! Hostile clients, and an agent whose recording must not notice them.
//!
//! The clients send garbage, lines without end, NUL bytes, half lines, half UTF-8 sequences, single
//! bytes and a hundred commands at once; some read nothing; some connect and leave by the hundred.
//! Each gets an `err` or a close. The agent's recording equals what was played, and no frame is lost.
//! Only when the whole process is stopped for longer than the sound card's buffer lasts are frames
//! lost; then the recorder reports how many, and where.

mod flood;
mod tls_stream;

use nix::sys::signal::Signal;
use std::time::Duration;
use testkit::daemon::audio::read_wav;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position, let_pass, position_of};
use testkit::rng::Rng;

const MONITOR: &str = "hello monitor";

/// An agent who records a call and wants nothing else.
struct GoodAgent {
    agent: Client,
    watcher: Client,
    recording: String,
}

impl GoodAgent {
    fn start(story: &Daemon) -> GoodAgent {
        story.client("hello cti").ok("call start device=1001 call=c1");
        let mut agent = story.client("hello agent user=a1");
        let recording = agent.ok("record start").get("recording").to_owned();
        let mut watcher = story.client(MONITOR);
        watcher.ok("watch");
        GoodAgent { agent, watcher, recording }
    }

    /// The agent still commands and is answered; nothing else was ever told.
    fn assert_well(&mut self) {
        assert_eq!(self.agent.ok("status").verb(), "ok");
        self.agent.ok("update 1 \"all is well\"");
    }

    /// Everything is there, bit for bit.
    fn assert_unharmed(mut self, mut story: Daemon) {
        self.assert_well();
        let end = position_of(&mut self.watcher, 1) + RATE / 2;
        await_position(&mut self.watcher, 1, end);
        self.agent.ok("record stop");
        await_ended(&mut self.watcher, &[&self.recording]);
        let mut states = self.agent.news.iter().filter(|line| line.verb() == "state");
        assert!(states.all(|state| state.get("call") == "c1"), "{:?}", self.agent.news);
        assert!(story.is_alive());
        story.stop();
        let record = story.show(&self.recording);
        record.assert_ledger();
        assert_eq!(record.number("/ledger/stored"), record.to() - record.from(), "{record:?}");
        let (sound, _, _) = read_wav(&story.export(&self.recording, "wav").0);
        let [from, to] = [record.from(), record.to()].map(|at| usize::try_from(at).unwrap());
        assert!(sound == story.sounds[&1][from..to], "not what was played");
        story.assert_verified();
    }
}

/// Bytes that are no line, and the code of the refusal before the close.
fn nonsense() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (b"\0\0\0\0\n".to_vec(), "bad-command"),
        (b"status\0\n".to_vec(), "bad-command"),
        (b"GET / HTTP/1.1\r\n".to_vec(), "bad-command"),
        (b"\x16\x03\x01\x02\x00\x01\n".to_vec(), "bad-command"),
        (b"\xff\xfe\xfd\n".to_vec(), "not-utf8"),
        (b"status \xc3\n".to_vec(), "not-utf8"),
        (b"status\n".to_vec(), "hello-first"),
        (b"record start\n".to_vec(), "hello-first"),
        ([vec![b'x'; 1024], b"\n".to_vec()].concat(), "too-long"),
        ([vec![b'"'; 100_000], b"\n".to_vec()].concat(), "too-long"),
        (b"status \"never closed\n".to_vec(), "bad-command"),
    ]
}

#[test]
fn garbage_is_refused_without_effect_on_others() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let mut good = GoodAgent::start(&story);
    for (bytes, code) in nonsense() {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
        // Before hello: the refusal, then a close.
        let mut stranger = Client::tcp(story.port);
        stranger.send_raw(&bytes);
        let lines = stranger.until_closed();
        assert_eq!(lines.len(), 1, "{shown:?}: {lines:?}");
        let hello_first = ["hello-first", "bad-command"].contains(&lines[0].code());
        assert!(lines[0].code() == code || hello_first, "{shown:?}: {lines:?}");
        // After hello: the refusal, and the session goes on.
        let mut monitor = story.client(MONITOR);
        assert!(monitor.send_raw(&bytes));
        let end = monitor.reply().end;
        assert!(code == "hello-first" || end.code() == code, "{shown:?}: {end:?}");
        monitor.ok("ping");
    }
    pure_noise(&story);
    good.assert_well();
    good.assert_unharmed(story);
}

/// Random bytes, in pieces of random length; whatever comes back is a line of ours.
fn pure_noise(story: &Daemon) {
    let mut rng = Rng::new(5);
    for round in 0..40 {
        let mut stranger =
            if round % 2 == 0 { Client::tcp(story.port) } else { story.client_over_unix(MONITOR) };
        for _ in 0..rng.below(20) {
            let bytes = (0..rng.below(600)).map(|_| rng.byte());
            let bytes: Vec<u8> = bytes.collect();
            stranger.send_raw(&bytes);
        }
        stranger.send_raw(b"\nquit\n");
        stranger.end_sending();
        for line in stranger.until_closed() {
            assert!(["ok", "err", "event"].contains(&line.verb()), "{line:?}");
        }
    }
}

#[test]
fn slow_or_partial_lines_are_parsed_or_dropped() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let mut good = GoodAgent::start(&story);
    // One byte at a time, letters of several bytes and all, interleaved with another's.
    let mut slow = Client::tcp(story.port);
    let mut other = Client::unix(&story.socket());
    let line = "hello agent user=a1 machine=\"B\u{fc}ro \u{20ac} \u{1f512}\"\r\n";
    for byte in line.as_bytes() {
        assert!(slow.send_raw(&[*byte]) && other.send_raw(&[*byte]));
    }
    for client in [&mut slow, &mut other] {
        assert_eq!(client.reply().end.get("agent"), "Agent 1");
        client.ok("status");
    }
    // Half a line and then nothing: no answer, no harm; with its end it is whole.
    let mut half = story.client(MONITOR);
    half.send_raw(b"chan");
    good.assert_well();
    half.send_raw(b"nels\nca");
    assert_eq!(half.reply().rows.len(), 1);
    half.end_sending();
    assert_eq!(half.until_closed(), [], "half a line is none");
    // A line that never ends costs nothing but itself.
    let mut endless = story.client(MONITOR);
    for _ in 0..200 {
        assert!(endless.send_raw(&[b'a'; 5000]));
    }
    assert_eq!(endless.reply().end.code(), "too-long", "said before it ends");
    endless.send_raw(b"\nping\n");
    assert_eq!(endless.reply().end.verb(), "ok", "once, and then the next line");
    good.assert_unharmed(story);
}

#[test]
fn clients_that_never_read_cost_a_fixed_buffer() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let mut good = GoodAgent::start(&story);
    let mut eager = story.client(MONITOR);
    let mut all = String::new();
    for number in 0..500 {
        all.push_str(&format!("help {}\n", if number % 7 == 3 { "nonesuch" } else { "ping" }));
    }
    assert!(eager.send_raw(all.as_bytes()));
    for number in 0..500 {
        let verb = if number % 7 == 3 { "err" } else { "ok" };
        assert_eq!(eager.reply().end.verb(), verb, "answer {number}");
    }
    // These read nothing at all, and ask for a lot, until the box does not take any more.
    let mut deaf: Vec<Client> = (0..4).map(|_| story.client(MONITOR)).collect();
    for client in &mut deaf {
        client.ok("watch");
        assert!(fill(client), "the box still reads from one who takes nothing");
    }
    good.assert_well();
    let memory = resident_bytes(&story);
    assert!(memory < 200 << 20, "{memory} bytes");
    // They can still be served: everything that was taken is answered.
    for client in &mut deaf {
        assert!(client.reply().rows.len() > 3);
    }
    drop(deaf);
    good.assert_unharmed(story);
}

/// Sends `help` until the connection takes no more. False: it took 16 MB.
fn fill(client: &mut Client) -> bool {
    client.set_write_patience(Duration::from_millis(300));
    let many = "help\n".repeat(10_000);
    (0..320).any(|_| !client.send_raw(many.as_bytes()))
}

fn resident_bytes(story: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", story.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn connection_storms_cost_no_sample() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let mut good = GoodAgent::start(&story);
    let mut rng = Rng::new(7);
    for round in 0..300 {
        match rng.below(4) {
            0 => drop(std::net::TcpStream::connect(("127.0.0.1", story.port)).unwrap()),
            1 => drop(std::os::unix::net::UnixStream::connect(story.socket()).unwrap()),
            2 => drop(story.client(MONITOR)),
            _ => {
                let mut client = Client::tcp(story.port);
                client.send_raw(b"hello agent user=a1\nrecord start\nstat");
            }
        }
        if round % 100 == 99 {
            good.assert_well();
        }
    }
    // A crowd at the same time, all of them in.
    let mut crowd: Vec<Client> = (0..200).map(|_| story.client_over_unix(MONITOR)).collect();
    crowd.iter_mut().for_each(|client| drop(client.ok("ping")));
    drop(crowd);
    good.assert_unharmed(story);
}

#[test]
fn stopped_process_counts_the_overrun_exactly() {
    let mut story = Daemon::start_new(Site { buffer_ms: 400, ..Site::sim(&[1, 2]) });
    let mut good = GoodAgent::start(&story);
    let from = position_of(&mut good.watcher, 1);
    await_position(&mut good.watcher, 1, from + RATE / 2);
    story.signal(Signal::SIGSTOP);
    let_pass(Duration::from_millis(1200));
    story.signal(Signal::SIGCONT);
    let told = good.watcher.await_news("the loss", |line| line.is("what", "lost"));
    await_position(&mut good.watcher, 1, from + 3 * RATE);
    let rows = good.watcher.ask("channels").rows;
    let lost = rows[0].number("lost");
    assert_eq!(rows[1].number("lost"), lost, "both channels of the board");
    assert!(lost >= (1200 - 400 - 40) * RATE / 1000, "{lost} frames");
    good.agent.ok("record stop");
    await_ended(&mut good.watcher, &[&good.recording]);
    story.stop();

    let record = story.show(&good.recording);
    record.assert_ledger();
    assert_eq!(record.number("/ledger/lost"), lost);
    assert_eq!(record.number("/ledger/lost_by/overrun"), lost);
    // More than one on a machine that is very busy.
    let spans = record.spans("lost");
    assert_eq!(told.get("why"), "overrun");
    assert!(spans.iter().any(|span| span.1 - span.0 == told.number("frames")), "{record:?}");
    assert_eq!(record.number("/ledger/stored"), record.to() - record.from() - lost);
    // Positions went on: what was played after the gap lies where it was played.
    let (sound, _, _) = read_wav(&story.export(&good.recording, "wav").0);
    let index = |position: u64| usize::try_from(position).unwrap();
    let mut played = story.sounds[&1][index(record.from())..index(record.to())].to_vec();
    for (from, to) in spans {
        played[index(from - record.from())..index(to - record.from())].fill(0);
    }
    assert!(sound == played, "not what was played around the gap");
    story.assert_verified();
}
