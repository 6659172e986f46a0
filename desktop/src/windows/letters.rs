//! Letters that the toolkit's own fonts lack: fields are called whatever a site calls them.
//!
//! The toolkit brings Latin, Greek and Cyrillic. For others fontconfig is asked which of the
//! desktop's fonts has them, once a letter, one letter a frame: a font brings all of its script.
//! What no font has stays an empty box. Nothing here is kept or sent anywhere.

use eframe::egui::epaint::text::{FontInsert, FontPriority, InsertFontFamily};
use eframe::egui::{Context, FontData, FontFamily, FontId};
use std::collections::BTreeSet;
use std::process::Command;

/// What was looked for.
#[derive(Default)]
pub(super) struct Letters {
    asked: BTreeSet<char>,
    files: BTreeSet<String>,
}

impl Letters {
    /// Finds a font for the first letter that cannot be drawn; whether one was added, which is
    /// there from the next frame on.
    pub(super) fn cover<'a>(
        &mut self,
        context: &Context,
        texts: impl Iterator<Item = &'a str>,
    ) -> bool {
        let font = FontId::proportional(14.0);
        // What the toolkit brings is not worth a question.
        let foreign = |letter: &char| *letter > '\u{52f}' && !letter.is_whitespace();
        let lacks = |letter: &char| !context.fonts_mut(|fonts| fonts.has_glyph(&font, *letter));
        let mut letters = texts.flat_map(str::chars).filter(foreign);
        let Some(letter) = letters.find(|letter| !self.asked.contains(letter) && lacks(letter))
        else {
            return false;
        };
        self.asked.insert(letter);
        self.add(context, letter);
        true
    }

    fn add(&mut self, context: &Context, letter: char) {
        let Some((file, index)) = font_with(letter) else {
            log::warn!("no font for U+{:04X}", u32::from(letter));
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
        // Nobody's letter is asked for once.
        assert!(frame(&mut letters, "\u{10ffff}"));
        assert!(!frame(&mut letters, "\u{10ffff}"));
    }
}
