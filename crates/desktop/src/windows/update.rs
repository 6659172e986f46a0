//! *Update call record*: one row per field that may be set now, empty until somebody types.
//!
//! What the box would refuse is refused while it is typed, with the reason (requirement F4); what
//! the record holds is never shown (F2). Tab goes on, Enter sends. The form itself is `fields`.

use super::{Desk, Page, complaint};
use crate::ipc::Ask;
use crate::ui::fields::Form;
use eframe::egui::{self, Key, RichText, TextEdit};

#[derive(Default)]
pub(super) struct Update {
    form: Form,
    /// Numbers of answers that are due, each with its field.
    due: Vec<(u64, u8)>,
    focused: bool,
}

impl Page for Update {
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool {
        self.form.offer(&desk.snapshot.fields);
        for (id, answer) in desk.answers.drain(..) {
            if let Some(at) = self.due.iter().position(|(due, _)| *due == id) {
                let (_, field) = self.due.swap_remove(at);
                self.form.answered(field, &answer);
            }
        }
        if self.form.rows.is_empty() {
            ui.label("Nothing can be updated now.");
            ui.label(desk.snapshot.headline.clone());
            return true;
        }
        ui.label("What you type replaces what the record holds. What it holds is not shown.");
        let mut sends = false;
        egui::ScrollArea::vertical().max_height(ui.available_height() - 48.0).show(ui, |ui| {
            sends = self.rows(ui);
        });
        ui.horizontal(|ui| {
            let filled = !self.form.filled().is_empty();
            sends |= ui.add_enabled(filled, egui::Button::new("Send (Enter)")).clicked();
            let closes = ui.button("Close (Esc)").clicked();
            if sends {
                for (field, value) in self.form.filled() {
                    self.due.push((desk.send(Ask::Update { field, value }), field));
                }
            }
            !closes
        })
        .inner
    }
}

impl Update {
    /// The rows; whether Enter was pressed in one.
    fn rows(&mut self, ui: &mut egui::Ui) -> bool {
        let mut sends = false;
        for row in &mut self.form.rows {
            let label = ui.label(RichText::new(&row.label).strong());
            let edit = TextEdit::singleline(&mut row.text).desired_width(f32::INFINITY);
            let edit = ui.add(edit.id_salt(row.field)).labelled_by(label.id);
            if !self.focused {
                self.focused = true;
                edit.request_focus();
            }
            if edit.changed() {
                row.edited();
            }
            if edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                sends = true;
                edit.request_focus();
            }
            match (row.is_bad, row.told.as_str()) {
                (_, "") => ui.add_space(4.0),
                (true, told) => drop(ui.label(complaint(told))),
                (false, told) => drop(ui.label(told.to_owned())),
            }
        }
        sends
    }
}
