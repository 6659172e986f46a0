//! *Check status*: the status as text, and the recent past as a timeline (requirement A12).
//!
//! The rows of the timeline are those of `ui::timeline`. There is no sound level, because the box
//! sends agents none.

use super::page::{Page, WindowContext};
use crate::agent_request::AgentRequest;
use crate::shell::clock;
use crate::ui::text::{capitalize_first, format_minutes};
use eframe::egui::{self, RichText, Sense, vec2};

/// The length of the timeline.
const TIMELINE_MS: u64 = 10 * 60_000;
/// The width of the headings.
const HEADING_WIDTH: f32 = 110.0;

pub(super) struct StatusPage;

impl Page for StatusPage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        ui.heading(capitalize_first(&context.snapshot.headline));
        ui.separator();
        let mut stays = true;
        egui::ScrollArea::vertical().max_height(ui.available_height() - 44.0).show(ui, |ui| {
            draw_rows(ui, context);
            ui.separator();
            draw_timeline(ui, context);
        });
        ui.horizontal(|ui| {
            let reconnect = egui::Button::new("Reconnect");
            if ui.add_enabled(!context.snapshot.connected, reconnect).clicked() {
                context.send_agent_request(AgentRequest::Reconnect);
            }
            stays = !ui.button("Close (Esc)").clicked();
        });
        stays
    }
}

fn draw_rows(ui: &mut egui::Ui, context: &WindowContext) {
    egui::Grid::new("words").num_columns(2).spacing([16.0, 8.0]).show(ui, |ui| {
        for (heading, text) in &context.snapshot.status {
            ui.label(RichText::new(heading).strong());
            let text = match heading.as_str() {
                "Blackout" if context.snapshot.blackout => {
                    format!("on for {}", format_minutes(context.blackout_ms()))
                }
                _ => text.clone(),
            };
            ui.add(egui::Label::new(text).wrap());
            ui.end_row();
        }
    });
}

fn draw_timeline(ui: &mut egui::Ui, context: &WindowContext) {
    ui.label(RichText::new("Last 10 minutes").strong());
    let passed = clock::now_ms().saturating_sub(context.received_ms);
    for (row, spans) in &context.snapshot.timeline {
        ui.horizontal(|ui| {
            let left = egui::Layout::left_to_right(egui::Align::Center);
            ui.allocate_ui_with_layout(vec2(HEADING_WIDTH, 16.0), left, |ui| {
                ui.set_min_width(HEADING_WIDTH);
                ui.label(row);
            });
            let size = vec2(ui.available_width(), 16.0);
            let (area, response) = ui.allocate_exact_size(size, Sense::hover());
            let painter = ui.painter_at(area);
            let (fill, edge) =
                (ui.visuals().extreme_bg_color, ui.visuals().widgets.noninteractive.bg_stroke);
            painter.rect(area, 3.0, fill, edge, egui::StrokeKind::Inside);
            for (from, to) in spans {
                // A span that was active in the snapshot is active now.
                let from = from + passed;
                let to = if *to == 0 { 0 } else { to + passed };
                let x = |ago_ms: u64| area.right() - timeline_share(ago_ms) * area.width();
                let mut bar = area;
                (bar.min.x, bar.max.x) = (x(from), x(to).max(x(from) + 1.0));
                painter.rect_filled(bar, 2.0, ui.visuals().text_color());
            }
            let seconds: u64 = spans.iter().map(|(from, to)| (from - to) / 1000).sum();
            response.on_hover_text(format!("{row}: {} in total", format_minutes(seconds * 1000)));
        });
    }
    ui.horizontal(|ui| {
        ui.add_space(HEADING_WIDTH + 10.0);
        ui.small("10 min ago");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.small("now"));
    });
}

/// The position of a moment in the timeline: 0 is now, 1 its oldest end.
fn timeline_share(ago_ms: u64) -> f32 {
    let seconds = u16::try_from(ago_ms.min(TIMELINE_MS) / 1000).unwrap_or(u16::MAX);
    let all = u16::try_from(TIMELINE_MS / 1000).unwrap_or(u16::MAX);
    f32::from(seconds) / f32::from(all)
}
