use std::collections::BTreeMap;

use serde::Deserialize;

use crate::support::from_hex;

/// What was recorded of one exchange.
#[derive(Deserialize, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// The state of the lessor that answered.
    pub(crate) lessor: Option<String>,
    /// What etcd's client was called with.
    pub(crate) call: Option<String>,
    pub(crate) request: Option<Request>,
    pub(crate) response: Option<Response>,
    /// What etcd's client returned.
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) took_ms: u64,
}

#[derive(Deserialize, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    body_hex: String,
}

#[derive(Deserialize, Debug)]
pub(crate) struct Response {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    body_hex: String,
}

impl Request {
    pub(crate) fn body(&self) -> Vec<u8> {
        // The one that is too long to be written down.
        match self.body_hex.strip_suffix("00000000000000000000...") {
            Some(head) => [from_hex(head), vec![0; 73_728]].concat(),
            None => from_hex(&self.body_hex),
        }
    }
}

impl Response {
    pub(crate) fn body(&self) -> Vec<u8> {
        from_hex(&self.body_hex)
    }
}

/// All entries of a kind.
pub(crate) fn entries(kind: &str) -> Vec<Entry> {
    #[derive(Deserialize)]
    struct File {
        entries: Vec<Entry>,
    }
    let file = include_str!("../leasehttp-golden.json");
    let file: File = serde_json::from_str(file).expect("the record parses");
    assert_eq!(file.entries.len(), 112, "none is missing");
    let mut entries = file.entries;
    entries.retain(|entry| entry.kind == kind);
    entries
}
