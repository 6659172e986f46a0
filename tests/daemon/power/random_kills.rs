//! The daemon killed at random moments under load: nothing acknowledged is lost, nothing masked is
//! found on the disk.
//!
//! Four clients send commands as fast as they are answered. SIGKILL comes at a random moment, also
//! during the start; now and then the daemon is stopped in order instead. After each restart `verify`
//! is clean (with the checkpoints that a client kept), and each client finds what was acknowledged.
//! Each start plays other noise, stored unsealed as plain samples, so that masked audio can be
//! searched for.
//!
//! `CRASH_SEED=N` replays the commands of one seed (not the microsecond of the kill), `CRASH_KILLS=N`
//! runs for longer: `make crash`.

use client::{Connection, News};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use testkit::daemon::audio::seeded_noise;
use testkit::daemon::session::session;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, TIMEOUT};
use testkit::load_client::LoadClient;
use testkit::rng::Rng;

const DESKS: u8 = 4;
const KILLS: u64 = 25;
/// Longer than any start lives, also on a machine that is very busy: what is played again after it
/// would be found, although it was hidden the first time only.
const PLAYED_FRAMES: u64 = 60 * RATE;
/// The box lives at most so long.
const LIFE_MS: u64 = 1300;
/// Samples that are looked for, and every how many of them one such stretch begins.
const STRETCH: usize = 8;
const STEP: usize = 32;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Round, channel, position.
type Heard = (u64, u8, usize);

/// What may never be found on the disk, and what was played at all.
#[derive(Default)]
struct Noise {
    /// Stretches with where they were heard.
    hidden: HashMap<[u8; STRETCH * 2], Heard>,
    played: HashSet<[u8; STRETCH * 2]>,
    /// Files as they were searched last, by their lengths.
    searched: BTreeMap<PathBuf, u64>,
    found: u64,
}

fn stretches(samples: &[i16]) -> impl Iterator<Item = [u8; STRETCH * 2]> {
    samples.windows(STRETCH).step_by(STEP).map(|window| {
        let mut bytes = [0; STRETCH * 2];
        for (place, sample) in bytes.chunks_exact_mut(2).zip(window) {
            place.copy_from_slice(&sample.to_le_bytes());
        }
        bytes
    })
}

impl Noise {
    /// What a desk heard in the start that is over.
    fn heard(&mut self, (round, n): (u64, u8), samples: &[i16], hidden: &[(u64, u64)]) {
        self.played.extend(stretches(&samples[..4000]));
        for &(from, to) in hidden {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(samples.len());
            let from = place(from);
            let found = stretches(&samples[from..place(to).max(from)]);
            let placed = found.zip((from..).step_by(STEP));
            self.hidden.extend(placed.map(|(bytes, at)| (bytes, (round, n, at))));
        }
    }

    /// Searches every file that grew or shrank since the last time.
    fn search(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.search(&path);
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let length = u64::try_from(bytes.len()).unwrap();
            if self.searched.insert(path.clone(), length) == Some(length) {
                continue;
            }
            for (at, window) in bytes.windows(STRETCH * 2).enumerate() {
                let window: &[u8; STRETCH * 2] = window.try_into().unwrap();
                if let Some(heard) = self.hidden.get(window) {
                    panic!(
                        "{} at {at}: audio hidden in (round, channel, position) {heard:?}",
                        path.display()
                    );
                }
                self.found += u64::from(self.played.contains(window));
            }
        }
    }
}

/// Keeps what a client is told of checkpoints, until the box is gone.
fn keep_checkpoints(mut connection: Connection) -> String {
    let mut kept = String::new();
    while let Ok(Some(news)) = connection.next_event(TIMEOUT) {
        if let News::Event(pairs) = news {
            let words = pairs.0.iter().map(|(key, value)| format!(" {key}={value}"));
            kept += &format!("event{}\n", words.collect::<String>());
        }
    }
    kept
}

struct Story {
    live: Daemon,
    desks: Vec<LoadClient>,
    noise: Noise,
    rng: Rng,
    /// Nothing ever comes out of it: a wait that nothing can end early.
    never: Receiver<()>,
}

impl Story {
    fn wait_ms(&self, ms: u64) {
        let _ = self.never.recv_timeout(Duration::from_millis(ms));
    }

