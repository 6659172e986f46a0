//! The check against the machine: what no start could work with is an error, the rest a warning.

use super::same;
use hushbox::config::machine::Machine;
use hushbox::config::parse_for;
use std::path::Path;

/// A small machine: `data` files and WAV files whose names begin with `bad` are unusable.
struct SmallMachine {
    folder: &'static str,
}

impl Machine for SmallMachine {
    fn folder(&self) -> &Path {
        Path::new(self.folder)
    }

    fn data_folder_error(&self, data: &Path) -> Option<String> {
        data.ends_with("bad").then(|| "found a file, allowed a folder".to_owned())
    }

    fn disk_mib(&self, _: &Path) -> Option<u64> {
        Some(1000)
    }

    fn socket_error(&self, socket: &Path) -> Option<String> {
        socket.ends_with("bad").then(|| "found a file".to_owned())
    }

    fn wav_error(&self, wav: &Path, rate: u32, sides: u8) -> Option<String> {
        assert_eq!((rate, sides), (11_025, 2));
        wav.ends_with("bad.wav").then(|| format!("{}: is missing", wav.display()))
    }
}

const TEXT: &str = "box.data = \"d\"\n[[listen]]\nunix = \"s\"\n[store]\nreserve_mb = 999\n\
                    [audio]\ncodec = \"pcm\"\n[[board]]\nname = \"b\"\nkind = \"sim\"\n\
                    rate = 11025\n\
                    channels = [\
                    { id = 1, device = \"1\", sides = \"stereo\", source = \"a.wav\" }]\n";

#[test]
fn h2_paths_and_sizes_are_checked_against_the_machine() {
    let here = SmallMachine { folder: "/etc/hushbox" };
    let check = |text: &str| parse_for(text, Some(&here)).map(|(_, warnings)| warnings);
    assert_eq!(check(TEXT), Ok(Vec::new()));
    let found = check(&TEXT.replace("\"d\"", "\"bad\"")).unwrap_err();
    same("data", &found, &[(1, 12, "[box] data", "found a file, allowed a folder")]);
    let warnings = check(&TEXT.replace("999", "1000")).unwrap();
    let wanted = "found 1000, but the disk of the data folder has 1000 MB";
    same("reserve", &warnings, &[(5, 14, "[store] reserve_mb", wanted)]);
    let warnings = check(&TEXT.replace("\"s\"", "\"bad\"")).unwrap();
    same("socket", &warnings, &[(3, 8, "[[listen]] unix", "found a file")]);
    let warnings = check(&TEXT.replace("a.wav", "bad.wav")).unwrap();
    let wanted = "/etc/hushbox/bad.wav: is missing; the box starts without this board";
    same("wav", &warnings, &[(12, 64, "[[board]] channels.source", wanted)]);
}

/// `sun_path` counts the path that the system gets, not the one in the file.
#[test]
fn h2_socket_path_is_measured_with_the_folder_of_the_file() {
    let check = |socket: usize| {
        let text = TEXT.replace("\"s\"", &format!("\"{}\"", "s".repeat(socket)));
        parse_for(&text, Some(&SmallMachine { folder: "/etc/hushbox" })).map(|_| ())
    };
    let folder = "/etc/hushbox/".len();
    assert_eq!(check(107 - folder), Ok(()));
    let found = check(108 - folder).unwrap_err();
    let wanted = "found a path of 108 bytes with the folder of this file, allowed 107";
    same("socket", &found, &[(3, 8, "[[listen]] unix", wanted)]);
    // An absolute path stands for itself.
    let text = TEXT.replace("\"s\"", &format!("\"/{}\"", "s".repeat(106)));
    assert!(parse_for(&text, Some(&SmallMachine { folder: "/etc/hushbox" })).is_ok());
}

/// Of an editor on Windows: the first line counts as the first.
#[test]
fn h2_byte_order_mark_is_skipped() {
    let marked = format!("\u{feff}{TEXT}");
    assert!(hushbox::config::parse(&marked).is_ok());
    let found = hushbox::config::parse("\u{feff}zzz = 1").unwrap_err();
    assert_eq!((found[0].line, found[0].column), (1, 1));
}
