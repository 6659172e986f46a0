//! *About*: version, licence, and where files are.
//!
//! What a person is asked for by support. Nothing here can be changed.

use super::{Desk, Page};
use eframe::egui::{self, RichText};

pub(super) struct About;

impl Page for About {
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool {
        ui.heading("Hushbox");
        ui.label("Records a call when you say so, and never keeps what you black out.");
        ui.separator();
        egui::Grid::new("about").num_columns(2).spacing([16.0, 8.0]).show(ui, |ui| {
            for (heading, words) in &desk.snapshot.about {
                ui.label(RichText::new(heading).strong());
                ui.add(egui::Label::new(words).wrap());
                ui.end_row();
            }
        });
        ui.add_space(8.0);
        !ui.button("Close (Esc)").clicked()
    }
}
