//! A headless Chromium, as a person uses it: types, clicks, presses keys, looks.

use crate::process::Process;
use crate::wait::{TIMEOUT, until, until_within};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
pub use thirtyfour::Key;
use thirtyfour::prelude::*;
use thirtyfour::{TypingData, WindowHandle};

pub struct Browser {
    driver: Option<WebDriver>,
    runtime: tokio::runtime::Runtime,
    url: String,
    pub profile: tempfile::TempDir,
    _chromedriver: Process,
}

/// How a browser differs from the usual one.
#[derive(Clone, Copy, Default)]
pub struct Look {
    pub dark: bool,
    pub phone: bool,
}

impl Browser {
    /// For the pages below this address.
    pub fn new(url: &str) -> Browser {
        Browser::with(url, Look::default())
    }

    pub fn with(url: &str, look: Look) -> Browser {
        let chromedriver =
            Process::start(Command::new("chromedriver").arg("--port=0").stderr(Stdio::null()));
        let port = until("chromedriver's port", || {
            let line = chromedriver.line();
            let port = line.split("started successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = tempfile::Builder::new().prefix("hushbox-browser-").tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.accept_insecure_certs(true).unwrap();
        let size = if look.phone { "--window-size=520,900" } else { "--window-size=1280,900" };
        for arg in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
            "--hide-scrollbars",
            size,
        ] {
            wanted.add_arg(arg).unwrap();
        }
        if look.dark {
            wanted.add_arg("--blink-settings=preferredColorScheme=0").unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let at = format!("http://127.0.0.1:{port}");
        let driver = runtime.block_on(WebDriver::new(at, wanted)).unwrap();
        let (url, driver) = (url.to_owned(), Some(driver));
        Browser { driver, runtime, url, profile, _chromedriver: chromedriver }
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().unwrap()
    }

    pub fn open(&self, path: &str) {
        self.runtime.block_on(self.driver().goto(format!("{}{path}", self.url))).unwrap();
    }

    /// What a script returns.
    pub fn js(&self, script: &str) -> Value {
        let ran = self.runtime.block_on(self.driver().execute(script, Vec::new()));
        ran.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// What a script hands to `done`.
    pub fn js_later(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        let ran = self.runtime.block_on(self.driver().execute_async(script, Vec::new()));
        ran.unwrap().json().clone()
    }

    /// Waits until an expression is true.
    pub fn sees(&self, expression: &str) {
        self.sees_within(TIMEOUT, expression);
    }

    /// The same with another time limit.
    pub fn sees_within(&self, limit: Duration, expression: &str) {
        let script = format!("try {{ return !!({expression}); }} catch {{ return false; }}");
        until_within(limit, expression, || {
            let ran = self.runtime.block_on(self.driver().execute(&*script, Vec::new()));
            // In the middle of a page change there is nothing to ask.
            ran.is_ok_and(|value| value.json() == &Value::Bool(true)).then_some(())
        });
    }

    pub fn text(&self, id: &str) -> String {
        let script = format!("return document.getElementById({id:?}).textContent");
        self.js(&script).as_str().unwrap().to_owned()
    }

    pub fn waits_for_text(&self, id: &str, text: &str) {
        self.sees(&format!("document.getElementById({id:?}).textContent.includes({text:?})"));
    }

    pub fn is_open(&self, id: &str) -> bool {
        self.js(&format!("return !document.getElementById({id:?}).disabled")) == Value::Bool(true)
    }

    pub fn waits_open(&self, id: &str) {
        self.sees(&format!("!document.getElementById({id:?}).disabled"));
    }

    fn find(&self, css: &str) -> WebElement {
        self.runtime.block_on(self.driver().find(By::Css(css))).unwrap()
    }

    pub fn click(&self, css: &str) {
        self.runtime.block_on(self.find(css).click()).unwrap();
    }

    pub fn press(&self, id: &str) {
        self.waits_open(id);
        self.click(&format!("[id={id:?}]"));
    }

    pub fn types(&self, css: &str, text: &str) {
        let field = self.find(css);
        self.runtime.block_on(async { field.clear().await.unwrap() });
        self.runtime.block_on(field.send_keys(text)).unwrap();
    }

    /// A key, wherever the focus is.
    pub fn key(&self, keys: impl Into<TypingData>) {
        let keys = self.driver().action_chain().send_keys(keys);
        self.runtime.block_on(keys.perform()).unwrap();
    }

    pub fn tab(&self) -> WindowHandle {
        self.runtime.block_on(self.driver().window()).unwrap()
    }

    pub fn new_tab(&self) -> WindowHandle {
        let tab = self.runtime.block_on(self.driver().new_tab()).unwrap();
        self.to(&tab);
        tab
    }

    pub fn to(&self, tab: &WindowHandle) {
        self.runtime.block_on(self.driver().switch_to_window(tab.clone())).unwrap();
    }

    /// Cookies that a script can see: none of ours.
    pub fn cookies(&self) -> Vec<String> {
        let all = self.runtime.block_on(self.driver().get_all_cookies()).unwrap();
        all.iter().map(|cookie| cookie.name.clone()).collect()
    }

    /// What it sends along with every request.
    pub fn cookie_header(&self) -> String {
        let all = self.runtime.block_on(self.driver().get_all_cookies()).unwrap();
        let all = all.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value));
        all.collect::<Vec<_>>().join("; ")
    }

    /// A picture of the page.
    pub fn screenshot(&self, path: &Path) {
        self.runtime.block_on(self.driver().screenshot(path)).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // Without an answer its processes end with the driver.
            drop(self.runtime.block_on(driver.quit()));
        }
    }
}
