//! `hide-user-data-from-log`: whether what clients have sent may be seen in the log. One switch for the process, as there is one
//! log. What a script logs, it logs on purpose: that is not hidden.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

static HIDDEN: AtomicBool = AtomicBool::new(false);

pub fn hide_user_data(hide: bool) {
    HIDDEN.store(hide, Ordering::Relaxed);
}

pub fn user_data_is_hidden() -> bool {
    HIDDEN.load(Ordering::Relaxed)
}

/// What the log shows of a text that a client has sent.
pub fn for_log(text: &[u8]) -> Cow<'_, str> {
    if user_data_is_hidden() {
        return Cow::Borrowed("*redacted*");
    }
    String::from_utf8_lossy(text)
}
