//! The glob patterns of KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET.
//!
//! `*` any bytes, `?` one byte, `[...]` one byte of a class with ranges and `^` for its complement, `\` takes the
//! next byte literally. Every element but `*` matches exactly one byte, so it is enough to go back to the last
//! star: the time is at most pattern times text, whatever the pattern. An unterminated class ends with
//! the pattern, and a reversed range is turned around, as clients of Redis know it.

/// Whether the whole of `text` matches `pattern`. With `nocase`, ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let mut pattern_at = 0;
    let mut text_at = 0;
    // Where to go on after the last star, and the first text byte that the star hasn't taken yet.
    let mut last_star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(pattern_at) == Some(&b'*') {
            pattern_at += 1;
            if pattern_at == pattern.len() {
                return true;
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
