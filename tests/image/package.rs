//! The Debian package: its contents, the configuration it ships, and what it leaves alone.
//!
//! It is built here from the programs under test, and examined with Debian's own tools. Installing
//! it, upgrading a running daemon and what happens to a call meanwhile is `make test-image`.

use board::Profile;
use hushbox::config;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(source(path)).unwrap()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: run `make setup`");
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn build(folder: &Path) -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_hushboxd")).parent().unwrap();
    for (package, name) in [("hushbox-cli", "hushbox"), ("cti", "hushbox-cti")] {
        testkit::program(package, name);
    }
    let mut command = Command::new(source("packaging/deb/build"));
    run(command.arg("amd64").arg(programs).arg(folder).arg("9.9.9"));
    folder.join("hushbox_9.9.9_amd64.deb")
}

#[test]
fn package_config_is_valid_and_writable_by_the_unit() {
    let (parsed, warnings) = config::parse(&text("packaging/deb/config.toml")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(parsed.data, Path::new("/var/lib/hushbox"));
    assert!(parsed.store.seal);
    assert!(parsed.technicians.is_empty(), "no PIN that everybody knows");
    let unit = text("packaging/systemd/hushboxd.service");
    for line in ["Type=notify", "WatchdogSec=", "Restart=always", "StateDirectory=hushbox"] {
        assert!(unit.contains(line), "{line}");
    }
    // The console changes the configuration, and nothing else that lies there.
    let line = |wanted: &str| unit.lines().any(|line| line == wanted);
    assert!(line("ProtectSystem=strict") && line("ReadWritePaths=-/etc/hushbox"));
    assert!(line("ReadOnlyPaths=-/etc/hushbox/portal.toml"));
}

#[test]
fn board_profiles_are_valid_configuration() {
    let base = text("packaging/deb/config.toml");
    let (before, rest) = base.split_once("\n[[board]]").unwrap();
    let after = &rest[rest.find("\n[[role]]").unwrap()..];
    let profiles = Profile::all();
    assert_eq!(profiles.len(), 5);
    for profile in profiles {
        let board = profile.board.replace("{pcm}", "hw:CARD=X,DEV=0").replace("{card}", "X");
        let (parsed, warnings) = config::parse(&format!("{before}\n{board}\n{after}"))
            .unwrap_or_else(|errors| panic!("{}: {errors:?}", profile.name));
        assert!(warnings.is_empty(), "{}: {warnings:?}", profile.name);
        assert_eq!(parsed.boards.len(), 1);
    }
}

#[test]
fn package_is_complete_and_keeps_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let package = build(folder.path());
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    for file in [
        "usr/bin/hushboxd",
        "usr/bin/hushbox",
        "usr/bin/hushbox-cti",
        "usr/lib/systemd/system/hushbox-cti.service",
        "usr/share/doc/hushbox/cti.toml",
        "usr/lib/systemd/system/hushboxd.service",
        "usr/lib/systemd/system-generators/hushbox-affinity",
        "usr/lib/udev/rules.d/60-hushbox.rules",
        "usr/share/man/man8/hushboxd.8.gz",
        "usr/share/man/man1/hushbox-export.1.gz",
        "usr/share/hushbox/models/usb-stereo-tap.toml",
        "usr/share/hushbox/demo/1001.wav",
        "etc/hushbox/config.toml",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let control = folder.path().join("control");
    run(Command::new("dpkg-deb").arg("-e").arg(&package).arg(&control));
    let conffiles = std::fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/hushbox/config.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        let words = std::fs::read_to_string(control.join(script)).unwrap();
        assert!(!words.contains("rm -r"), "{script} removes more than it may");
        run(Command::new("sh").arg("-n").arg(control.join(script)));
    }
    // The shipped configuration starts nothing that is not there.
    let check = Command::new(testkit::program("hushbox-cli", "hushbox"))
        .arg("check-config")
        .arg(root.join("etc/hushbox/config.toml"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn packaging_scripts_pass_shellcheck() {
    let scripts = [
        "packaging/deb/build",
        "packaging/deb/postinst",
        "packaging/deb/prerm",
        "packaging/deb/postrm",
        "packaging/systemd/hushbox-affinity",
        "packaging/image/build",
        "packaging/image/root/usr/lib/hushbox/first-boot",
        "packaging/image/root/usr/lib/hushbox/banner",
        "packaging/image/root/usr/lib/hushbox/after-stop",
        "packaging/image/root/usr/sbin/hushbox-upgrade",
    ];
    let found = Command::new("shellcheck").args(scripts.map(source)).output();
    let found = found.expect("no shellcheck: run `make setup`");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
}
