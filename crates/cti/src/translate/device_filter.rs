//! Which of the exchange's telephones are devices of the box.

use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a device in the line protocol.
const DEVICE_BYTES_MAX: usize = 32;

/// Decides by the name that the exchange uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Devices of the box; `None`: every telephone is one.
    pub known: Option<BTreeSet<String>>,
    /// From the exchange's name to the box's device, where the two differ.
    pub renamed: BTreeMap<String, String>,
}

impl DeviceFilter {
    /// The device of a telephone, or `None` if the box does not record it.
    #[must_use]
    pub fn device_of(&self, telephone: &str) -> Option<String> {
        let device = self.renamed.get(telephone).map_or(telephone, String::as_str);
        let fits = (1..=DEVICE_BYTES_MAX).contains(&device.len()) && device != "-";
        let known = self.known.as_ref().is_none_or(|known| known.contains(device));
        (fits && known).then(|| device.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_devices_pass_under_their_name_at_the_box() {
        let mut filter = DeviceFilter::default();
        assert_eq!(filter.device_of("trunk"), Some("trunk".to_owned()));
        filter.known = Some(["1001".to_owned()].into());
        filter.renamed.insert("jane".to_owned(), "1001".to_owned());
        let found = ["1001", "jane", "trunk", ""].map(|name| filter.device_of(name));
        let device = Some("1001".to_owned());
        assert_eq!(found, [device.clone(), device, None, None]);
        assert_eq!(DeviceFilter::default().device_of(&"1".repeat(33)), None);
    }
}
