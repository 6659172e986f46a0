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
    /// The same for the texts of the call before.
    earlier_replies: Vec<u64>,
    focused: bool,
}

impl Page for UpdatePage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        self.form.set_fields(&context.snapshot.fields, context.snapshot.update_call);
        for (id, reply) in context.replies.drain(..) {
            self.apply_earlier_reply(id, &reply);
            if let Some(at) = self.expected_replies.iter().position(|(n, _)| *n == id) {
                let (_, field) = self.expected_replies.swap_remove(at);
                self.form.apply_reply(field, &reply);
            }
        }
        self.draw_earlier(ui, context);
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
                    let (call, call_number) = (None, self.form.call);
                    let request = AgentRequest::Update { field, value, call, call_number };
                    self.expected_replies.push((context.send_agent_request(request), field));
                }
            }
            !closes
        })
        .inner
    }
}

impl UpdatePage {
    fn apply_earlier_reply(&mut self, id: u64, reply: &Result<String, String>) {
        let Some(at) = self.earlier_replies.iter().position(|n| *n == id) else { return };
        self.earlier_replies.swap_remove(at);
        match (reply, &mut self.form.earlier) {
            (Err(reason), Some(earlier)) => earlier.error.clone_from(reason),
            (Ok(_), Some(earlier))
                if earlier.error.is_empty() && self.earlier_replies.is_empty() =>
            {
                self.form.earlier = None;
            }
            _ => {}
        }
    }

    /// Offers the texts that were typed in the call before.
    fn draw_earlier(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) {
        let Some(earlier) = &mut self.form.earlier else { return };
        ui.label(RichText::new("You typed this in the call before, and did not send it:").strong());
        for (_, label, text) in &earlier.texts {
            ui.label(format!("{label}: {text}"));
        }
        if !earlier.error.is_empty() {
            ui.label(format_error(&earlier.error));
        }
        let mut discards = false;
        ui.horizontal(|ui| {
            if ui.button("Save in the call before").clicked() {
                earlier.error.clear();
                for (field, _, value) in &earlier.texts {
                    let (field, value) = (*field, value.clone());
                    let (call, call_number) = (None, Some(earlier.call));
                    let request = AgentRequest::Update { field, value, call, call_number };
                    self.earlier_replies.push(context.send_agent_request(request));
                }
            }
            discards = ui.button("Discard").clicked();
        });
        ui.separator();
        if discards {
            self.form.earlier = None;
        }
    }

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
