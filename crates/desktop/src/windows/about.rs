//! *About*: version, licence, and the paths of the files.
//!
//! Support asks an agent for these. The page changes nothing.

use super::page::{Page, WindowContext};
use eframe::egui::{self, RichText};

pub(super) struct AboutPage;

impl Page for AboutPage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        ui.heading("Hushbox");
        ui.label("Records your calls, and never stores what you black out.");
        ui.separator();
        egui::Grid::new("about").num_columns(2).spacing([16.0, 8.0]).show(ui, |ui| {
            for (heading, text) in &context.snapshot.about {
                ui.label(RichText::new(heading).strong());
                ui.add(egui::Label::new(text).wrap());
                ui.end_row();
            }
        });
        ui.add_space(8.0);
        !ui.button("Close (Esc)").clicked()
    }
}
