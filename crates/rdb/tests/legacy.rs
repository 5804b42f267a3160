//! Every encoding that was ever written is understood, and makes the same value as commands would.

mod samples;

use respire_rdb::write::Options;
use respire_rdb::{Batch, DecodeOptions, Family, Item, RdbError, Scanner, decode, dump, restore};
use samples::*;

const PAIRS: &[&str] = &["a", "1", "b", "-5", "long", "some longer text"];
const FIELDS: &[&str] =
    &["\"a\"=\"1\" None", "\"b\"=\"-5\" None", "\"long\"=\"some longer text\" None"];
/// Integers at the edges of each encoding, and texts around them.
const TEXTS: &[&str] = &[
    "0",
    "12",
    "13",
    "-1",
    "127",
    "-128",
    "128",
    "-129",
    "32767",
    "-32768",
    "32768",
    "-32769",
    "8388607",
    "-8388608",
    "8388608",
    "2147483647",
    "-2147483648",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "",
    "x",
    "007",
];

struct Sample {
    kind: u8,
    family: Family,
    payload: Vec<u8>,
    expected: Vec<String>,
    encoding: &'static str,
}

fn sample(kind: u8, payload: Vec<u8>, expected: &[&str], encoding: &'static str) -> Sample {
    let expected = expected.iter().map(|line| (*line).to_owned()).collect();
    Sample { kind, family: Family::Redis, payload, expected, encoding }
}

fn quoted(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("\"{text}\"")).collect()
}

fn counted(n: usize, parts: &[Vec<u8>]) -> Vec<u8> {
    [length(n), parts.concat()].concat()
}

fn simple() -> Vec<Sample> {
    let lzf = vec![0xc3, 8, 14, 1, b'a', b'b', 0xe0, 0, 0, 0x20, 1];
    let ascending = &["\"b\" -5.0", "\"a\" 1.0"];
    let scored =
        counted(2, &[string(b"a"), vec![1, b'1'], string(b"b"), vec![4, b'-', b'5', b'.', b'0']]);
    let infinite = counted(2, &[string(b"a"), vec![254], string(b"b"), vec![255]]);
    let binary =
        [string(b"a"), 1_f64.to_le_bytes().into(), string(b"b"), (-5_f64).to_le_bytes().into()];
    vec![
        sample(0, string(b"text"), &["\"text\""], ""),
        sample(0, vec![0xc0, 0x85], &["\"-123\""], ""),
        sample(0, vec![0xc1, 0x39, 0x30], &["\"12345\""], ""),
        sample(0, vec![0xc2, 0x15, 0xcd, 0x5b, 0x07], &["\"123456789\""], ""),
        sample(0, string(b"123456789012"), &["\"123456789012\""], ""),
        sample(0, lzf, &["\"abbbbbbbbbbbbb\""], ""),
        sample(0, [&[0x81, 0, 0, 0, 0, 0, 0, 0, 2][..], b"ab"].concat(), &["\"ab\""], ""),
        sample(1, counted(2, &[string(b"x"), vec![0xc0, 7]]), &["\"x\"", "\"7\""], "listpack"),
        sample(2, counted(2, &[string(b"x"), string(b"a")]), &["\"a\"", "\"x\""], "listpack"),
        sample(2, counted(2, &[string(b"9"), vec![0xc0, 7]]), &["\"7\"", "\"9\""], "intset"),
        sample(3, scored, ascending, "listpack"),
        sample(3, infinite, &["\"b\" -inf", "\"a\" inf"], "listpack"),
        sample(4, counted(3, &[strings(PAIRS)]), FIELDS, "listpack"),
        sample(5, counted(2, &binary), ascending, "listpack"),
    ]
}

