//! The configuration: the shipped file, valid files, invalid files, damaged files.

use hushbox::calls::permission::Permission;
use hushbox::config::{
    ActivitySource, BlackoutScope, BoardKind, CodecKind, Config, ConfigError, Direction,
    ListenSettings, ScriptStep, parse,
};
use std::path::Path;
use testkit::rng::Rng;

const SHIPPED: &str = include_str!("../../config.toml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// What is wrong with `text`; nothing if only warnings are.
fn errors(text: &str) -> Vec<ConfigError> {
    parse(text).err().unwrap_or_default()
}

fn good(text: &str) -> (Config, Vec<ConfigError>) {
    parse(text).unwrap_or_else(|errors| panic!("{text}\n{}", listed(&errors)))
}

fn listed(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// Line, column, key, and a piece of the text.
type Wanted = (u32, u32, &'static str, &'static str);

#[track_caller]
fn same(text: &str, found: &[ConfigError], wanted: &[Wanted]) {
    let fits = found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(error, (line, column, key, piece))| {
            (error.line, error.column) == (*line, *column)
                && error.key == *key
                && error.text.contains(piece)
        });
    assert!(fits, "{text}\nfound:\n{}wanted: {wanted:#?}", listed(found));
}

#[test]
fn shipped_config_is_valid() {
    let (config, warnings) = good(SHIPPED);
    assert_eq!(warnings, []);
    assert!(config.on_demand.enabled && config.store.seal);
    assert_eq!(config.data, Path::new("data"));
    let loopback = ListenSettings::Tcp {
        address: "127.0.0.1:7440".parse().expect("an address"),
        tls: false,
        insecure: false,
    };
    assert_eq!(
        config.listen,
        [loopback, ListenSettings::Unix { path: "data/hushbox.sock".into() }]
    );
    assert_eq!(config.boards[0].kind, BoardKind::Sim);
    let boards: Vec<_> = config.boards.iter().map(|b| (b.activity, b.channels[0].sides)).collect();
    assert_eq!(boards, [(ActivitySource::Cti, 1), (ActivitySource::Script, 2)]);
    let can = |agent: usize, permission| config.agents[agent].permissions.contains(permission);
    assert!(can(0, Permission::Blackout) && can(0, Permission::Update(3)));
    assert!(!can(0, Permission::RecordsAll) && can(1, Permission::RecordsAll));
    assert_eq!(
        SHIPPED.lines().nth(config.agents[0].line as usize - 1).map(|l| &l[..17]),
        Some("username = \"jdoe\"")
    );
    assert_eq!(config.fields[2].as_deref(), Some("Subject"));
    assert_eq!(config.fields[1], None);
}

#[test]
fn shipped_pin_hash_matches_its_comment() {
    use argon2::PasswordVerifier;
    let (config, _) = good(SHIPPED);
    let hash = argon2::password_hash::phc::PasswordHash::new(&config.technicians[0].pin);
    let hash = hash.expect("a hash");
    assert!(argon2::Argon2::default().verify_password(b"2468", &hash).is_ok());
    assert!(argon2::Argon2::default().verify_password(b"2469", &hash).is_err());
}

/// Every key there is, by its table.
const KEYS: [(&str, &str); 18] = [
    ("box", "name data time_zone"),
    ("on_demand", "enabled desktop web"),
    ("listen", "address unix serial tls insecure baud idle_s"),
    ("local", "kinds portal_user cti_user technician_group"),
    ("limits", "sessions sessions_per_address handshakes_per_s"),
    ("audio", "holdback_ms codec bitrate preroll_ms recall wrapup_s stale_call_s max_call_s"),
    ("blackout", "lead_ms max_s end_without_call_s scope"),
    ("store", "seal recipients reserve_mb"),
    (
        "board",
        "name kind rate buffer_ms pcm period_ms channels activity voice listen address ports \
         calls peers devices codecs srtp mask_digits when_down",
    ),
    ("channels", "id device sides source slots script"),
    ("voice", "attack_ms release_ms margin_db"),
    ("role", "name permissions"),
    ("agent", "username domain name phones roles screen workstations"),
    ("workstation", "machine device"),
    (
        "schedule",
        "name type percent priority retention_days from until users devices groups \
         gates directions",
    ),
    ("fields", "1 3"),
    ("screen", "fps scale kbps"),
    ("technician", "name pin"),
];

#[test]
fn every_key_is_documented_and_in_the_shipped_config() {
    for (table, keys) in KEYS {
        for key in keys.split(' ') {
            assert!(SHIPPED.contains(&format!("{key} = ")), "[{table}] {key} is not shipped");
            let row = REFERENCE.contains(&format!("| `{key}` |"));
            assert!(row || table == "fields", "[{table}] {key} is not in the reference");
        }
    }
}

/// Asks the reader itself for its keys, so that the list above cannot fall behind.
#[test]
fn list_of_keys_is_complete() {
    for (table, keys) in KEYS.into_iter().filter(|(table, _)| *table != "fields") {
        let text = match table {
            "channels" => "[[board]]\nchannels = [{ zzz = 1 }]".to_owned(),
            "voice" => "[[board]]\nvoice.zzz = 1".to_owned(),
            "box" | "on_demand" | "local" | "limits" | "audio" | "blackout" | "store"
            | "screen" => format!("[{table}]\nzzz = 1"),
            _ => format!("[[{table}]]\nzzz = 1"),
        };
        let found = errors(&text);
        let unknown = found.iter().find(|error| error.key.ends_with("zzz")).expect(table);
        let mut sorted: Vec<&str> = keys.split(' ').collect();
        sorted.sort_unstable();
        let wanted = format!("found an unknown key, allowed {}", sorted.join(", "));
        assert_eq!(unknown.text, wanted, "[{table}]");
    }
}

#[test]
fn empty_config_means_defaults() {
    let (config, warnings) = good("");
    same("", &warnings, &[(1, 1, "[[listen]]", "found none")]);
    assert_eq!((config.name.as_str(), config.data.as_path()), ("hushbox", Path::new("data")));
    assert!(!config.on_demand.enabled && config.on_demand.desktop && config.on_demand.web, "D7");
    assert!(config.local.kinds.is_empty());
    let limits = &config.limits;
    let limits = (limits.sessions, limits.sessions_per_address, limits.handshakes_per_s);
    assert_eq!(limits, (1000, 64, 200));
    let audio = &config.audio;
    assert_eq!((audio.holdback_ms, audio.codec, audio.bitrate), (3000, CodecKind::Opus, 16_000));
    assert_eq!((audio.preroll_ms, audio.recall_ms), (0, None));
    assert_eq!((audio.wrapup_s, audio.stale_call_s, audio.max_call_s), (30, 7200, None));
    let blackout = &config.blackout;
    assert_eq!(
        (blackout.lead_ms, blackout.max_s, blackout.end_without_call_s, blackout.scope),
        (2000, 300, 60, BlackoutScope::Agent)
    );
    assert_eq!((config.store.seal, config.store.reserve_mb), (true, 512));
    assert_eq!((config.screen.fps, config.screen.scale, config.screen.kbps), (5, 100, 100));
}

#[test]
fn attack_longer_than_holdback_is_a_warning() {
    let long = FULL.replace("attack_ms = 300", "attack_ms = 9999");
    let (config, warnings) = good(&long);
    assert_eq!(config.boards[0].voice.attack_ms, 9999);
    assert_eq!(warnings.len(), 1, "{}", listed(&warnings));
    assert!(warnings[0].key.ends_with("attack_ms") && warnings[0].text.contains("holdback_ms"));
    let (_, warnings) = good(&long.replace("activity = \"voice\"", "activity = \"cti\""));
    assert_eq!(warnings, [], "the box does not listen for voice");
}

#[test]
fn full_config_is_read_completely() {
    let (config, warnings) = good(FULL);
    assert_eq!(warnings, [], "{}", listed(&warnings));
    assert_eq!(config.audio.recall_ms, Some(3_600_000));
    assert_eq!(config.blackout.scope, BlackoutScope::Call);
    assert_eq!(config.listen.len(), 4);
    let path = "/dev/ttyS0".into();
    assert_eq!(config.listen[3], ListenSettings::Serial { path, baud: 115_200, idle_s: 90 });
    let card = &config.boards[0];
    assert_eq!(card.kind, BoardKind::Alsa { pcm: "hw:1,0".into(), period_ms: 20 });
    let sides: Vec<(u8, &[u16])> = card.channels.iter().map(|c| (c.sides, &*c.slots)).collect();
    assert_eq!(sides, [(2, &[0, 1][..]), (1, &[2][..])], "sides follow from the slots");
    assert_eq!((card.activity, card.voice.attack_ms), (ActivitySource::Voice, 300));
    assert_eq!((card.voice.release_ms, card.voice.margin_db), (4000, 9));
    let sim = &config.boards[1].channels;
    let call = |ani: Option<&str>, direction| ScriptStep::Call {
        ms: 20_000,
        direction,
        ani: ani.map(str::to_owned),
        dnis: None,
    };
    assert_eq!(sim[0].script, [call(Some("555"), Direction::Out)]);
    let idle = ScriptStep::Idle { ms: 5000 };
    assert_eq!(sim[1].script, [idle.clone(), call(None, Direction::In), idle]);
    let schedule = &config.schedules[0];
    assert_eq!(schedule.from.map(|t| t.to_string()).as_deref(), Some("2026-01-01T00:00:00.000Z"));
    assert_eq!(schedule.until.map(|t| t.to_string()).as_deref(), Some("2026-12-31T23:00:00.000Z"));
    assert_eq!(schedule.directions, [Direction::In]);
    assert_eq!(config.agents[0].workstations, ["WS-042"]);
    assert_eq!(config.agents[1].name, "asmith", "the username stands in for the name");
}

const FULL: &str = r#"
box = { name = "b", data = "/srv/hushbox" }
on_demand.enabled = true
[[listen]]
address = "127.0.0.1:7440"
[[listen]]
unix = "hushbox.sock"
[[listen]]
address = "[::]:7441"
tls = true
[[listen]]
serial = "/dev/ttyS0"
baud = 115200
[audio]
holdback_ms = 5_000
codec = "ulaw"
recall = "60m"
[blackout]
lead_ms = 5000
scope = "call"
[store]
recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
[[board]]
name = "card"
kind = "alsa"
pcm = "hw:1,0"
rate = 44100
period_ms = 20
buffer_ms = 40
activity = "voice"
voice = { attack_ms = 300 }
channels = [{ id = 0, device = "1001", slots = [0, 1] },
             { id = 65535, device = "1002", slots = [2] }]
[[board]]
name = "demo"
kind = "sim"
activity = "script"
[[board.channels]]
id = 5
device = "1005"
source = "a.wav"
script = "call out 20s ani=555"
[[board.channels]]
id = 6
device = "1006"
source = "b.wav"
[[agent]]
username = "jdoe"
phones = ["1001", "4711"]
workstations = ["WS-042"]
[[agent]]
username = "asmith"
[[schedule]]
name = "s"
type = "on-demand"
from = 2026-01-01T00:00:00Z
until = "2027-01-01T00:00:00+01:00"
users = ["JDOE"]
devices = ["4711", "1006"]
directions = ["in"]
"#;

#[test]
fn paths_resolve_from_the_config_folder() {
    let (config, _) = good(FULL);
    let config = config.resolve_paths(Path::new("/etc/hushbox"));
    assert_eq!(config.data, Path::new("/srv/hushbox"));
    assert_eq!(config.listen[1], ListenSettings::Unix { path: "/etc/hushbox/hushbox.sock".into() });
    let source = config.boards[1].channels[0].source.as_deref();
    assert_eq!(source, Some(Path::new("/etc/hushbox/a.wav")));
    assert_eq!(good("").0.resolve_paths(Path::new("/etc")).data, Path::new("/etc/data"));
}

#[test]
fn error_message_names_its_place() {
    let found = errors("[audio]\ncodec = \"pcm\"\nholdback_ms = 90000\n");
    let wanted = "line 3, column 15: [audio] holdback_ms: found 90000, allowed 200 to 60000\n";
    assert_eq!(listed(&found), wanted);
}

/// A default never makes a file wrong whose author wrote less.
#[test]
fn defaults_follow_their_bounds() {
    let text = "[audio]\nholdback_ms = 1000\n[limits]\nsessions = 10\n[[listen]]\nunix = \"s\"";
    let (config, warnings) = good(text);
    assert_eq!(warnings, []);
    assert_eq!((config.blackout.lead_ms, config.limits.sessions_per_address), (1000, 10));
}

/// No secret that stands in the wrong place may end up in a log.
#[test]
fn secrets_are_never_quoted_in_errors() {
    let text = "[[technician]]\nname = \"a\"\npin = \"246813\"\n[[technician]]\nname = \"b\"\n\
                pin = 246813\n[store]\nrecipients = [\"AGE-SECRET-KEY-246813\", 246813]\n";
    let found = errors(text);
    assert_eq!(found.len(), 4, "{}", listed(&found));
    assert!(!listed(&found).contains("246813"), "{}", listed(&found));
}

/// An error must fit a line of the protocol (1024 bytes), with `err config` and its quotes.
const WIRE_BYTES: usize = 960;

#[test]
fn errors_fit_a_protocol_line() {
    let long = "\u{e9}".repeat(2000);
    let roles: String = (0..40).map(|n| format!("[[role]]\nname = \"{n}{long}\"\n")).collect();
    let twins: String = (0..40)
        .map(|n| {
            format!("[[agent]]\nusername = \"twin\"\nname = \"{n:032}\"\nphones = [\"{n}\"]\n")
        })
        .collect();
    let texts = [
        format!("\"{long}\" = 1\n[box]\nname = \"{long}\"\n[audio]\nrecall = \"{long}\""),
        format!("[audio]\nbitrate = {}\nwrapup_s = {}.5\n", "9".repeat(2000), "9".repeat(2000)),
        format!("{roles}[[agent]]\nusername = \"{long}\"\nroles = [\"{long}\"]\n"),
        format!("{roles}[[schedule]]\nname = \"s\"\ndirections = [\"{long}\"]\n"),
        format!("[[role]]\nname = \"a\nb\"\npermissions = [\"{long}\"]\n"),
        "[[agent]]\nroles = [\"ab\"]\n[[role]]\nname = \"a\\nb\"\npermissions = []".to_owned(),
        twins,
    ];
    for text in texts {
        let found = parse(&text).map_or_else(|errors| errors, |(_, warnings)| warnings);
        assert!(!found.is_empty());
        for line in found.iter().map(ConfigError::to_string) {
            assert!(line.len() <= WIRE_BYTES && !line.contains(char::is_control), "{line:?}");
        }
    }
}

fn damage(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let (one, other) = (rng.below(lines.len()), rng.below(lines.len()));
    match rng.below(6) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(one, lines[other]),
        2 => lines.swap(one, other),
        3 => lines.truncate(one + 1),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let signs = b"[]{}=\"',.#\\\n\r\t 0-9azAZ_$\x00\xc3\xff";
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len());
                bytes[at] = signs[rng.below(signs.len())];
            }
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    lines.join("\n")
}

#[test]
fn damaged_config_never_panics_and_errors_have_places() {
    let mut refused = 0;
    for seed in 1..=4000_u64 {
        let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = if seed % 2 == 0 { SHIPPED } else { FULL };
        let mut text = damage(text, &mut rng);
        if seed % 3 == 0 {
            text = damage(&format!("{text}\n#"), &mut rng);
        }
        let found = match parse(&text) {
            Ok((_, warnings)) => warnings,
            Err(errors) => {
                assert!(!errors.is_empty(), "seed {seed}: refused for no reason");
                refused += 1;
                errors
            }
        };
        let lines = u32::try_from(text.matches('\n').count()).expect("few") + 1;
        for error in &found {
            assert!((1..=lines).contains(&error.line) && error.column > 0, "seed {seed}: {error}");
            let line = error.to_string();
            assert!(line.len() <= WIRE_BYTES, "seed {seed}: {line}");
            assert!(!line.contains(char::is_control), "seed {seed}: {line:?}");
        }
        assert!(found.is_sorted_by_key(|error| (error.line, error.column)), "seed {seed}");
    }
    assert!((500..3900).contains(&refused), "{refused} of 4000: the dice are not fair");
}

mod bad;
mod machine;
mod sip;
