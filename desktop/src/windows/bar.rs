//! The bar: two big buttons and the blackout's time, above all other windows.
//!
//! A button is enabled when `can` has what it would do (requirement A13); but blackout is never
//! greyed while it is off, because asking in vain is shouted and a dead button is not. What is on
//! is said in words, not in colour alone.

use super::{Desk, Page, minutes};
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
        ui.horizontal(|ui| {
            recording(ui, desk, size);
            blackout(ui, desk, size);
        })
        .response
        .on_hover_text(if self.told.is_empty() {
            &desk.snapshot.headline
        } else {
            &self.told
        });
        true
    }
}

fn recording(ui: &mut egui::Ui, desk: &mut Desk, size: egui::Vec2) {
    let stops = desk.snapshot.recording && desk.can("record.stop");
    let (text, command) = match (desk.snapshot.recording, stops) {
        (true, true) => ("RECORDING\npress to stop", "record stop"),
        (true, false) => ("RECORDING", "record start"),
        (false, _) => ("Not recording\npress to start", "record start"),
    };
    let enabled = stops || desk.can("record.start");
    let button = if desk.snapshot.recording {
        coloured(text, size, Color32::WHITE).fill(Color32::from_rgb(140, 20, 28))
    } else {
        Button::new(RichText::new(text).strong()).min_size(size)
    };
    if ui.add_enabled(enabled, button).clicked() {
        desk.command(command);
    }
}

fn blackout(ui: &mut egui::Ui, desk: &mut Desk, size: egui::Vec2) {
    let on = desk.snapshot.blackout;
    let (text, command) = if on {
        let time = minutes(desk.blackout_ms());
        (format!("BLACKOUT {time}\npress to end"), "blackout stop")
    } else if desk.snapshot.unmasked.is_some() {
        ("! NOT masked\nstop the customer".to_owned(), "blackout start")
    } else {
        ("Being heard\npress for blackout".to_owned(), "blackout start")
    };
    let button = if on {
        let button = coloured(&text, size, Color32::WHITE).fill(Color32::BLACK);
        button.stroke((2.0, Color32::WHITE))
    } else if desk.snapshot.unmasked.is_some() {
        coloured(&text, size, Color32::BLACK).fill(Color32::from_rgb(246, 161, 10))
    } else {
        Button::new(RichText::new(&text).strong()).min_size(size)
    };
    let enabled = !on || desk.can("blackout.stop");
    if ui.add_enabled(enabled, button).clicked() {
        desk.command(command);
    }
}

fn coloured(text: &str, size: egui::Vec2, colour: Color32) -> Button<'static> {
    Button::new(RichText::new(text).strong().color(colour)).min_size(size)
}
