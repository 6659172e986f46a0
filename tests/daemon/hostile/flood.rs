//! 2,000 hostile connections at a time, while 64 channels are recorded.
//!
//! They send garbage, half handshakes and commands without end, or read no reply, and connect again
//! when they are closed. No sample is lost, and each blackout of the other agents is acknowledged and
//! exact. Response times are printed, not checked.

#![allow(clippy::disallowed_methods, reason = "what an honest agent waits is measured")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_position, position_of};

const CHANNELS: u16 = 64;
const CONNECTIONS: usize = 2000;
const AGENTS: u16 = 8;
/// Blackouts of each honest agent.
const BLACKOUTS: usize = 25;

/// What one hostile connection does.
#[derive(Clone, Copy)]
enum Manner {
    /// Bytes that are no TLS, to the TLS listener.
    Garbage,
    /// The beginning of a handshake, and no more.
    HalfHandshake,
    /// Commands as fast as they are taken; answers are read.
    SendsAhead,
    /// Commands whose answers are never read.
    SlowReader,
    /// Lines that are none.
    Noise,
}

const MANNERS: [Manner; 5] =
    [Manner::Garbage, Manner::HalfHandshake, Manner::SendsAhead, Manner::SlowReader, Manner::Noise];

/// One hostile connection.
struct Attacker {
    manner: Manner,
    socket: Option<TcpStream>,
}

impl Attacker {
    /// Comes again, if it was closed, and does once what it does. How many connections it opened.
    fn act(&mut self, (plain, tls): (u16, u16), spoken: &AtomicU64) -> u64 {
        let Some(socket) = &mut self.socket else {
            let port = match self.manner {
                Manner::Garbage | Manner::HalfHandshake => tls,
                Manner::SendsAhead | Manner::SlowReader | Manner::Noise => plain,
            };
            let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) else { return 0 };
            socket.set_nonblocking(true).unwrap();
            self.socket = Some(socket);
            return 1;
        };
        let words: &[u8] = match self.manner {
            Manner::Garbage => &[0x16; 700],
            Manner::HalfHandshake => &[22, 3, 1, 2, 0],
            Manner::SendsAhead => {
                b"hello monitor\nping\nping\nchannels\nstatus\nping\nhelp\nping\n"
            }
            Manner::SlowReader => b"hello monitor\nhelp\nstats\nhelp\nstats\nhelp\nstats\n",
            Manner::Noise => b"\xff\xfe\nxyzzy \"\nblackout start\n\0\n",
        };
        let silent = matches!(self.manner, Manner::HalfHandshake);
        let mut over = false;
        if !silent || socket.peek(&mut [0]).is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
            match socket.write(words) {
                Ok(count) => drop(spoken.fetch_add(count as u64, Ordering::Relaxed)),
                Err(error) => over = error.kind() != ErrorKind::WouldBlock,
            }
        }
        if !matches!(self.manner, Manner::SlowReader) {
            let mut heard = [0; 8192];
            match socket.read(&mut heard) {
                Ok(0) => over = true,
                Ok(_) => {}
                Err(error) => over |= error.kind() != ErrorKind::WouldBlock,
            }
        }
        if over {
            self.socket = None;
        }
        0
    }
}

