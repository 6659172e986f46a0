//! What a configuration may hold, and what an error says.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("cti.toml"))
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

const ASTERISK: &str = "[exchange]\nkind = \"asterisk\"\naddress = \"pbx:5038\"\nuser = \"u\"\n";

#[test]
fn short_file_has_the_documented_defaults() {
    let config = parse(&format!("{ASTERISK}secret = \"s\"\n")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.source, Source::Connect("pbx:5038".to_owned()));
    assert_eq!((config.user.as_str(), config.prefix.as_str()), ("pbx", "ast-"));
    assert!(config.devices_from_box);
    let servers: Vec<String> = config.servers.iter().map(Address::to_string).collect();
    assert_eq!(servers, ["unix:/run/hushbox/hushbox.sock"]);
}

#[test]
fn serial_call_log_is_accepted() {
    let text = "[exchange]\nkind = 'csv'\nserial = '/dev/ttyS0'\nbaud = 1200\n[csv]\n\
        widths = [4, 6]\ncolumns = ['event', 'device', '-']\n[csv.events]\nstart = ['A']\n\
        stop = ['E']\n";
    let config = parse(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.source, Source::Serial { path: "/dev/ttyS0".into(), baud: 1200 });
}

#[test]
fn each_error_says_what_to_write() {
    let csv = "[exchange]\nkind = 'csv'\nstdin = true\n";
    for (text, wanted) in [
        (ASTERISK.to_owned(), "secret is missing"),
        (format!("{ASTERISK}secret = 's'\nlisten = '127.0.0.1:1'"), "exactly one of address"),
        (ASTERISK.replace("pbx:5038", "pbx") + "secret = 's'", "write HOST:PORT"),
        (ASTERISK.replace("user", "#") + "secret = 's'", "user is missing"),
        (format!("{ASTERISK}secret = 's'\nbaud = 9600"), "baud is only for serial"),
        (format!("{ASTERISK}secret = 's'\n[calls]\nprefix = 'a b'"), "[calls] prefix"),
        (format!("{ASTERISK}secret = 's'\n[box]\nservers = []"), "servers is empty"),
        (format!("{ASTERISK}secret = 's'\n[csv]\ncolumns = []"), "only for kind = \"csv\""),
        (csv.to_owned(), "[csv] is missing"),
        (format!("{csv}[csv]\ncolumns = ['event', 'event']"), "stands twice"),
        (format!("{csv}[csv]\ncolumns = ['event']"), "\"device\" is missing"),
        (format!("{csv}[csv]\ncolumns = ['event', 'device']"), "start and stop need"),
        (format!("{csv}[csv]\nseparator = 'ab'\ncolumns = []"), "[csv] separator"),
        (format!("{csv}[csv]\nwidths = [0]\ncolumns = []"), "[csv] widths"),
        (
            format!("{csv}[csv]\ncolumns = []\n[csv.events]\nstart = ['a']\nstop = ['A']"),
            "\"A\" stands twice",
        ),
        ("[exchange]\nkind = 'mitel'".to_owned(), "cti.toml:2: "),
    ] {
        let found = error(&text);
        assert!(found.contains(wanted), "wanted {wanted:?} in {found:?}");
    }
}

#[test]
fn errors_never_show_the_secret() {
    for text in ["secret = \"hunter2", "secret = 5 # hunter2", "secret = \"hunter2\"\nmore = 1"] {
        let found = error(&format!("{ASTERISK}{text}\n"));
        assert!(!found.contains("hunter2") && found.contains("cti.toml:"), "{found}");
    }
}

#[test]
fn file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{ASTERISK}secret = \"s\"\n")).unwrap();
    for (mode, accepted) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), permissions).unwrap();
        match Config::read(file.path()) {
            Ok(_) => assert!(accepted, "{mode:o}"),
            Err(error) => {
                assert!(!accepted && error.to_string().contains("chmod 640"), "{mode:o}: {error}");
            }
        }
    }
    assert!(matches!(Config::read(Path::new("/none")), Err(ConfigError::Read { .. })));
}

#[test]
fn example_of_the_package_and_those_of_the_manual_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let manual = text("docs/cti.md");
    let blocks = manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut examples: Vec<String> = blocks.map(|block| block.replace("\n   ", "\n")).collect();
    examples.push(text("packaging/deb/cti.toml"));
    assert_eq!(examples.len(), 3);
    for example in examples {
        parse(&example).unwrap_or_else(|error| panic!("{error}: {example}"));
    }
}
