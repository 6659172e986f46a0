//! *Update call record*: one row for each field that may be set now, empty at first.
//!
//! The form refuses what the box would refuse as the agent types, with the reason (requirement F4).
//! Stored values are never shown (F2). Tab moves to the next field, Enter sends. The form itself is
//! `ui::field_form`.

use super::page::{Page, WindowContext, format_error};
use crate::agent_request::AgentRequest;
use crate::ui::field_form::FieldForm;
use crate::ui::text::capitalize_first;
use eframe::egui::{self, Key, RichText, TextEdit};

#[derive(Default)]
pub(super) struct UpdatePage {
    form: FieldForm,
    /// The numbers of the replies that are expected, each with its field.
    expected_replies: Vec<(u64, u8)>,
    focused: bool,
}

impl Page for UpdatePage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        self.form.set_fields(&context.snapshot.fields);
        for (id, reply) in context.replies.drain(..) {
            if let Some(at) = self.expected_replies.iter().position(|(n, _)| *n == id) {
                let (_, field) = self.expected_replies.swap_remove(at);
                self.form.apply_reply(field, &reply);
            }
        }
        if self.form.rows.is_empty() {
            ui.label("No field can be updated now.");
            ui.label(capitalize_first(&context.snapshot.headline));
            return true;
        }
        ui.label("Your text replaces the stored value. Stored values are not shown.");
        let mut sends = false;
        egui::ScrollArea::vertical().max_height(ui.available_height() - 48.0).show(ui, |ui| {
            sends = self.draw_rows(ui);
        });
        ui.horizontal(|ui| {
            let filled = !self.form.filled_values().is_empty();
            sends |= ui.add_enabled(filled, egui::Button::new("Send (Enter)")).clicked();
            let closes = ui.button("Close (Esc)").clicked();
            if sends {
                for (field, value) in self.form.filled_values() {
                    let request = AgentRequest::Update { field, value };
                    self.expected_replies.push((context.send_agent_request(request), field));
                }
            }
            !closes
        })
        .inner
    }
}

impl UpdatePage {
    /// Draws the rows. Returns whether Enter was pressed in one.
    fn draw_rows(&mut self, ui: &mut egui::Ui) -> bool {
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
                row.check_edit();
            }
            if edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                sends = true;
                edit.request_focus();
            }
            match (row.is_error, row.message.as_str()) {
                (_, "") => ui.add_space(4.0),
                (true, message) => drop(ui.label(format_error(message))),
                (false, message) => drop(ui.label(message.to_owned())),
            }
        }
        sends
    }
}