    /// What every channel plays in a start: no other start plays it.
    fn play(&mut self, round: u64) -> Vec<Vec<i16>> {
        let sound = |n| seeded_noise(round * 16 + u64::from(n), PLAYED_FRAMES);
        let sounds: Vec<Vec<i16>> = (1..=DESKS).map(sound).collect();
        (1..).zip(&sounds).for_each(|(n, sound)| self.live.play(n, sound.clone()));
        sounds
    }

    /// One start: load, and its end.
    fn live_and_die(&mut self, round: u64, in_order: bool) {
        let sounds = self.play(round);
        if self.rng.below(5) == 0 {
            let ms = self.rng.below(40);
            let never = &self.never;
            self.live.start_and_kill(|| {
                let _ = never.recv_timeout(Duration::from_millis(ms));
            });
        }
        self.live.start();
        let address = self.live.address();
        self.live.assert_verified_with(&self.witness());
        self.desks.iter_mut().for_each(|desk| desk.check(&address));
        let mut boss = session(&address, "hello supervisor user=boss");
        self.desks.iter().for_each(|desk| desk.check_fields(&mut boss));
        let mut desks = std::mem::take(&mut self.desks);
        let keeper = session(&address, "hello monitor");
        let keeper = std::thread::spawn(move || keep_checkpoints(keeper));
        let ms = 30 + self.rng.below(LIFE_MS);
        std::thread::scope(|scope| {
            for desk in &mut desks {
                let address = &address;
                scope.spawn(move || desk.work(address));
            }
            self.wait_ms(ms);
            if in_order {
                self.live.stop();
            } else {
                self.live.kill();
            }
        });
        self.keep(&keeper.join().unwrap());
        for (desk, samples) in desks.iter_mut().zip(&sounds) {
            desk.died();
            self.noise.heard((round, desk.n), samples, &desk.known.hidden);
        }
        self.desks = desks;
        self.noise.search(&self.live.data());
    }

    fn keep(&self, checkpoints: &str) {
        let path = self.live.path("witness.txt");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + checkpoints).unwrap();
    }

    /// Words for `verify`, once there is a witness.
    fn witness(&self) -> Vec<&'static str> {
        let path = self.live.path("witness.txt");
        let has = std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        if has { vec!["--witness", "witness.txt"] } else { vec![] }
    }

    /// Everything that was ever acknowledged is in the store, and the store is whole.
    fn close(&mut self, round: u64) {
        let _ = self.play(round);
        self.live.start();
        let mut boss = self.live.session("hello supervisor user=boss");
        self.desks.iter().for_each(|desk| desk.check_fields(&mut boss));
        let rows = boss.ask("records limit=100000").unwrap().rows;
        let listed: HashSet<&str> = rows.iter().filter_map(|row| row.get("recording")).collect();
        for id in self.desks.iter().flat_map(|desk| &desk.known.recordings) {
            assert!(listed.contains(id.as_str()), "{id} is not listed");
        }
        self.live.stop();
        self.live.assert_verified_with(&self.witness());
        self.noise.search(&self.live.data());
    }
}

#[test]
fn g1_g5_h3_acknowledged_commands_survive_random_kills() {
    let seed = from_env("CRASH_SEED").unwrap_or(1);
    let kills = from_env("CRASH_KILLS").unwrap_or(KILLS);
    println!("CRASH_SEED={seed} CRASH_KILLS={kills}");
    let live = Daemon::new(Site {
        channels: Site::sim(&[1; DESKS as usize]).channels,
        seal: false,
        ..Site::short()
    });
    let desks = (1..=DESKS).map(|n| LoadClient::new(n, seed)).collect();
    let (_sender, never) = channel();
    let noise = Noise::default();
    let mut story = Story { live, desks, noise, rng: Rng::new(seed), never };
    for round in 0..kills {
        let in_order = story.rng.below(8) == 0;
        story.live_and_die(seed * 1000 + round, in_order);
    }
    story.close(seed * 1000 + kills);
    let commands: u64 = story.desks.iter().map(|desk| desk.commands).sum();
    let recordings: usize = story.desks.iter().map(|desk| desk.known.recordings.len()).sum();
    println!("{commands} commands answered, {recordings} recordings acknowledged");
    println!("{} hidden stretches searched for", story.noise.hidden.len());
    assert!(commands > kills * 20, "there was load: {commands}");
    assert!(story.noise.hidden.len() > 1000 && story.noise.found > 0, "the search can find");
}
