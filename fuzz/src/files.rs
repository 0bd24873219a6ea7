//! Readers of files.

use fibpro::service::userstore::UserList;
use rpc_runtime::fuzzing;
use rpc_runtime::{IdentityKeys, Server};

rpc_runtime::flag! {
    /// A number.
    static FUZZED_NUMBER: u64 = 100, dynamic;
    /// A text.
    static FUZZED_TEXT: String = "first".to_owned();
}

pub(crate) fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match IdentityKeys::parse(text) {
        Ok(keys) => {
            let ids = keys.ids();
            assert!((1..=16).contains(&ids.len()), "{ids:?}");
            crate::assert_printable(&ids.join("\n"));
        }
        Err(error) => crate::assert_printable(&error.to_string()),
    }
}

pub(crate) fn flags(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let flags = Server::new("fuzz").flags();
    let values = || {
        let names = ["fuzzed_number", "fuzzed_text"];
        names.map(|name| flags.describe(name).map(|flag| flag.value).ok())
    };
    let before = values();
    match fuzzing::apply_flags_file(&flags, text) {
        Ok(()) => {
            let first = values();
            fuzzing::apply_flags_file(&flags, text).expect("a valid file is valid again");
            assert_eq!(values(), first);
        }
        Err(error) => {
            assert_eq!(values(), before, "an invalid file changes nothing");
            crate::assert_printable(&error.to_string());
        }
    }
}

pub(crate) fn users(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match UserList::parse(text) {
        Ok(list) => {
            let json = text.trim_start_matches('\u{feff}');
            let entries: Vec<serde_json::Value> = serde_json::from_str(json).expect("valid JSON");
            assert_eq!(list.len(), entries.len());
        }
        Err(error) => crate::assert_printable(&error.to_string()),
    }
}

pub(crate) fn spool(input: &[u8]) {
    let records = fuzzing::read_segment(input);
    assert!(records.len() <= input.split(|byte| *byte == b'\n').count());
    let again = fuzzing::read_segment(&fuzzing::write_segment(&records));
    assert_eq!(again, records);
}