/// All hostile connections, until they are stopped.
struct Attackers {
    over: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    spoken: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Attackers {
    fn start(ports: (u16, u16)) -> Attackers {
        let over = Arc::new(AtomicBool::new(false));
        let (opened, spoken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        // One manner a thread: where the kernel's queue is full, only those who knock there wait.
        let thread = |manner: &Manner| {
            let (over, opened, spoken) = (over.clone(), opened.clone(), spoken.clone());
            let manner = *manner;
            std::thread::spawn(move || {
                let one = |_| Attacker { manner, socket: None };
                let mut all: Vec<Attacker> = (0..CONNECTIONS / MANNERS.len()).map(one).collect();
                while !over.load(Ordering::Relaxed) {
                    for attacker in &mut all {
                        opened.fetch_add(attacker.act(ports, &spoken), Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = MANNERS.iter().map(thread).collect();
        Attackers { over, opened, spoken, threads }
    }

    fn stop(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.opened.load(Ordering::Relaxed), self.spoken.load(Ordering::Relaxed))
    }
}

/// What an honest agent saw, in microseconds: from the line read to the mask, and from the press to
/// the durable receipt.
struct Seen {
    masked_us: Vec<u64>,
    waited_us: Vec<u64>,
}

fn black_out(mut agent: Client, mut clock: Client, channel: u16) -> Seen {
    let mut seen = Seen { masked_us: Vec::new(), waited_us: Vec::new() };
    let now = position_of(&mut clock, channel);
    await_position(&mut clock, channel, now + 800);
    for _ in 0..BLACKOUTS {
        let pressed = Instant::now();
        let begun = agent.ok("blackout start lead_ms=100");
        let waited = pressed.elapsed();
        seen.waited_us.push(u64::try_from(waited.as_micros()).unwrap());
        seen.masked_us.push(begun.number("took_us"));
        // The mask reaches back as far as it should: the press was taken as it came.
        assert_eq!(begun.number("at") - begun.number("from"), 800, "{}", begun.text);
        await_position(&mut clock, channel, begun.number("at") + 400);
        let ended = agent.ok("blackout stop");
        assert_eq!(ended.number("from"), begun.number("from"), "{}", ended.text);
        let now = position_of(&mut clock, channel);
        await_position(&mut clock, channel, now + 800);
    }
    seen
}

fn figures(mut all: Vec<u64>) -> String {
    all.sort_unstable();
    let at = |part: usize| all[(all.len() - 1) * part / 100];
    format!("p50 {} p99 {} max {} µs", at(50), at(99), at(100))
}

fn site() -> Site {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
                [[schedule]]\nname = \"all\"\ntype = \"percentage\"\npercent = 100\n\
                priority = 1\nretention_days = 1\n";
    let sides = [1; CHANNELS as usize];
    Site { more: more.to_owned(), seconds: 5, codec: "ulaw", ..Site::sim(&sides) }
}

#[test]
fn g1_flood_costs_no_sample_and_delays_no_blackout() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut the_box = Daemon::start_new(site());
    let mut feed = the_box.client_over_unix("hello cti");
    let mut recordings = Vec::new();
    for id in 1..=CHANNELS {
        let said = feed.ok(&format!("call start device={} call=c{id}", 1000 + id));
        recordings.push(said.get("recording").to_owned());
    }
    let honest: Vec<(Client, Client, u16)> = (1..=AGENTS)
        .map(|id| {
            let agent = the_box.client_over_unix(&format!("hello agent user=a{id}"));
            (agent, the_box.client_over_unix("hello monitor"), id)
        })
        .collect();
    let began = Instant::now();
    let attackers = Attackers::start((the_box.port, the_box.tls_port));
    let threads: Vec<_> = honest
        .into_iter()
        .map(|(agent, clock, id)| std::thread::spawn(move || black_out(agent, clock, id)))
        .collect();
    let seen: Vec<Seen> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let lasted = began.elapsed();
    let mut boss = the_box.client_over_unix("hello monitor");
    let stats = boss.ask("stats").rows;
    let (opened, spoken) = attackers.stop();
    let seconds = lasted.as_secs_f64();
    println!(
        "{seconds:.1} s, {opened} connections came, {:.1} MB were sent by attackers",
        spoken as f64 / 1e6
    );
    let masked = seen.iter().flat_map(|seen| seen.masked_us.clone()).collect();
    let waited = seen.iter().flat_map(|seen| seen.waited_us.clone()).collect();
    println!("line read to mask:     {}", figures(masked));
    println!("press to durable receipt: {}", figures(waited));
    for row in &stats {
        let told = ["turned_away", "refused", "lines_total", "lost_frames", "sync_seconds"];
        if told.iter().any(|part| row.get("name").contains(part)) {
            println!("{} {}", row.get("name"), row.get("value"));
        }
    }
    for id in 1..=CHANNELS {
        feed.ok(&format!("call stop device={} call=c{id}", 1000 + id));
    }
    the_box.stop();
    the_box.assert_verified();
    for (id, recording) in (1..).zip(&recordings) {
        let record = the_box.show(recording);
        record.assert_ledger();
        assert_eq!(record.number("/ledger/lost"), 0, "channel {id}");
        let blackouts = if id <= AGENTS { BLACKOUTS } else { 0 };
        assert_eq!(record.blackouts().len(), blackouts, "channel {id}");
    }
}
