//! Sessions of the real `hushboxd`: the cost of TLS, and a thousand reconnects after a restart.
//! Also commands per second compared with redis-server's PING, and durable updates per second
//! while 64 channels are recorded.
//!
//! One driver, which counts lines, asks both servers in one run on one machine. A busy machine
//! affects the results; there are no pass or fail limits. Without redis-server its rows are
//! omitted.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, tls};

const SESSIONS: usize = 1000;
const THREADS: usize = 8;
/// Duration of each rate measurement.
const MEASURE: Duration = Duration::from_secs(2);
/// Commands sent ahead, as many as the protocol allows.
const AHEAD: usize = 64;
const CHANNELS: usize = 64;

fn main() {
    many_descriptors();
    idle_sessions();
    for rate in [200, 10_000] {
        reconnects(rate);
    }
    commands();
    updates();
}

fn many_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn started(handshakes_per_s: u32) -> (Daemon, PathBuf) {
    let more = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n[limits]\nsessions = 4000\n\
         handshakes_per_s = {handshakes_per_s}\n\
         [[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
         BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n"
    );
    let the_box = Daemon::start_new(Site { more, ..Site::sim(&[1]) });
    let mut technician = the_box.client_over_unix("hello technician user=field pin=2468");
    let code = technician.ok("enrol WS-042 kinds=agent,monitor").get("code").to_owned();
    let address = format!("tls:127.0.0.1:{}", the_box.tls_port).parse().unwrap();
    let enrolled = client::enrol(&address, &code, Duration::from_secs(10)).unwrap();
    let identity = the_box.path("identity.pem");
    std::fs::write(&identity, enrolled.pem).unwrap();
    (the_box, identity)
}

fn config(the_box: &Daemon, identity: &Path) -> Arc<rustls::ClientConfig> {
    tls::config(&the_box.data().join("tls/ca.crt"), Some(identity))
}

/// Opens sessions from several threads at once, up to hello.
fn come_in(port: u16, config: &Arc<rustls::ClientConfig>) -> Vec<Client> {
    let thread = |_| {
        let config = config.clone();
        std::thread::spawn(move || {
            let one = |_| {
                let mut client = Client::tls(port, config.clone());
                client.ok("hello monitor");
                client
            };
            (0..SESSIONS / THREADS).map(one).collect::<Vec<Client>>()
        })
    };
    let threads: Vec<_> = (0..THREADS).map(thread).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

fn idle_sessions() {
    let (the_box, identity) = started(10_000);
    let config = config(&the_box, &identity);
    let before = the_box.memory_mb("VmRSS") * 1024.0;
    let clients = come_in(the_box.tls_port, &config);
    let each = (the_box.memory_mb("VmRSS") * 1024.0 - before) / clients.len() as f64;
    println!("{} idle TLS sessions: {each:.1} kB each", clients.len());
}

fn reconnects(rate: u32) {
    let (mut the_box, identity) = started(rate);
    drop(come_in(the_box.tls_port, &config(&the_box, &identity)));
    the_box.kill();
    the_box.start();
    let config = config(&the_box, &identity);
    let began = Instant::now();
    let count = come_in(the_box.tls_port, &config).len();
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} sessions are back after a restart in {seconds:.2} s ({rate} handshakes/s)");
}

struct Wire {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Wire {
    fn plain(port: u16, request: &[u8]) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream: Box::new(stream), request: request.to_vec() }
    }

    /// Sends `count` requests and reads as many lines; returns the duration.
    fn ask(&mut self, count: usize) -> Duration {
        let bytes = self.request.repeat(count);
        let began = Instant::now();
        self.exchange(&bytes, count);
        began.elapsed()
    }

    fn exchange(&mut self, bytes: &[u8], answers: usize) {
        self.stream.write_all(bytes).unwrap();
        let (mut lines, mut piece) = (0, [0; 16384]);
        while lines < answers {
            let got = self.stream.read(&mut piece).unwrap();
            assert!(got > 0, "it closed the connection");
            lines += piece[..got].iter().filter(|byte| **byte == b'\n').count();
        }
    }

    /// Sends a hello and reads the greeting and the reply.
    fn greeted(mut self, hello: &str) -> Wire {
        self.exchange(format!("{hello}\n").as_bytes(), 2);
        self
    }
}