fn compact() -> Vec<Sample> {
    let ascending = &["\"b\" -5.0", "\"a\" 1.0"];
    let node = [vec![2], listpack(TEXTS)].concat();
    let plain = [vec![1], string(b"plain")].concat();
    let mut samples = vec![
        sample(9, zipmap(PAIRS), FIELDS, "listpack"),
        sample(11, intset(&[-3, 2, 700], 2), &["\"-3\"", "\"2\"", "\"700\""], "intset"),
        sample(11, intset(&[2, 70_000], 4), &["\"2\"", "\"70000\""], "intset"),
        sample(11, intset(&[1 << 40], 8), &["\"1099511627776\""], "intset"),
        sample(12, ziplist(&["b", "-5", "a", "1"]), ascending, "listpack"),
        sample(13, ziplist(PAIRS), FIELDS, "listpack"),
        sample(16, listpack(PAIRS), FIELDS, "listpack"),
        sample(17, listpack(&["b", "-5", "a", "1"]), ascending, "listpack"),
        // Out of order, which old servers could leave behind.
        sample(17, listpack(&["a", "1", "b", "-5.0"]), ascending, "listpack"),
        sample(20, listpack(&["b", "a", "1"]), &["\"1\"", "\"a\"", "\"b\""], "listpack"),
    ];
    let all = quoted(TEXTS);
    let lists = [
        (10, ziplist(TEXTS), all.clone()),
        (14, counted(2, &[ziplist(TEXTS), ziplist(TEXTS)]), [&all[..], &all[..]].concat()),
        (18, counted(2, &[node, plain]), [&all[..], &["\"plain\"".to_owned()]].concat()),
    ];
    for (kind, payload, expected) in lists {
        // A plain node with a short text joins the one before.
        let encoding = if kind == 14 { "quicklist" } else { "listpack" };
        let family = Family::Redis;
        samples.push(Sample { kind, family, payload, expected, encoding });
    }
    samples
}

fn timed() -> Vec<Sample> {
    let expected = &["\"a\"=\"1\" Some(5000)", "\"b\"=\"2\" None", "\"c\"=\"3\" Some(5007)"];
    let texts = ["a", "1", "5000", "c", "3", "5007", "b", "2", "0"];
    let field = |expiry: Vec<u8>, texts: &[&str]| [expiry, strings(texts)].concat();
    let pre = counted(
        3,
        &[
            field(length(5000), &["a", "1"]),
            field(vec![0], &["b", "2"]),
            field(length(5007), &["c", "3"]),
        ],
    );
    let told = counted(
        3,
        &[field(vec![1], &["a", "1"]), field(vec![0], &["b", "2"]), field(vec![8], &["c", "3"])],
    );
    let min = 5000_i64.to_le_bytes().to_vec();
    let valkey =
        |text: &[&str], expiry: i64| [strings(text), expiry.to_le_bytes().to_vec()].concat();
    let valkey = counted(
        3,
        &[valkey(&["a", "1"], 5000), valkey(&["b", "2"], -1), valkey(&["c", "3"], 5007)],
    );
    let mut samples = vec![
        sample(22, pre, expected, "listpackex"),
        sample(23, listpack(&texts), expected, "listpackex"),
        sample(24, [min.clone(), told].concat(), expected, "listpackex"),
        sample(25, [min, listpack(&texts)].concat(), expected, "listpackex"),
        sample(22, valkey, expected, "listpackex"),
    ];
    samples[4].family = Family::Valkey;
    samples
}

/// A field whose time is 0, as in a damaged file, is not taken for one without a time: it could be written and not be read.
#[test]
fn a_field_that_expires_at_the_beginning_of_time_is_written_and_read() {
    let field = |text: &[&str], at: i64| [strings(text), at.to_le_bytes().to_vec()].concat();
    let payload = counted(2, &[field(&["a", "1"], 0), field(&["b", "2"], 5000)]);
    let hasher = hasher();
    let options = DecodeOptions::with_default_limits(&hasher);
    let value = decode(22, Family::Valkey, &payload, &options).expect("it is sound");
    let again = dump(value.as_ref(), Options { compress: false });
    let again = restore(&again, true, &options).expect("what is written can be read");
    assert_eq!(describe(again.as_ref()), ["\"a\"=\"1\" Some(1)", "\"b\"=\"2\" Some(5000)"]);
}

