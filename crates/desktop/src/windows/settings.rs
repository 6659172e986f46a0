//! *Settings*: servers, standby mode, hotkeys, theme, and start at login.
//!
//! Keys that the administrator has locked are shown and cannot be changed. The page checks all
//! values before it sends them; the resident process writes the file.

use super::page::{Page, WindowContext, format_error};
use crate::hotkey::Hotkey;
use crate::ipc::RequestKind;
use crate::settings::{Settings, StandbyMode, Theme};
use eframe::egui::{self, RichText, TextEdit};

#[derive(Default)]
pub(super) struct SettingsPage {
    /// The edited settings, and whether to start at login.
    edited: Option<(Settings, bool)>,
    /// The servers, one on each line.
    servers: String,
    /// The result of the last save.
    result: Option<Result<String, String>>,
    /// The number of the reply that is expected.
    expected_reply: Option<u64>,
}

impl Page for SettingsPage {
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool {
        for (id, reply) in context.replies.drain(..) {
            if self.expected_reply == Some(id) {
                self.result = Some(reply);
            }
        }
        if self.edited.is_none() {
            let Some(settings) = context.snapshot.settings.clone() else { return true };
            self.servers = settings.servers.join("\n");
            self.edited = Some((settings, context.snapshot.autostart));
        }
        let mut stays = true;
        let bottom = ui.available_height() - 76.0;
        egui::ScrollArea::vertical().max_height(bottom).show(ui, |ui| self.draw_form(ui, context));
        match &self.result {
            Some(Ok(text)) => drop(ui.label(text.clone())),
            Some(Err(text)) => drop(ui.label(format_error(text))),
            None => drop(ui.label("")),
        }
        ui.horizontal(|ui| {
            if ui.button("Save").clicked() {
                self.save_settings(context);
            }
            stays = !ui.button("Close (Esc)").clicked();
        });
        stays
    }
}

impl SettingsPage {
    fn draw_form(&mut self, ui: &mut egui::Ui, context: &WindowContext) {
        let Some((settings, autostart)) = &mut self.edited else { return };
        let is_open = |key: &str| !settings.is_locked(key);
        let open = ["servers", "mode", "theme", "bar", "hotkeys", "panel"].map(is_open);
        let heading = draw_heading(ui, "Servers, one on each line, tried in this order", open[0]);
        ui.add_enabled_ui(open[0], |ui| {
            let edit = TextEdit::multiline(&mut self.servers).desired_rows(3);
            ui.add(edit.desired_width(f32::INFINITY)).labelled_by(heading.id);
        });
        draw_heading(ui, "When the recorder cannot be reached", open[1]);
        ui.add_enabled_ui(open[1], |ui| {
            let text = "Keep retrying, even in standby";
            ui.radio_value(&mut settings.mode, StandbyMode::SelfHealing, text);
            ui.radio_value(
                &mut settings.mode,
                StandbyMode::Strict,
                "Strict: in standby only Reconnect retries",
            );
        });
        draw_heading(ui, "Keys that work in every program", open[4]);
        ui.add_enabled_ui(open[4], |ui| {
            egui::Grid::new("keys").num_columns(2).show(ui, |ui| {
                let keys = &mut settings.hotkeys;
                for (name, key) in
                    [("Blackout", &mut keys.blackout), ("Recording", &mut keys.recording)]
                {
                    let label = ui.label(name);
                    ui.add(TextEdit::singleline(key).hint_text("none")).labelled_by(label.id);
                    ui.end_row();
                }
            });
            ui.add(egui::Label::new(RichText::new(&context.snapshot.hotkeys).small()).wrap());
        });
        draw_heading(ui, "Theme", open[2]);
        ui.add_enabled_ui(open[2], |ui| {
            ui.horizontal(|ui| {
                ui.radio_value(&mut settings.theme, Theme::System, "Same as the desktop");
                ui.radio_value(&mut settings.theme, Theme::Dark, "Dark");
                ui.radio_value(&mut settings.theme, Theme::Light, "Light");
            });
        });
        draw_heading(ui, "Panel that shows the icon", open[5]);
        ui.add_enabled_ui(open[5], |ui| {
            ui.horizontal(|ui| {
                ui.radio_value(&mut settings.panel, Theme::System, "Same as the desktop");
                ui.radio_value(&mut settings.panel, Theme::Dark, "Dark");
                ui.radio_value(&mut settings.panel, Theme::Light, "Light");
            });
        });
        ui.add_enabled_ui(open[3], |ui| {
            ui.checkbox(&mut settings.bar, "Open the button bar at start");
        });
        ui.checkbox(autostart, "Start when I log in");
    }

    /// Checks all values, and sends them.
    fn save_settings(&mut self, context: &mut WindowContext) {
        let Some((settings, autostart)) = &mut self.edited else { return };
        let lines = self.servers.lines().map(str::trim).filter(|line| !line.is_empty());
        settings.servers = lines.map(str::to_owned).collect();
        let servers = settings.servers.iter().map(|server| server.parse::<client::Address>());
        let bad_server = servers.filter_map(Result::err).map(|error| error.to_string()).next();
        let keys = [&settings.hotkeys.blackout, &settings.hotkeys.recording];
        let bad_key = keys.into_iter().filter_map(|key| Hotkey::parse(key).err()).next();
        let none = settings.servers.is_empty().then(|| "enter at least one server".to_owned());
        let bad = none.or(bad_server).or(bad_key.map(|error| error.to_string()));
        if let Some(bad) = bad {
            self.result = Some(Err(bad));
            return;
        }
        let settings = Box::new(settings.clone());
        let kind = RequestKind::Settings { settings, autostart: *autostart };
        self.expected_reply = Some(context.send_request(kind));
    }
}

fn draw_heading(ui: &mut egui::Ui, text: &str, open: bool) -> egui::Response {
    ui.add_space(6.0);
    let text = if open { text.to_owned() } else { format!("{text} (set by your administrator)") };
    ui.label(RichText::new(text).strong())
}