/// Returns replies per second and microseconds per round for these connections and requests
/// ahead.
fn rate(mut wires: Vec<Wire>, ahead: usize) -> (f64, [f64; 2]) {
    let threads: Vec<_> = wires
        .drain(..)
        .map(|mut wire| {
            std::thread::spawn(move || {
                let (mut rounds, end) = (Vec::new(), Instant::now() + MEASURE);
                while Instant::now() < end {
                    rounds.push(wire.ask(ahead).as_secs_f64() * 1e6);
                }
                rounds
            })
        })
        .collect();
    let mut all: Vec<f64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    all.sort_by(f64::total_cmp);
    let at = |part: usize| all[(all.len() - 1) * part / 100];
    ((all.len() * ahead) as f64 / MEASURE.as_secs_f64(), [at(50), at(99)])
}

/// A redis-server without persistence; `None` if it is not installed.
struct Redis(Child, u16);

impl Redis {
    fn start() -> Option<Redis> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
        let mut command = Command::new("redis-server");
        command.args(words).arg(port.to_string()).stdout(Stdio::null());
        let redis = Redis(command.spawn().ok()?, port);
        testkit::daemon::wait_for("redis listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn commands() {
    let (the_box, identity) = started(10_000);
    let config = config(&the_box, &identity);
    let plain = || Wire::plain(the_box.port, b"ping\n").greeted("hello monitor");
    let sealed = || {
        let stream = Box::new(tls::connect(the_box.tls_port, config.clone()));
        Wire { stream, request: b"ping\n".to_vec() }.greeted("hello monitor")
    };
    let redis = Redis::start();
    println!("\nping, answers a second (round: p50, p99 µs)");
    for clients in [1, 16] {
        for ahead in [1, AHEAD] {
            println!("{clients} clients, {ahead} ahead");
            let many = |make: &dyn Fn() -> Wire| (0..clients).map(|_| make()).collect();
            let theirs = redis.as_ref().map(|redis| {
                let one = || Wire::plain(redis.1, b"PING\r\n");
                let (rate, round) = rate(many(&one), ahead);
                println!("  redis         {rate:>9.0}  {:>7.0} {:>7.0}", round[0], round[1]);
                rate
            });
            for (name, make) in
                [("hushbox", &plain as &dyn Fn() -> Wire), ("hushbox, TLS", &sealed)]
            {
                let (rate, round) = rate(many(make), ahead);
                let ratio = theirs
                    .map_or(String::new(), |theirs| format!("  {:.2} of redis", rate / theirs));
                println!("  {name:<13} {rate:>9.0}  {:>7.0} {:>7.0}{ratio}", round[0], round[1]);
            }
        }
    }
}

/// Measures `update`s answered after their sync, while 64 channels are recorded.
fn updates() {
    let the_box = Daemon::start_new(Site::sim(&[1; CHANNELS]));
    let mut feed = the_box.client("hello cti");
    let mut agents = Vec::with_capacity(CHANNELS);
    for channel in 1..=CHANNELS {
        feed.ok(&format!("call start device={} call=c{channel}", 1000 + channel));
        let mut agent = the_box.client(&format!("hello agent user=a{channel}"));
        agent.ok("record start");
        agents.push(agent);
    }
    println!("\nupdates on the disk a second, {CHANNELS} channels recorded (round: p50, p99 ms)");
    for clients in [1, 16, CHANNELS] {
        let rest = agents.split_off(clients);
        let asking = agents.drain(..).map(|mut agent| {
            std::thread::spawn(move || {
                let (mut rounds, end) = (Vec::new(), Instant::now() + MEASURE);
                while Instant::now() < end {
                    let began = Instant::now();
                    agent.ok("update 1 \"Jane Roe\"");
                    agent.news.clear();
                    rounds.push(began.elapsed().as_secs_f64() * 1e3);
                }
                (agent, rounds)
            })
        });
        let asking: Vec<_> = asking.collect();
        let mut all = Vec::new();
        for (agent, rounds) in asking.into_iter().map(|thread| thread.join().unwrap()) {
            agents.push(agent);
            all.extend(rounds);
        }
        agents.extend(rest);
        all.sort_by(f64::total_cmp);
        let at = |part: usize| all[(all.len() - 1) * part / 100];
        let rate = all.len() as f64 / MEASURE.as_secs_f64();
        println!("  {clients:>2} clients {rate:>9.0}  {:>7.2} {:>7.2}", at(50), at(99));
    }
    let rows = the_box.client("hello monitor").ask("channels").rows;
    let lost: u64 = rows.iter().map(|row| row.number("lost")).sum();
    println!("  samples lost meanwhile: {lost}");
}
