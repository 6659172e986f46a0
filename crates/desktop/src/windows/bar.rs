//! The bar: two big buttons and the blackout's time, above all other windows.
//!
//! What they say and do is `button`'s. What is on is said in words, not in colour alone. Nothing
//! here decides anything.

use super::{Desk, Page};
use crate::action::Action;
use crate::ui::button;
use crate::ui::button::Tone;
use eframe::egui::{self, Button, Color32, RichText, vec2};

#[derive(Default)]
pub(super) struct Bar {
    told: String,
}

impl Page for Bar {
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool {
        for (_, answer) in desk.answers.drain(..) {
            self.told = answer.err().unwrap_or_default();
        }
        let size = vec2((ui.available_width() - 10.0) / 2.0, ui.available_height());
        let buttons = [
            button::recording(&desk.snapshot),
            button::blackout(&desk.snapshot, desk.blackout_ms()),
        ];
        let row = ui.horizontal(|ui| {
            let pressed = buttons.iter().filter(|button| draw(ui, button, size));
            pressed.map(|button| button.does).collect::<Vec<Action>>()
        });
        for action in row.inner {
            desk.command(action.line());
        }
        let told = if self.told.is_empty() { &desk.snapshot.headline } else { &self.told };
        row.response.on_hover_text(told);
        true
    }

    fn margin(&self) -> i8 {
        8
    }
}

/// Whether it was pressed.
fn draw(ui: &mut egui::Ui, button: &button::Button, size: egui::Vec2) -> bool {
    let text = RichText::new(&button.text).strong();
    let (ink, fill) = match button.tone {
        Tone::Plain => (None, None),
        Tone::Recording => (Some(Color32::WHITE), Some(Color32::from_rgb(140, 20, 28))),
        Tone::Blackout => (Some(Color32::WHITE), Some(Color32::BLACK)),
        Tone::Alarm => (Some(Color32::BLACK), Some(Color32::from_rgb(246, 161, 10))),
    };
    let text = match ink {
        Some(ink) => text.color(ink),
        None => text,
    };
    let mut shown = Button::new(text).min_size(size);
    if let Some(fill) = fill {
        shown = shown.fill(fill);
    }
    if button.tone == Tone::Blackout {
        shown = shown.stroke((2.0, Color32::WHITE));
    }
    ui.add_enabled(button.enabled, shown).clicked()
}