/// A stream of three entries, one of them deleted, and a group, in the form of each version.
fn streams() -> Vec<Sample> {
    let mut node = vec!["2", "1", "1", "f", "0"];
    node.extend(["2", "0", "0", "one", "4"]);
    node.extend(["3", "0", "1", "two", "4"]);
    node.extend(["0", "5", "-1", "2", "g", "x", "h", "y", "8"]);
    let raw = |ms: u64, seq: u64| [ms.to_be_bytes(), seq.to_be_bytes()].concat();
    let nodes = [vec![1], string(&raw(100, 7)), listpack(&node)].concat();
    let pending = [vec![1], raw(100, 7), 77_i64.to_le_bytes().to_vec(), vec![3]].concat();
    [15, 19, 21]
        .map(|kind: u8| {
            let mut payload = [nodes.clone(), vec![2], length(105), vec![6]].concat();
            if kind >= 19 {
                payload.extend([length(100), vec![7], length(100), vec![8], vec![9]].concat());
            }
            payload.extend([vec![1], string(b"group"), length(100), vec![7]].concat());
            if kind >= 19 {
                payload.push(4);
            }
            payload.extend(&pending);
            payload.extend([vec![1], string(b"me"), 88_i64.to_le_bytes().to_vec()].concat());
            if kind >= 21 {
                payload.extend(99_i64.to_le_bytes());
            }
            payload.extend([vec![1], raw(100, 7)].concat());
            let (deleted, added) = if kind >= 19 { ("100, seq: 8", 9) } else { ("0, seq: 0", 2) };
            let read = if kind >= 19 { "Some(4)" } else { "Some(1)" };
            let id = |text: &str| format!("StreamId {{ ms: {text} }}");
            let (first, last) = (id("100, seq: 7"), id("105, seq: 6"));
            let expected = vec![
                format!("2 from {first} to {last}, {} deleted, {added} added", id(deleted)),
                format!("{first} \"f\"=\"one\""),
                format!("{last} \"g\"=\"x\" \"h\"=\"y\""),
                format!("\"group\" {first} {read}"),
                format!("{first} \"me\" 77 3"),
                format!("\"me\" seen 88 has {{{first}}}"),
            ];
            Sample { kind, family: Family::Redis, payload, expected, encoding: "stream" }
        })
        .into()
}

fn samples() -> Vec<Sample> {
    [simple(), compact(), timed(), streams()].into_iter().flatten().collect()
}

#[test]
fn all_kinds_are_understood() {
    let hasher = hasher();
    for sample in samples() {
        let loaded = decode(
            sample.kind,
            sample.family,
            &sample.payload,
            &DecodeOptions::with_default_limits(&hasher),
        );
        let loaded = loaded.unwrap_or_else(|error| panic!("kind {}: {error}", sample.kind));
        assert_eq!(describe(loaded.as_ref()), sample.expected, "kind {}", sample.kind);
        if let respire_rdb::Loaded::Collection(collection) = &loaded {
            assert_eq!(collection.encoding(), sample.encoding, "kind {}", sample.kind);
        }
    }
}

/// Lengths from which on more bytes are needed for them, in ziplists and zipmaps.
#[test]
fn long_texts_in_old_layouts() {
    let hasher = hasher();
    let lengths = [62, 63, 64, 200, 252, 253, 254, 255, 16_383, 16_384, 70_000];
    let texts: Vec<String> = lengths.map(|len| "y".repeat(len)).into();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let payload = ziplist(&texts);
    let list =
        decode(10, Family::Redis, &payload, &DecodeOptions::with_default_limits(&hasher)).unwrap();
    assert_eq!(describe(list.as_ref()), quoted(&texts));
    for (i, text) in texts.iter().enumerate() {
        let payload = zipmap(&["k", text, text, "v"]);
        let map = decode(9, Family::Redis, &payload, &DecodeOptions::with_default_limits(&hasher));
        assert_eq!(describe(map.unwrap().as_ref()).len(), 2, "{i}");
    }
}

