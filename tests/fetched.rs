//! Every play and every export is in the journal: who, what, and what for, before a byte goes out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "box/mod.rs"]
mod the_box;

use client::{Address, Connection};
use hushbox::store::fact::Fact;
use hushbox::store::journal::{Item, JournalReader};
use the_box::TheBox;
use the_box::site::Site;

/// Everything that was fetched, as the journal has it.
fn fetched(story: &TheBox) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let journal = story.data().join("journal");
    let files = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "hbj")) {
        let bytes = std::fs::read(path).unwrap();
        let mut reader = JournalReader::open(&bytes[..]).unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            if let Item::Entry { entry, .. } = item
                && let Fact::Fetched { id, by, why } = entry.fact
            {
                found.push((id.to_string(), by, why));
            }
        }
    }
    found
}

#[test]
fn every_play_and_export_is_journalled_and_refused_ones_are_not() {
    let mut story = TheBox::start_new(Site::sim(&[1]));
    let mut pbx = story.client("hello cti");
    let mut agent = story.client("hello agent user=a1");
    pbx.ok("call start device=1001 call=c1");
    let id = agent.ok("record start").get("recording").to_owned();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    pbx.ok("call stop device=1001 call=c1");
    the_box::await_ended(&mut watcher, &[&id]);
    let mut boss = Connection::open(&[Address::Unix(story.socket())], the_box::PATIENCE).unwrap();
    let mut ask = |line: &str| boss.ask(line).unwrap();
    assert!(ask("hello supervisor user=boss").outcome.is_ok());
    let play = ask(&format!("media {id}"));
    let export = ask(&format!("media {id} for=export"));
    assert!(play.outcome.is_ok() && !play.data.is_empty() && play.data == export.data);
    assert!(ask(&format!("media {id} from=999999999")).outcome.is_err());
    agent.err(&format!("media {id}"), "denied");
    let wanted = ["play", "export"].map(|why| (id.clone(), "boss".to_owned(), why.to_owned()));
    assert_eq!(fetched(&story), wanted);
    story.stop();
    story.start();
    assert_eq!(story.show(&id).text("/recording"), id, "a start reads such a journal");
    story.assert_verified();
}
