//! Rows of the host's.

use super::{Case, declare, keys, meta};

declare! {
    get_absent => "a table or row that is not there reads as nothing",
    put_get_delete => "host rows are put, replaced, read and deleted",
    any_bytes => "keys and values are any bytes, empty ones included",
    scan_order => "scan delivers by ascending bytes of the key",
    delete_range => "delete_range removes from its start up to but not including its end",
    separate_tables => "tables are apart from each other",
    blind_delete => "deleting host rows that are not there is no error",
}

fn get_absent(case: &Case<'_>) {
    let backend = case.open();
    case.equal("get", &case.get(&*backend, &keys(), b"k"), &None);
    case.equal_lists("scan", &case.scan(&*backend, &keys()), &[]);
    case.commit(&*backend, |batch| batch.put(keys(), "k", "v"));
    case.equal("get of a row", &case.get(&*backend, &keys(), b"l"), &None);
}

fn put_get_delete(case: &Case<'_>) {
    let backend = case.open();
    for value in ["first", "second"] {
        case.commit(&*backend, |batch| batch.put(keys(), "k", value));
        let expected = Some(value.into());
        case.equal("get", &case.get(&*backend, &keys(), b"k"), &expected);
    }
    case.commit(&*backend, |batch| batch.delete(keys(), "k"));
    case.equal("after delete", &case.get(&*backend, &keys(), b"k"), &None);
    case.equal_lists("scan", &case.scan(&*backend, &keys()), &[]);
}

fn any_bytes(case: &Case<'_>) {
    let backend = case.open();
    let rows = [
        (vec![], b"of the empty key".to_vec()),
        (vec![0], vec![]),
        (vec![0, 0], vec![0; 70_000]),
        (vec![0xff; 300], (0..=255).collect()),
    ];
    case.commit(&*backend, |batch| {
        for (key, value) in &rows {
            batch.put(keys(), key.clone(), value.clone());
        }
    });
    for (key, value) in &rows {
        let found = case.get(&*backend, &keys(), key);
        case.equal("get", &found.as_ref(), &Some(value));
    }
    case.equal_lists("scan", &case.scan(&*backend, &keys()), &rows);
}

fn scan_order(case: &Case<'_>) {
    let ascending: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"b", b"\xff"];
    let backend = case.open();
    case.commit(&*backend, |batch| {
        for key in ascending.iter().rev() {
            batch.put(keys(), *key, "v");
        }
    });
    let rows = case.scan(&*backend, &keys());
    let found: Vec<&[u8]> = rows.iter().map(|(key, _)| key.as_slice()).collect();
    case.equal_lists("keys", &found, &ascending);
}

fn delete_range(case: &Case<'_>) {
    let ranges: [(&str, Option<&str>, &str); 6] = [
        ("b", Some("d"), "ade"),
        ("", Some("b"), "bcde"),
        ("c", None, "ab"),
        ("bb", Some("cc"), "abde"),
        ("d", Some("b"), "abcde"),
        ("c", Some("c"), "abcde"),
    ];
    let backend = case.open();
    for (start, end, remaining) in ranges {
        case.commit(&*backend, |batch| {
            for key in ["a", "b", "c", "d", "e"] {
                batch.put(keys(), key, key);
            }
        });
        case.commit(&*backend, |batch| {
            batch.delete_range(keys(), start, end.map(Vec::from));
        });
        let rows = case.scan(&*backend, &keys());
        let found = rows.iter().map(|(key, _)| String::from_utf8_lossy(key));
        let what = format!("keys left of a to e without {start:?} to {end:?}");
        case.equal(&what, &found.collect::<String>(), &remaining.to_owned());
    }
}

fn separate_tables(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| {
        batch.put(keys(), "k", "of keys");
        batch.put(meta(), "k", "of meta");
        batch.put(keys(), "l", "of keys");
    });
    case.commit(&*backend, |batch| batch.delete_range(keys(), "", None));
    case.equal_lists("keys", &case.scan(&*backend, &keys()), &[]);
    let expected = [("k".into(), "of meta".into())];
    case.equal_lists("meta", &case.scan(&*backend, &meta()), &expected);
}

fn blind_delete(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| batch.delete(keys(), "k"));
    case.commit(&*backend, |batch| batch.delete_range(meta(), "a", None));
    case.commit(&*backend, |batch| {
        batch.put(keys(), "l", "v");
        batch.delete(keys(), "k");
    });
    let expected = [("l".into(), "v".into())];
    case.equal_lists("scan", &case.scan(&*backend, &keys()), &expected);
}