/// What is beyond the limits of a listpack becomes what it would have become by commands.
#[test]
fn large_ones_get_the_large_encoding() {
    let hasher = hasher();
    let texts: Vec<String> = (0..400).map(|i| format!("t{i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let numbered: Vec<&str> = texts.iter().flat_map(|text| [*text, "5"]).collect();
    let timed: Vec<&str> = texts.iter().flat_map(|text| [*text, "v", "900"]).collect();
    let numbers: Vec<i64> = (0..600).collect();
    let min = 900_i64.to_le_bytes().to_vec();
    for (kind, payload, encoding, len) in [
        (9, zipmap(&texts), "hashtable", 200),
        (13, ziplist(&texts), "hashtable", 200),
        (16, listpack(&texts), "hashtable", 200),
        (25, [min, listpack(&timed)].concat(), "hashtable", 400),
        (12, ziplist(&numbered), "skiplist", 400),
        (17, listpack(&numbered), "skiplist", 400),
        (20, listpack(&texts), "hashtable", 400),
        (11, intset(&numbers, 2), "hashtable", 600),
    ] {
        let loaded =
            decode(kind, Family::Redis, &payload, &DecodeOptions::with_default_limits(&hasher))
                .unwrap();
        let respire_rdb::Loaded::Collection(collection) = loaded else { panic!("{kind}") };
        assert_eq!((collection.encoding(), collection.len()), (encoding, len), "kind {kind}");
    }
}

#[test]
fn whole_files_of_each_version() {
    let hasher = hasher();
    let with_values = |head: &str, family: Family| {
        let mut parts = vec![vec![0xfe, 0]];
        let samples: Vec<Sample> = samples()
            .into_iter()
            .filter(|sample| sample.family == family || sample.kind < 22)
            .collect();
        for (i, sample) in samples.iter().enumerate() {
            parts.push(entry(sample.kind, &format!("key{i}"), &sample.payload));
        }
        (file(head, &parts), samples)
    };
    for (head, family) in
        [("REDIS0005", Family::Redis), ("REDIS0012", Family::Redis), ("VALKEY080", Family::Valkey)]
    {
        let (bytes, samples) = with_values(head, family);
        let mut scanner = Scanner::new(&bytes[..], true).unwrap();
        let mut batch = Batch::new();
        let mut seen = 0;
        assert!(scanner.fill(&mut batch).unwrap());
        assert_eq!(batch.family(), family);
        for item in batch.items() {
            match item.unwrap() {
                Item::Entry(raw) => {
                    assert_eq!(*raw.key().unwrap(), *format!("key{seen}").as_bytes());
                    let loaded = decode(
                        raw.kind,
                        family,
                        raw.payload,
                        &DecodeOptions::with_default_limits(&hasher),
                    )
                    .unwrap();
                    assert_eq!(describe(loaded.as_ref()), samples[seen].expected, "{head}");
                    seen += 1;
                }
                Item::SelectDb(0) => {}
                Item::Eof { checksum: Some((stored, computed)) } => assert_eq!(stored, computed),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, samples.len());
    }
}

/// A file with the items around keys, of every kind that there is.
fn framing() -> Vec<u8> {
    let module_values = [
        // Signed, unsigned, float, double, string, end.
        vec![1, 5, 2, 6],
        vec![3, 0, 0, 0, 0],
        vec![4, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![5],
        string(b"s"),
        vec![0],
    ]
    .concat();
    let module_id = [&[0x81][..], &(0b000000_000001_000010_u64 << 46).to_be_bytes()].concat();
    file(
        "REDIS0013",
        &[
            [vec![0xfa], strings(&["redis-bits"]), vec![0xc0, 64]].concat(),
            [vec![0xf7], module_id.clone(), module_values.clone()].concat(),
            [vec![0xf5], strings(&["#!lua"])].concat(),
            [vec![0xf6], strings(&["old", "LUA"]), vec![1], strings(&["what it does", "code"])]
                .concat(),
            [vec![0xfe], length(9)].concat(),
            [vec![0xfb], length(100), length(7)].concat(),
            [vec![0xf4], length(12_182), length(5), length(0)].concat(),
            [vec![0xfd], 7_i32.to_le_bytes().to_vec(), entry(0, "seconds", &string(b"v"))].concat(),
            [
                vec![0xfc],
                7001_i64.to_le_bytes().to_vec(),
                vec![0xf8],
                length(300),
                entry(0, "idle", &string(b"v")),
            ]
            .concat(),
            [vec![0xf9, 9], entry(0, "freq", &string(b"v"))].concat(),
            [
                vec![0xf3, 1],
                b"META".to_vec(),
                module_values.clone(),
                entry(0, "meta", &string(b"v")),
            ]
            .concat(),
            entry(7, "module", &[module_id, module_values].concat()),
        ],
    )
}

#[test]
fn the_framing_of_all_versions() {
    let bytes = framing();
    let mut scanner = Scanner::new(&bytes[..], true).unwrap();
    let mut batch = Batch::new();
    assert!(scanner.fill(&mut batch).unwrap());
    let hasher = hasher();
    let seen: Vec<String> = batch
        .items()
        .map(|item| match item.unwrap() {
            Item::Entry(raw) => {
                let kept = match decode(
                    raw.kind,
                    Family::Redis,
                    raw.payload,
                    &DecodeOptions::with_default_limits(&hasher),
                ) {
                    Ok(_) => "kept".into(),
                    Err(error) => error.to_string(),
                };
                let key = String::from_utf8(raw.key().unwrap().into()).unwrap();
                format!("{} {key} {:?} {:?} {:?} {kept}", raw.db, raw.expire_ms, raw.idle, raw.freq)
            }
            Item::Aux { name, value } => {
                format!("aux {} {}", name.escape_ascii(), value.escape_ascii())
            }
            Item::Function(code) => format!("function {}", code.escape_ascii()),
            Item::FunctionPreGa { name } => format!("old function {}", name.escape_ascii()),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "aux redis-bits 64",
        "ModuleAux { module: \"ABCAAAAAA\" }",
        "function #!lua",
        "old function old",
        "SelectDb(9)",
        "ResizeDb { keys: 100, expires: 7 }",
        "SlotInfo { slot: 12182, keys: 5, expires: 0 }",
        "9 seconds Some(7000) None None kept",
        "9 idle Some(7001) Some(300) None kept",
        "9 freq None None Some(9) kept",
        "9 meta None None None kept",
        "9 module None None None value of the module type 'ABCAAAAAA'",
    ];
    assert_eq!(seen[..expected.len()], expected);
    assert_eq!(seen.len(), expected.len() + 1);
}

#[test]
fn valkey_tells_of_slots_that_it_imports() {
    let import =
        [vec![0xf3], string(&[b'j'; 40]), vec![2], length(0), length(99), length(200), length(300)]
            .concat();
    let bytes = file("VALKEY080", &[import, entry(0, "k", &string(b"v"))]);
    let mut batch = Batch::new();
    assert!(Scanner::new(&bytes[..], true).unwrap().fill(&mut batch).unwrap());
    assert_eq!(batch.len(), 3);
    assert!(matches!(batch.items().next(), Some(Ok(Item::SlotImport { job })) if job.len() == 40));
}

fn scan_error(bytes: &[u8]) -> RdbError {
    let mut batch = Batch::new();
    let mut scanner = match Scanner::new(bytes, true) {
        Ok(scanner) => scanner,
        Err(error) => return error,
    };
    loop {
        match scanner.fill(&mut batch) {
            Ok(more) => assert!(more, "there is an error somewhere"),
            Err(error) => return error,
        }
    }
}

#[test]
fn heads_are_looked_at() {
    for head in ["REDIS000", "REDIX0010", "REDIS00x0", "VALKEY0x0", "HELLO0010"] {
        assert!(matches!(scan_error(head.as_bytes()), RdbError::NotRdb | RdbError::Truncated));
    }
    for (head, number) in [
        ("REDIS0000", 0),
        ("REDIS0079", 79),
        ("REDIS0080", 80),
        ("VALKEY011", 11),
        ("REDIS9999", 9999),
    ] {
        assert!(
            matches!(scan_error(head.as_bytes()), RdbError::Version(version) if version == number)
        );
    }
    assert_eq!(scan_error(b"REDIS0010").to_string(), "unexpected end at offset 9");
    assert_eq!(
        scan_error(b"REDIS0010\xfe\x00\x3e\x01k").to_string(),
        "unknown kind of value 62 at offset 11"
    );
    assert_eq!(
        scan_error(b"REDIS0010\xf8\x01\xff").to_string(),
        "item: expiry without a key at offset 9"
    );
}

#[test]
fn contradictions_are_refused() {
    let hasher = hasher();
    let no_end = {
        let mut bytes = ziplist(PAIRS);
        let at = bytes.len() - 1;
        bytes[at] = 0;
        bytes
    };
    let count = {
        let mut bytes = ziplist(PAIRS);
        bytes[9] += 1;
        bytes
    };
    let tail = {
        let mut bytes = ziplist(PAIRS);
        bytes[5] += 1;
        bytes
    };
    for (what, kind, payload) in [
        ("odd number of parts", 16, listpack(&["a"])),
        ("field twice", 16, listpack(&["a", "1", "a", "2"])),
        ("field twice", 4, counted(2, &[strings(&["a", "1", "a", "2"])])),
        ("field twice", 9, zipmap(&["a", "1", "a", "2"])),
        ("member twice", 2, counted(2, &[strings(&["a", "a"])])),
        ("member twice", 20, listpack(&["a", "b", "a"])),
        ("member twice", 17, listpack(&["a", "1", "a", "2"])),
        ("member twice", 3, counted(2, &[string(b"a"), vec![254], string(b"a"), vec![255]])),
        ("no score", 17, listpack(&["a", "b"])),
        ("no number", 17, listpack(&["a", "nan"])),
        ("no number", 3, counted(1, &[string(b"a"), vec![253]])),
        ("no number", 5, counted(1, &[string(b"a"), f64::NAN.to_le_bytes().into()])),
        ("not ascending", 11, intset(&[2, 1], 2)),
        ("width of 3", 11, intset(&[1, 2], 3)),
        ("no end", 13, no_end),
        ("wrong count", 13, count),
        ("wrong place of the last", 13, tail),
        ("container of 3", 18, counted(1, &[vec![3], listpack(&["a"])])),
        ("expiry that is no number", 25, [vec![0; 8], listpack(&["a", "1", "x"])].concat()),
        ("something behind", 0, [string(b"v"), vec![0]].concat()),
        ("integer encoding", 0, vec![0xc4, 0]),
        ("length", 0, vec![0x82, 0]),
    ] {
        let error =
            decode(kind, Family::Redis, &payload, &DecodeOptions::with_default_limits(&hasher))
                .unwrap_err();
        assert!(matches!(error, RdbError::Corrupt(_)), "{what}: {error}");
    }
    for (kind, payload) in
        [(1, vec![0]), (2, vec![0]), (3, vec![0]), (4, vec![0]), (14, vec![0]), (16, listpack(&[]))]
    {
        let error =
            decode(kind, Family::Redis, &payload, &DecodeOptions::with_default_limits(&hasher))
                .unwrap_err();
        assert!(matches!(error, RdbError::Empty), "kind {kind}: {error}");
    }
    let gone =
        decode(15, Family::Redis, &[0, 0, 0, 0, 0], &DecodeOptions::with_default_limits(&hasher))
            .unwrap();
    assert_eq!(describe(gone.as_ref()).len(), 1, "a stream may be empty");
}
