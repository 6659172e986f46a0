//! A daemon without a network: named, addressed and given PINs from a serial console.
//!
//! The file keeps its comments, its owner and its mode; a PIN is stored only as a hash; what a
//! start would refuse is refused; and what was signed under the old name still belongs to the box.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use testkit::daemon::Daemon;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::pty::{PtyLink, Terminal};

const TECHNICIAN: &str = "# who may\n[[technician]]\nname = \"field\"   # of the firm\npin = \
    \"$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$\
    TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
const HELLO: &str = "hello technician user=field pin=2468";

fn with_console(port: bool) -> Daemon {
    let mut site = Site::sim(&[1]);
    if port {
        site.more.push_str("[[listen]]\nserial = \"tty0\"\nbaud = 9600\nidle_s = 3600\n");
    }
    site.more.push_str(TECHNICIAN);
    Daemon::new(site)
}

fn config(story: &Daemon) -> String {
    std::fs::read_to_string(story.config()).unwrap()
}

#[test]
fn h2_setup_over_serial_writes_the_config() {
    let mut story = with_console(true);
    let mode = Permissions::from_mode(0o640);
    std::fs::set_permissions(story.config(), mode).unwrap();
    let before = config(&story);
    let mut cable = PtyLink::plug(&story.path("tty0"));
    story.start();
    assert!(cable.line().starts_with("hushbox 1 "));
    assert!(cable.ask(HELLO).1.starts_with("ok session="));
    // What a start would refuse changes nothing.
    for bad in ["config set box.name \"two words\"", "config set box.time_zone Mars/Olympus"] {
        assert!(cable.ask(bad).1.starts_with("err config "), "{bad}");
    }
    assert!(cable.ask("config listen 0.0.0.0:7440 plain").1.starts_with("err config "));
    assert!(cable.ask("config pin field pin=12").1.starts_with("err config "));
    assert!(cable.ask("config set audio.codec pcm").1.starts_with("err bad-argument "));
    assert_eq!(config(&story), before);
    assert_eq!(cable.ask("config set box.name cabinet-7").1, "ok restart=no");
    assert_eq!(cable.ask("config set box.time_zone Europe/Berlin").1, "ok restart=no");
    assert_eq!(cable.ask("config listen 127.0.0.1:0 off").1, "ok restart=no");
    assert_eq!(cable.ask("config listen 127.0.0.1:0 plain").1, "ok restart=no");
    assert_eq!(cable.ask("config pin Field pin=97531").1, "ok restart=no");
    let typo = cable.ask("config pin feild pin=86420").1;
    assert!(typo.starts_with("err config ") && typo.contains("new=yes"), "{typo}");
    assert!(!config(&story).contains("feild"), "no technician is created by a slip");
    assert_eq!(cable.ask("config pin second pin=86420 new=yes").1, "ok restart=no");
    let rows = cable.ask("status").0;
    let about = rows.iter().find(|row| row.contains("what=box")).unwrap();
    assert!(about.contains("time_zone=Europe/Berlin local_time="), "{about}");
    assert!(about.contains("boot_reason=first listen=\"") || about.contains("listen=127"));
    let after = config(&story);
    assert!(after.contains("# who may") && after.contains("# of the firm"), "{after}");
    assert!(after.contains("name = \"cabinet-7\"") && after.contains("# of the firm"));
    let mode = std::fs::metadata(story.config()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    // The PINs count at once, and are nowhere.
    cable.ask("quit");
    let mut client = Client::unix(&story.socket());
    client.err(HELLO, "denied");
    client.ok("hello technician user=field pin=97531");
    let mut texts: Vec<Vec<u8>> = story.data_files().into_iter().map(|(_, bytes)| bytes).collect();
    texts.extend([after.into_bytes(), story.log().into_bytes()]);
    for pin in [b"97531", b"86420"] {
        assert!(!texts.iter().any(|text| text.windows(5).any(|found| found == pin)));
    }
    // No other kind may.
    story.client_over_unix("hello cti").err("config set box.name x", "denied");
    story.client_over_unix("hello monitor").err("config pin field pin=00000", "denied");
    // The box has its name at once and after a restart, and what it signed before is its own.
    let about = client.ask("status").rows;
    let named = about.iter().any(|row| row.text.contains("name=cabinet-7"));
    assert!(named, "{about:?}");
    client.ok("shutdown");
    assert_eq!(story.ends().code(), Some(0));
    story.assert_verified();
    let ended = story.tool(&["check-config"]);
    assert!(ended.code.is_some());
    let mut child = Command::new(env!("CARGO_BIN_EXE_hushboxd"));
    child.arg("--config").arg(story.config()).current_dir(story.folder.path());
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.starts_with("ready box=cabinet-7 "), "{line}");
    let mut client = Client::unix(&story.socket());
    client.ok("hello technician user=second pin=86420");
    client.ok("shutdown");
    assert!(child.wait().unwrap().success());
    story.assert_verified();
}

