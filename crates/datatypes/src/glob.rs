//! The glob patterns of KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET.
//!
//! `*` any bytes, `?` one byte, `[...]` one byte of a class with ranges and `^` for its complement, `\` takes the
//! next byte literally. Every element but `*` matches exactly one byte, so it is enough to go back to the last
//! star: the time is at most pattern times text, whatever the pattern. A text for which more than a thousand stars
//! would have to be tried matches nothing, as in Redis since 7.2.6, so that pattern times text stays bearable. An
//! unterminated class ends with the pattern, and a reversed range is turned around, as clients of Redis know it.

/// Stars that are tried, those at the end aside.
const MAX_STARS: usize = 1000;

/// Whether the whole of `text` matches `pattern`. With `nocase`, ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    // Known behaviour of Redis, seen in PSUBSCRIBE: not even a star matches the empty text.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut pattern_at = 0;
    let mut text_at = 0;
    // Where to go on after the last star, and the first text byte that the star hasn't taken yet.
    let mut last_star: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        if pattern.get(pattern_at) == Some(&b'*') {
            while pattern.get(pattern_at) == Some(&b'*') {
                pattern_at += 1;
            }
            if pattern_at == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            last_star = Some((pattern_at, text_at));
            continue;
        }
        match text.get(text_at) {
            None if pattern_at == pattern.len() => return true,
            None => return false,
            Some(&byte) => {
                if pattern_at < pattern.len() {
                    let (matched, len) = match_one(&pattern[pattern_at..], byte, nocase);
                    if matched {
                        pattern_at += len;
                        text_at += 1;
                        continue;
                    }
                }
            }
        }
        let Some((after_star, taken)) = last_star else {
            return false;
        };
        last_star = Some((after_star, taken + 1));
        pattern_at = after_star;
        text_at = taken + 1;
    }
}

/// Matches the element at the head of a non-empty `pattern`, which isn't a star; also says how long it is.
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (matched, len) = match_class(class, byte, nocase);
            (matched, len + 1)
        }
        [b'\\', literal, ..] => (same(*literal, byte, nocase), 2),
        [literal, ..] => (same(*literal, byte, nocase), 1),
        [] => (false, 0),
    }
}

/// `class` starts after the opening bracket; the length includes the closing one, if there is one.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                found |= in_range(*from, *to, byte, nocase);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || nocase && a.eq_ignore_ascii_case(&b)
}

fn in_range(from: u8, to: u8, byte: u8, nocase: bool) -> bool {
    // The ends are put in order before their case is folded, which may leave an empty range.
    let (from, to) = (from.min(to), from.max(to));
    if nocase {
        let range = from.to_ascii_lowercase()..=to.to_ascii_lowercase();
        range.contains(&byte.to_ascii_lowercase())
    } else {
        (from..=to).contains(&byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_stars_are_enough() {
        let text = vec![b'a'; 5000];
        for (stars, found) in [(1000, true), (1001, false), (2500, false)] {
            assert_eq!(matches(&b"*a".repeat(stars), &text, false), found, "{stars} stars");
            assert_eq!(matches(&b"***a".repeat(stars), &text, false), found, "{stars} runs");
        }
        assert!(matches(&vec![b'*'; 5000], &text, false));
    }

    /// Pattern, texts that match, texts that don't; the answers are those of Redis 7.0.15 to KEYS.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        ("", &[""], &["a"]),
        ("*", &["a", "abc"], &[""]),
        ("**", &["a", "abc"], &[""]),
        ("?", &["a", "["], &["", "ab"]),
        ("?*", &["a", "ab"], &[""]),
        ("*?", &["a", "ab"], &[""]),
        ("a*", &["a", "ab"], &["", "ba"]),
        ("a**", &["a", "ab"], &["b"]),
        ("*a*b*", &["ab", "xaxbx"], &["ba", "a"]),
        ("h[ae]llo", &["hallo", "hello"], &["hillo"]),
        ("h[^e]llo", &["hallo"], &["hello"]),
        ("h[a-b]llo", &["hallo", "hbllo"], &["hcllo", "h-llo"]),
        ("[]", &[], &["", "a", "[", "]", "[]"]),
        ("[^]", &["a", "]"], &["", "^]"]),
        ("[]a]", &[], &["a", "]", "]a]", "a]"]),
        ("[^]]", &["a]"], &["a", "]"]),
        ("[[]", &["["], &["]", "[["]),
        ("[", &[], &["", "[", "a"]),
        ("[^", &["a", "["], &[""]),
        ("[a", &["a"], &["b", "[a"]),
        ("[^a", &["b"], &["a"]),
        ("[a-", &["a", "-"], &["b"]),
        ("[a-z", &["a", "m", "z"], &["A", "-"]),
        ("[z-a]", &["a", "m", "z"], &["A", "-"]),
        // The range takes the closing bracket for its end.
        ("[a-]", &["a", "]", "^"], &["-", "b"]),
        ("[-a]", &["-", "a"], &["b", "]"]),
        ("[a-z-9]", &["a", "z", "-", "9"], &["5"]),
        ("[--]", &["-", "]", "A"], &["a"]),
        ("[---]", &["-"], &["a", "]"]),
        ("[!a]", &["!", "a"], &["b"]),
        ("[\\]]", &["]"], &["\\", "a"]),
        ("[\\-]", &["-"], &["\\", "a"]),
        ("[a\\-z]", &["a", "-", "z"], &["m", "\\"]),
        ("[\\a-z]", &["a", "-", "z"], &["m"]),
        // An escape is no end of a range: the range ends at the backslash.
        ("[a-\\]", &["a", "\\", "]"], &["b"]),
        ("[\\", &["\\"], &["a"]),
        ("\\*", &["*"], &["a", "\\"]),
        ("\\a", &["a"], &["\\a"]),
        ("\\", &["\\"], &["", "a"]),
        ("a\\", &["a\\"], &["a"]),
        ("*\\", &["\\", "a\\"], &["a"]),
        ("*[", &[], &["a", "["]),
    ];

    #[test]
    fn matches_as_clients_know_it() {
        for (pattern, matching, others) in CASES {
            for text in *matching {
                assert!(
                    matches(pattern.as_bytes(), text.as_bytes(), false),
                    "{pattern:?} should match {text:?}"
                );
            }
            for text in *others {
                assert!(
                    !matches(pattern.as_bytes(), text.as_bytes(), false),
                    "{pattern:?} should not match {text:?}"
                );
            }
        }
    }

    #[test]
    fn folds_case_only_when_asked() {
        // Answers of Redis 7.0.15 to CONFIG GET for the name `hz`.
        for (pattern, expected) in [
            ("HZ*", true),
            ("[HI]z", true),
            ("\\H[z]", true),
            ("[\\H]z", false),
            ("[\\h]z", true),
            ("[A-H]z", true),
            ("[a-H]z", false),
            ("[h-A]z", true),
            ("[h-Z]z", false),
            ("[^H]z", false),
            ("[z-A]Z", true),
            ("[Z-a]z", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), b"hz", true), expected, "{pattern}");
        }
        assert!(!matches(b"HZ*", b"hz", false));
    }

    #[test]
    fn many_stars_cost_no_exponential_time() {
        let pattern = "a*".repeat(200) + "b";
        let text = "a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes(), false));
        assert!(matches(b"*a*a*a*a*a*a*a*a*", text.as_bytes(), false));
    }

    #[test]
    fn bytes_need_not_be_text() {
        assert!(matches(b"[\x80-\xff]", b"\xc3", false));
        assert!(matches(b"?\0*", b"\xff\0\xff", false));
    }
}
