//! Browser helpers for the portal: login, accessibility checks, screenshots.

use super::stack::PASSWORD;
pub use testkit::browser::{Browser, Look};

/// Script of the accessibility checker, as shipped.
const AXE_SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node_modules/axe-core/axe.min.js");

pub trait AtPortal {
    fn log_in(&self, name: &str);

    /// Asserts that axe finds no fault by WCAG 2.2 AA.
    fn assert_accessible(&self, what: &str);

    /// Saves a screenshot for docs/ when BLESS=1 is set.
    fn save_screenshot(&self, name: &str);
}

impl AtPortal for Browser {
    fn log_in(&self, name: &str) {
        self.open("/login");
        self.types("#username", name);
        self.types("#password", PASSWORD);
        self.click("form button.main");
        self.sees("!location.pathname.startsWith('/login') && document.querySelector('.who')");
    }

    fn assert_accessible(&self, what: &str) {
        // The page's policy blocks inline scripts; WebDriver's scripts are exempt.
        let axe = std::fs::read_to_string(AXE_SCRIPT);
        let axe = axe.unwrap_or_else(|error| panic!("{AXE_SCRIPT}: {error}: run `make setup`"));
        self.js(&format!("{axe}; window.axe = axe; return true;"));
        let found = self.js_later(
            "window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', \
             'wcag22aa', 'best-practice'] }).then((r) => done(r.violations.map((v) => v.id + ': ' \
             + v.help + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | '))))",
        );
        assert_eq!(found, serde_json::json!([]), "{what}");
    }

    fn save_screenshot(&self, name: &str) {
        if std::env::var_os("BLESS").is_none() {
            return;
        }
        let folder = testkit::root().join("docs/pictures");
        std::fs::create_dir_all(&folder).unwrap();
        self.screenshot(&folder.join(format!("portal-{name}.png")));
    }
}
