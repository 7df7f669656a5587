use std::fmt::Write as _;

/// The bytes that a path stands for: `%41` is `A`. What is no escape stays as it is.
pub(super) fn unescape(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(from_hex);
        bytes.push(escaped.unwrap_or(*first));
        rest = escaped.map_or(behind, |_| &behind[2..]);
    }
    bytes
}

/// Text in double quotes, with escapes for whatever is not printable: what Go's `%q` makes of it.
///
/// What is printable is decided by the standard library's tables. They have the categories that Go's
/// have, and may be of another version of Unicode.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_quoted(&mut quoted, c));
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    quoted.push('"');
    quoted
}

fn from_hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (high, low) = (digit(digits[0])?, digit(digits[1])?);
    u8::try_from(high << 4 | low).ok()
}

fn push_quoted(quoted: &mut String, c: char) {
    let named = match c {
        '"' | '\\' => Some(c),
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        _ => None,
    };
    let code = u32::from(c);
    match named {
        Some(name) => quoted.extend(['\\', name]),
        None if is_printable(c) => quoted.push(c),
        None if code < 0x80 => write!(quoted, "\\x{code:02x}").expect("a string takes everything"),
        None if code < 0x1_0000 => {
            write!(quoted, "\\u{code:04x}").expect("a string takes everything");
        }
        None => write!(quoted, "\\U{code:08x}").expect("a string takes everything"),
    }
}

// Behind another character a combining one is not escaped by the standard library, nor by Go.
fn is_printable(c: char) -> bool {
    let mut buffer = [0; 4];
    let pair = ["a", c.encode_utf8(&mut buffer)].concat();
    pair.escape_debug().eq(pair.chars()) || c == '\''
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes_and_everything_else_stays() {
        for (path, bytes) in [
            ("/leases", &b"/leases"[..]),
            ("/%6ceases", b"/leases"),
            ("/%6Ceases", b"/leases"),
            ("%ff%0a%C3%BC", b"\xff\n\xc3\xbc"),
            ("%%41", b"%A"),
            ("%4", b"%4"),
            ("%", b"%"),
            ("%4g%", b"%4g%"),
            ("a+b", b"a+b"),
            ("", b""),
        ] {
            assert_eq!(unescape(path), bytes, "{path}");
        }
    }

    // The right side is what Go 1.26's fmt.Sprintf("%q", x) prints.
    #[test]
    fn quotes_are_gos() {
        for (text, quoted) in [
            (&b""[..], r#""""#),
            (b"/a b'c", r#""/a b'c""#),
            (b"\"\\", r#""\"\\""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("ü€😀".as_bytes(), r#""ü€😀""#),
            (
                "\u{a0}\u{200b}\u{feff}".as_bytes(),
                r#""\u00a0\u200b\ufeff""#,
            ),
            ("\u{e0001}".as_bytes(), r#""\U000e0001""#),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
