//! The button bar: two large buttons above all other windows, with the blackout's time.
//!
//! `ui::button` decides their texts and actions. Each state is shown as text, not by colour alone.

use super::page::{Page, WindowContext};
use crate::agent_request::{AgentCommand, AgentRequest};
use crate::ui::button::{BarButton, Tone, blackout_button, recording_button};
use eframe::egui::{self, Button, Color32, RichText, vec2};

#[derive(Default)]
pub(super) struct BarPage {
    /// The error of the last request.
    error: String,
}

impl Page for BarPage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        for (_, reply) in context.replies.drain(..) {
            self.error = reply.err().unwrap_or_default();
        }
        let size = vec2((ui.available_width() - 10.0) / 2.0, ui.available_height());
        let buttons = [
            recording_button(&context.snapshot),
            blackout_button(&context.snapshot, context.blackout_ms()),
        ];
        let row = ui.horizontal(|ui| {
            let pressed = buttons.iter().filter(|button| draw_button(ui, button, size));
            pressed.map(|button| button.command).collect::<Vec<AgentCommand>>()
        });
        for command in row.inner {
            context.send_agent_request(AgentRequest::Command(command));
        }
        let hover = if self.error.is_empty() { &context.snapshot.headline } else { &self.error };
        row.response.on_hover_text(hover);
        true
    }

    fn inner_margin(&self) -> i8 {
        8
    }
}

/// Draws a button. Returns whether it was pressed.
fn draw_button(ui: &mut egui::Ui, button: &BarButton, size: egui::Vec2) -> bool {
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
