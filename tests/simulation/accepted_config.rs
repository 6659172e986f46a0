//! What the check of a configuration accepts must start, and record.
//!
//! Texts are made from the bounds. Every text that `parse` accepts starts a recorder with
//! simulated boards, which records a call to the end.

use hushbox::config::{bounds, parse};
use proptest::prelude::*;
use testkit::sim::SimBox;
use testkit::sim::site::pair;

/// The rates of usual cards, rates between them, and any other.
fn rate() -> impl Strategy<Value = u32> {
    let usual = prop::sample::select(vec![
        8000, 8001, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 95_999, 96_000,
    ]);
    prop_oneof![3 => usual, 1 => bounds::RATE]
}

prop_compose! {
    fn audio()(
        codec in prop::sample::select(vec!["opus", "ulaw", "pcm"]),
        bitrate in bounds::BITRATE,
        holdback_ms in prop_oneof![bounds::HOLDBACK_MS, 200..=2000_u32],
        lead_ms in 0..=2000_u32,
        preroll_ms in 0..=2000_u32,
        recall in prop::sample::select(vec!["off", "1s", "90s", "4h"]),
    ) -> String {
        format!(
            "[audio]\ncodec = \"{codec}\"\nbitrate = {bitrate}\nholdback_ms = {holdback_ms}\n\
             preroll_ms = {preroll_ms}\nrecall = \"{recall}\"\n[blackout]\nlead_ms = {lead_ms}\n"
        )
    }
}

prop_compose! {
    fn board(number: u16)(
        rate in rate(),
        buffer_ms in bounds::BUFFER_MS,
        activity in prop::sample::select(vec!["cti", "voice", "script"]),
        sides in prop::sample::select(vec!["mono", "stereo"]),
        release_ms in bounds::RELEASE_MS,
        attack_ms in bounds::ATTACK_MS,
    ) -> String {
        let activity = if number == 1 { "cti" } else { activity };
        format!(
            "[[board]]\nname = \"b{number}\"\nkind = \"sim\"\nrate = {rate}\n\
             buffer_ms = {buffer_ms}\nactivity = \"{activity}\"\n\
             voice = {{ attack_ms = {attack_ms}, release_ms = {release_ms} }}\n\
             channels = [{{ id = {number}, device = \"100{number}\", sides = \"{sides}\", \
             source = \"x.wav\" }}]\n"
        )
    }
}

prop_compose! {
    fn config()(
        audio in audio(),
        first in board(1),
        second in board(2),
        seal in any::<bool>(),
        name in "[a-zA-Z0-9._-]{1,32}",
    ) -> String {
        format!(
            "[box]\nname = \"{name}\"\n[on_demand]\nenabled = true\n{audio}[store]\n\
             seal = {seal}\n{first}{second}[[schedule]]\nname = \"all\"\ntype = \"percentage\"\n"
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_global_rejects: 2000,
        ..Default::default()
    })]

    #[test]
    fn h2_configuration_that_the_check_accepts_starts_and_records(text in config()) {
        let accepted = parse(&text);
        prop_assume!(accepted.is_ok());
        let mut sim = SimBox::new(&text, 1);
        let feed = sim.hello("cti");
        let said = sim.say(feed, "call start device=1001 call=c1");
        let id = pair(&said, "recording");
        sim.run_ms(1000);
        sim.say(feed, "call stop device=1001 call=c1");
        sim.run_ms(200);
        let stored = sim.stored(&id);
        prop_assert!(stored.complete, "{text}");
        prop_assert_eq!(stored.ledger.stored, stored.to.0 - stored.header.from.0);
        prop_assert!(stored.ledger.stored >= u64::from(stored.header.rate) * 98 / 100);
        if stored.header.codec == hushbox::config::CodecKind::Pcm {
            stored.check(&sim);
        }
        prop_assert!(sim.verify().is_clean());
    }
}
