//! Fonts for scripts that the toolkit's own fonts lack: a site can name fields in any script.
//!
//! The toolkit includes Latin, Greek and Cyrillic. For another script the window asks fontconfig
//! for a font of the desktop, once for each script and one script for each frame. Other users can
//! see the command line of that query, and a field may be confidential. So the query holds a sample
//! letter of the script, never a letter that was typed, and nothing is logged. A letter without a
//! font is shown as an empty box.

use eframe::egui::epaint::text::{FontInsert, FontPriority, InsertFontFamily};
use eframe::egui::{Context, FontData, FontFamily, FontId};
use std::collections::BTreeSet;
use std::process::Command;

/// A script: its first and last letter, and the sample letter for the query.
type Script = (char, char, char);

/// The scripts in use, without those of the toolkit. A letter of no script here is shown as an
/// empty box.
const SCRIPTS: [Script; 37] = [
    ('\u{530}', '\u{58f}', '\u{531}'),       // Armenian
    ('\u{590}', '\u{5ff}', '\u{5d0}'),       // Hebrew
    ('\u{600}', '\u{6ff}', '\u{627}'),       // Arabic
    ('\u{700}', '\u{74f}', '\u{710}'),       // Syriac
    ('\u{750}', '\u{77f}', '\u{750}'),       // Arabic, extensions
    ('\u{780}', '\u{7bf}', '\u{780}'),       // Thaana
    ('\u{7c0}', '\u{7ff}', '\u{7ca}'),       // N'Ko
    ('\u{8a0}', '\u{8ff}', '\u{8a0}'),       // Arabic, extensions
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
    ('\u{1100}', '\u{11ff}', '\u{1100}'),    // Hangul Jamo
    ('\u{1200}', '\u{139f}', '\u{1200}'),    // Ethiopic
    ('\u{13a0}', '\u{13ff}', '\u{13a0}'),    // Cherokee
    ('\u{1780}', '\u{17ff}', '\u{1780}'),    // Khmer
    ('\u{1800}', '\u{18af}', '\u{1820}'),    // Mongolian
    ('\u{1e00}', '\u{1eff}', '\u{1ea0}'),    // Latin, extensions
    ('\u{1f00}', '\u{1fff}', '\u{1f00}'),    // Greek, polytonic
    ('\u{2000}', '\u{2bff}', '\u{2190}'),    // Symbols
    ('\u{3000}', '\u{30ff}', '\u{3042}'),    // Kana
    ('\u{3100}', '\u{9fff}', '\u{4e00}'),    // Han
    ('\u{ac00}', '\u{d7ff}', '\u{ac00}'),    // Hangul
    ('\u{f900}', '\u{ffef}', '\u{ff01}'),    // Compatibility forms
    ('\u{1f000}', '\u{1faff}', '\u{1f600}'), // Emoji
    ('\u{20000}', '\u{3ffff}', '\u{20000}'), // Han, extensions
];

/// The sample letter of a letter's script.
fn script_sample(letter: char) -> Option<char> {
    let own = SCRIPTS.iter().find(|(first, last, _)| (*first..=*last).contains(&letter));
    own.map(|(.., sample)| *sample)
}

/// The fonts that were loaded.
#[derive(Default)]
pub(super) struct FallbackFonts {
    /// The sample letters that were looked up.
    looked_up: BTreeSet<char>,
    files: BTreeSet<String>,
}

impl FallbackFonts {
    /// Loads a font for the first script that cannot be drawn, for use from the next frame on.
    /// Returns whether a script was looked up.
    pub(super) fn load_missing<'a>(
        &mut self,
        context: &Context,
        texts: impl Iterator<Item = &'a str>,
    ) -> bool {
        let font = FontId::proportional(14.0);
        // The toolkit has a font for the letters before.
        let foreign = |letter: &char| *letter > '\u{52f}' && !letter.is_whitespace();
        let lacks = |letter: char| !context.fonts_mut(|fonts| fonts.has_glyph(&font, letter));
        let looked_up = &self.looked_up;
        let mut samples = texts.flat_map(str::chars).filter(foreign).filter_map(|letter| {
            script_sample(letter).filter(|sample| !looked_up.contains(sample) && lacks(letter))
        });
        let Some(sample) = samples.next() else {
            return false;
        };
        self.looked_up.insert(sample);
        self.add_font(context, sample);
        true
    }

    fn add_font(&mut self, context: &Context, sample: char) {
        let Some((file, index)) = find_font(sample) else {
            log::warn!("fc-match finds no font for a script; it is shown as empty boxes");
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
            Err(error) => log::warn!("cannot read the font {file}: {error}"),
        }
    }
}

/// The file of the desktop's font that has a letter, and the font's index in the file.
fn find_font(letter: char) -> Option<(String, u32)> {
    let wanted = format!(":charset={:x}", u32::from(letter));
    let output = Command::new("fc-match").args(["--format=%{index}\t%{file}", &wanted]).output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let (index, file) = text.split_once('\t')?;
    // The bits above the sixteenth select a variation.
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
    fn fonts_of_other_scripts_are_loaded_from_the_desktop() {
        let (context, mut fonts) = (Context::default(), FallbackFonts::default());
        let frame = |fonts: &mut FallbackFonts, text: &str| {
            let mut added = false;
            drop(context.run_ui(RawInput::default(), |ui| {
                added |= fonts.load_missing(ui.ctx(), [text].into_iter());
            }));
            added
        };
        let (latin, hebrew) = ("Größe, Имя, Ευρώ", "שם הלקוח");
        assert!(!frame(&mut fonts, latin), "the toolkit has them");
        assert!(!has(&context, 'ש'));
        assert!(frame(&mut fonts, hebrew), "make setup installs fontconfig and DejaVu");
        assert!(!frame(&mut fonts, hebrew), "a font has all of its script");
        assert!(hebrew.chars().filter(|c| *c != ' ').all(|letter| has(&context, letter)));
        assert!(!frame(&mut fonts, "\u{10ffff}"), "a letter of no script is not looked up");
    }

    #[test]
    fn font_queries_reveal_nothing_of_the_typed_text() {
        for (typed, script) in [("שלום", 'א'), ("東京駅", '一'), ("서울", '가'), ("ไทย", 'ก')]
        {
            assert!(typed.chars().all(|letter| script_sample(letter) == Some(script)), "{typed}");
        }
        let (context, mut fonts) = (Context::default(), FallbackFonts::default());
        drop(context.run_ui(RawInput::default(), |ui| {
            fonts.load_missing(ui.ctx(), ["שם"].into_iter());
        }));
        assert_eq!(fonts.looked_up, BTreeSet::from(['א']));
        let ends = SCRIPTS.iter().flat_map(|(first, last, _)| [*first, *last]);
        assert!(ends.is_sorted(), "scripts do not overlap");
        let inside = |(first, last, sample): &Script| (*first..=*last).contains(sample);
        assert!(SCRIPTS.iter().all(inside));
    }
}