/// As the unit runs it: a user who owns the folder, but may give no file away.
#[test]
fn h2_setup_works_without_privileges() {
    const NOBODY: u32 = 65534;
    let mut story = with_console(false);
    story.site.under =
        &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--regid=0", "--groups=65534"];
    chown(story.config(), Some(NOBODY), Some(NOBODY)).expect("tests run as root");
    std::fs::set_permissions(story.config(), Permissions::from_mode(0o640)).unwrap();
    story.start();
    let mut client = story.client_over_unix(HELLO);
    let rows = client.ask("status").rows;
    assert!(["yes", "no", "unknown"].contains(&rows[0].get("time_sync")), "{}", rows[0].text);
    assert!(client.ok("config set box.name cabinet-8").is("restart", "no"));
    let file = std::fs::metadata(story.config()).unwrap();
    let kept = (file.uid(), file.gid(), file.mode() & 0o777);
    assert_eq!(kept, (0, NOBODY, 0o640), "its own now, and its readers' as before");
    assert!(config(&story).contains("name = \"cabinet-8\""));
    // Of a group that it is not in, the file cannot be kept readable: nothing is changed.
    chown(story.config(), None, Some(1)).unwrap();
    std::fs::set_permissions(story.config(), Permissions::from_mode(0o644)).unwrap();
    let refused = client.ask("config set box.name cabinet-9").end;
    assert!(refused.text.contains("the box may not write there"), "{}", refused.text);
    assert!(config(&story).contains("name = \"cabinet-8\""));
    assert!(!story.path("config.toml.new").exists());
    client.ok("shutdown");
    assert_eq!(story.ends().code(), Some(0));
}

#[test]
fn h2_console_asks_for_the_first_settings() {
    let mut story = with_console(false);
    story.start();
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["console", "--config", "config.toml"]).current_dir(story.folder.path());
    let mut terminal = Terminal::run(&mut command);
    terminal.when("User: ", "field\n");
    terminal.when("PIN: ", "2468\n");
    terminal.when("hushbox> ", "setup\r");
    terminal.when("Recorder name [story]: ", "no good\n");
    terminal.when("err config", "");
    terminal.when("Recorder name [story]: ", "box-09\n");
    terminal.when("saved", "");
    terminal.when("Time zone [UTC]: ", "\n");
    terminal.when("TLS address for workstations", "\n");
    terminal.when("Technician to set a new PIN for: ", "field\n");
    terminal.when("PIN: ", "13579\n");
    let shown = terminal.when("Repeat PIN: ", "13579\n");
    terminal.when("saved", "");
    terminal.when("Technician to set a new PIN for: ", "\n");
    terminal.when("hushbox> ", "keys\r");
    terminal.when("on-this-box", "");
    terminal.when("hushbox> ", "exit\r");
    assert_eq!(terminal.ends(), Some(0));
    assert!(!shown.contains("13579"));
    assert!(config(&story).contains("name = \"box-09\""));
    Client::unix(&story.socket()).ok("hello technician user=field pin=13579");
}

#[test]
fn h2_reboot_needs_a_supervising_service() {
    let mut story = with_console(false);
    story.start();
    let mut client = story.client_over_unix(HELLO);
    client.err("reboot", "denied");
    let keys = client.ask("keys").rows;
    assert!(keys[0].is("key", "box") && keys[1].is("private", "on-this-box"), "{keys:?}");
    assert!(keys.iter().all(|row| !row.text.contains("SECRET")));
    story.stop();
    story.site.env.push(("HUSHBOX_REBOOT_EXIT".to_owned(), "85".to_owned()));
    story.start();
    let mut client = story.client_over_unix(HELLO);
    let rows = client.ask("status").rows;
    assert!(rows[0].is("boot_reason", "shutdown"), "{}", rows[0].text);
    client.ok("reboot");
    assert_eq!(story.ends().code(), Some(85));
    story.assert_verified();
}
