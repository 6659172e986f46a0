//! Letters that the toolkit's own fonts lack: fields are called whatever a site calls them.
//!
//! The toolkit brings Latin, Greek and Cyrillic. For others fontconfig is asked which of the
//! desktop's fonts has them, once a script, one script a frame: a font brings all of its script.
//! Whoever may list processes sees that question, and a field may be one that nobody is to read:
//! so it is asked for a sample of the script, never for a letter that was typed, and none is
//! logged. What no font has stays an empty box. Nothing here is kept or sent anywhere.

use eframe::egui::epaint::text::{FontInsert, FontPriority, InsertFontFamily};
use eframe::egui::{Context, FontData, FontFamily, FontId};
use std::collections::BTreeSet;
use std::process::Command;

/// A script: what begins and ends it, and the letter of it that is asked for.
type Script = (char, char, char);

/// Scripts that people write in, without those of the toolkit; a letter of no script here stays an
/// empty box.
const SCRIPTS: [Script; 37] = [
    ('\u{530}', '\u{58f}', '\u{531}'),       // Armenian
    ('\u{590}', '\u{5ff}', '\u{5d0}'),       // Hebrew
    ('\u{600}', '\u{6ff}', '\u{627}'),       // Arabic
    ('\u{700}', '\u{74f}', '\u{710}'),       // Syriac
    ('\u{750}', '\u{77f}', '\u{750}'),       // Arabic, more of it
    ('\u{780}', '\u{7bf}', '\u{780}'),       // Thaana
    ('\u{7c0}', '\u{7ff}', '\u{7ca}'),       // N'Ko
    ('\u{8a0}', '\u{8ff}', '\u{8a0}'),       // Arabic, more of it
    ('\u{900}', '\u{97f}', '\u{905}'),       // Devanagari
    ('\u{980}', '\u{9ff}', '\u{985}'),       // Bengali
    ('\u{a00}', '\u{a7f}', '\u{a05}'),       // Gurmukhi
    ('\u{a80}', '\u{aff}', '\u{a85}'),       // Gujarati
    ('\u{b00}', '\u{b7f}', '\u{b05}'),       // Odia
    ('\u{b80}', '\u{bff}', '\u{b85}'),       // Tamil
    ('\u{c00}', '\u{c7f}', '\u{c05}'),       // Telugu
    ('\u{c80}', '\u{cff}', '\u{c85}'),       // Kannada
    ('\u{d00}', '\u{d7f}', '\u{d05}'),       // Malayalam
    ('\u{d80}', '\u{dff}', '\u{d85}'),       // Sinhala
    ('\u{e00}', '\u{e7f}', '\u{e01}'),       // Thai
    ('\u{e80}', '\u{eff}', '\u{e81}'),       // Lao
    ('\u{f00}', '\u{fff}', '\u{f40}'),       // Tibetan
    ('\u{1000}', '\u{109f}', '\u{1000}'),    // Burmese
    ('\u{10a0}', '\u{10ff}', '\u{10d0}'),    // Georgian
    ('\u{1100}', '\u{11ff}', '\u{1100}'),    // Hangul, its parts
    ('\u{1200}', '\u{139f}', '\u{1200}'),    // Ethiopic
    ('\u{13a0}', '\u{13ff}', '\u{13a0}'),    // Cherokee
    ('\u{1780}', '\u{17ff}', '\u{1780}'),    // Khmer
    ('\u{1800}', '\u{18af}', '\u{1820}'),    // Mongolian
    ('\u{1e00}', '\u{1eff}', '\u{1ea0}'),    // Latin, as in Vietnamese
    ('\u{1f00}', '\u{1fff}', '\u{1f00}'),    // Greek, polytonic
    ('\u{2000}', '\u{2bff}', '\u{2190}'),    // Signs
    ('\u{3000}', '\u{30ff}', '\u{3042}'),    // Kana
    ('\u{3100}', '\u{9fff}', '\u{4e00}'),    // Han
    ('\u{ac00}', '\u{d7ff}', '\u{ac00}'),    // Hangul
    ('\u{f900}', '\u{ffef}', '\u{ff01}'),    // Forms of others
    ('\u{1f000}', '\u{1faff}', '\u{1f600}'), // Pictures
    ('\u{20000}', '\u{3ffff}', '\u{20000}'), // Han, the rare of it
];

/// The sample of its script.
fn sample(letter: char) -> Option<char> {
    let own = SCRIPTS.iter().find(|(first, last, _)| (*first..=*last).contains(&letter));
    own.map(|(.., sample)| *sample)
}

/// What was looked for.
#[derive(Default)]
pub(super) struct Letters {
    /// Samples.
    asked: BTreeSet<char>,
    files: BTreeSet<String>,
}

impl Letters {
    /// Finds a font for the first script that cannot be drawn; whether one was looked for, which is
    /// there from the next frame on.
    pub(super) fn cover<'a>(
        &mut self,
        context: &Context,
        texts: impl Iterator<Item = &'a str>,
    ) -> bool {
        let font = FontId::proportional(14.0);
        // What the toolkit brings is not worth a question.
        let foreign = |letter: &char| *letter > '\u{52f}' && !letter.is_whitespace();
        let lacks = |letter: char| !context.fonts_mut(|fonts| fonts.has_glyph(&font, letter));
        let asked = &self.asked;
        let mut samples = texts.flat_map(str::chars).filter(foreign).filter_map(|letter| {
            sample(letter).filter(|sample| !asked.contains(sample) && lacks(letter))
        });
        let Some(sample) = samples.next() else {
            return false;
        };
        self.asked.insert(sample);
        self.add(context, sample);
        true
    }

    fn add(&mut self, context: &Context, sample: char) {
        let Some((file, index)) = font_with(sample) else {
            log::warn!("a script is shown as empty boxes: fc-match names no font for it");
            return;
        };
        if !self.files.insert(file.clone()) {
            return;
        }
        match std::fs::read(&file) {
            Ok(bytes) => {
                let data = FontData { index, ..FontData::from_owned(bytes) };
                let family = FontFamily::Proportional;
                let families = vec![InsertFontFamily { family, priority: FontPriority::Lowest }];
                context.add_font(FontInsert::new(&file, data, families));
            }
            Err(error) => log::warn!("{file}: {error}"),
        }
    }
}

/// The desktop's font that has a letter, and which of those in its file.
fn font_with(letter: char) -> Option<(String, u32)> {
    let wanted = format!(":charset={:x}", u32::from(letter));
    let output = Command::new("fc-match").args(["--format=%{index}\t%{file}", &wanted]).output();
    let told = String::from_utf8(output.ok()?.stdout).ok()?;
    let (index, file) = told.split_once('\t')?;
    // Above sixteen bits stands which variation of it.
    Some((file.to_owned(), index.parse::<u32>().ok()? & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::RawInput;

    fn has(context: &Context, letter: char) -> bool {
        context.fonts_mut(|fonts| fonts.has_glyph(&FontId::proportional(14.0), letter))
    }

    #[test]
    fn letters_of_other_scripts_are_found_among_the_desktops_fonts() {
        let (context, mut letters) = (Context::default(), Letters::default());
        let frame = |letters: &mut Letters, text: &str| {
            let mut added = false;
            drop(context.run_ui(RawInput::default(), |ui| {
                added |= letters.cover(ui.ctx(), [text].into_iter());
            }));
            added
        };
        let (latin, hebrew) = ("Größe, Имя, Ευρώ", "שם הלקוח");
        assert!(!frame(&mut letters, latin), "the toolkit has them");
        assert!(!has(&context, 'ש'));
        assert!(frame(&mut letters, hebrew), "fontconfig and DejaVu are in make setup");
        assert!(!frame(&mut letters, hebrew), "one letter brings all of its script");
        assert!(hebrew.chars().filter(|c| *c != ' ').all(|letter| has(&context, letter)));
        assert!(!frame(&mut letters, "\u{10ffff}"), "nobody's letter is not asked for");
    }

    #[test]
    fn what_is_asked_for_tells_nothing_of_what_was_typed() {
        for (typed, script) in [("שלום", 'א'), ("東京駅", '一'), ("서울", '가'), ("ไทย", 'ก')]
        {
            assert!(typed.chars().all(|letter| sample(letter) == Some(script)), "{typed}");
        }
        let (context, mut letters) = (Context::default(), Letters::default());
        drop(context.run_ui(RawInput::default(), |ui| {
            letters.cover(ui.ctx(), ["שם"].into_iter());
        }));
        assert_eq!(letters.asked, BTreeSet::from(['א']));
        let ends = SCRIPTS.iter().flat_map(|(first, last, _)| [*first, *last]);
        assert!(ends.is_sorted(), "no script lies in another");
        let inside = |(first, last, sample): &Script| (*first..=*last).contains(sample);
        assert!(SCRIPTS.iter().all(inside));
    }
}
