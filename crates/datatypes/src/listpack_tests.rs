//! Tests of the listpack: its format byte for byte, and random histories against a `Vec`.

use super::*;
use crate::seed::Seed;

fn listpack(texts: &[&[u8]]) -> Listpack {
    let mut new = Listpack::new();
    for text in texts {
        new.push_back(text);
    }
    new
}

fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(|item| item.to_vec()).collect()
}

/// Checks every invariant, and that the content is `model`.
fn assert_holds(listpack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(check(listpack.as_bytes()), Some(true));
    assert_eq!(texts(listpack), model);
    assert_eq!(listpack.len(), model.len());
    assert_eq!(listpack.is_empty(), model.is_empty());
    let mut backwards = Vec::new();
    let mut at = listpack.last();
    while let Some(pos) = at {
        backwards.push(listpack.get(pos).to_vec());
        at = listpack.prev(pos);
    }
    backwards.reverse();
    assert_eq!(backwards, model);
    assert!(listpack.memory() >= listpack.bytes());
    assert!(listpack.memory() <= size_class(listpack.bytes() * 10 / 8 + 8));
    assert_eq!(Listpack::from_bytes(listpack.as_bytes()).as_ref(), Ok(listpack));
}

#[test]
fn an_empty_one_is_seven_bytes() {
    let empty = Listpack::new();
    assert_eq!(empty.as_bytes(), [7, 0, 0, 0, 0, 0, 0xff]);
    assert_holds(&empty, &[]);
    assert_eq!(
        (empty.first(), empty.last(), empty.seek(0), empty.seek(-1)),
        (None, None, None, None)
    );
    assert_eq!(empty.find(b"a", 0), None);
}

#[test]
fn numbers_take_the_shortest_form() {
    for (value, expected) in [
        (0, &[0x00, 1][..]),
        (127, &[0x7f, 1]),
        (128, &[0xc0, 0x80, 2]),
        (-1, &[0xdf, 0xff, 2]),
        (4095, &[0xcf, 0xff, 2]),
        (-4096, &[0xd0, 0x00, 2]),
        (4096, &[0xf1, 0x00, 0x10, 3]),
        (-4097, &[0xf1, 0xff, 0xef, 3]),
        (32767, &[0xf1, 0xff, 0x7f, 3]),
        (-32768, &[0xf1, 0x00, 0x80, 3]),
        (32768, &[0xf2, 0x00, 0x80, 0x00, 4]),
        (-8_388_608, &[0xf2, 0x00, 0x00, 0x80, 4]),
        (8_388_608, &[0xf3, 0x00, 0x00, 0x80, 0x00, 5]),
        (-2_147_483_648, &[0xf3, 0x00, 0x00, 0x00, 0x80, 5]),
        (2_147_483_648, &[0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
        (i64::MIN, &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9]),
        (i64::MAX, &[0xf4, 255, 255, 255, 255, 255, 255, 255, 0x7f, 9]),
    ] {
        let text = value.to_string().into_bytes();
        let one = listpack(&[&text]);
        assert_eq!(&one.as_bytes()[HEADER..one.bytes() - 1], expected, "{value}");
        assert_eq!(one.get(one.first().unwrap()), Item::Int(value));
        assert_holds(&one, &[text]);
        let mut other = Listpack::new();
        other.push_back_int(value);
        assert_eq!(other, one);
    }
}

#[test]
fn strings_take_the_shortest_form() {
    for (len, head, back) in [
        (0, &[0x80][..], &[1][..]),
        (63, &[0xbf], &[64]),
        (64, &[0xe0, 64], &[66]),
        (125, &[0xe0, 125], &[127]),
        (126, &[0xe0, 126], &[1, 128]),
        (4095, &[0xef, 0xff], &[32, 0x81]),
        (4096, &[0xf0, 0, 0x10, 0, 0], &[32, 0x85]),
        (16377, &[0xf0, 0xf9, 0x3f, 0, 0], &[0x7f, 0xfe]),
        (16378, &[0xf0, 0xfa, 0x3f, 0, 0], &[0, 0xff, 0xff]),
        (16379, &[0xf0, 0xfb, 0x3f, 0, 0], &[1, 0x80, 0x80]),
        (2_097_146, &[0xf0, 0xfa, 0xff, 0x1f, 0], &[0, 0xff, 0xff, 0xff]),
    ] {
        let text = vec![b'x'; len];
        let one = listpack(&[&text]);
        let content = &one.as_bytes()[HEADER..one.bytes() - 1];
        assert!(content.starts_with(head), "{len}: {:x?}", &content[..5.min(content.len())]);
        assert!(content.ends_with(back), "{len}: {:x?}", &content[content.len() - 5..]);
        assert_eq!(content.len(), head.len() + len + back.len());
        assert_holds(&one, &[text]);
    }
}

#[test]
fn only_canonical_integers_become_numbers() {
    for text in ["", "-", "01", "-0", "+1", " 1", "1 ", "1.0", "9223372036854775808"] {
        assert_eq!(Item::of(text.as_bytes()), Item::Bytes(text.as_bytes()));
        let one = listpack(&[text.as_bytes()]);
        assert_eq!(one.get(one.first().unwrap()), Item::Bytes(text.as_bytes()));
    }
}

#[test]
fn finds_whole_elements_only() {
    let pack = listpack(&[b"a", b"1", b"b", b"a", b"1", b"aa"]);
    let index = |text: &[u8], skip| {
        let found = pack.find(text, skip)?;
        (0..6).find(|i| pack.seek(*i) == Some(found))
    };
    assert_eq!(index(b"a", 0), Some(0));
    assert_eq!(index(b"1", 0), Some(1));
    assert_eq!(index(b"1", 1), Some(4));
    assert_eq!(index(b"aa", 0), Some(5));
    assert_eq!(index(b"aa", 1), None);
    assert_eq!(index(b"aaa", 0), None);
    assert_eq!(index(b"", 0), None);
    assert_eq!(pack.find_from(pack.seek(1).unwrap(), b"a", 0), pack.seek(3));
}

#[test]
fn more_than_the_header_can_count_are_counted() {
    let mut pack = Listpack::new();
    for i in 0..65_540 {
        pack.push_back_int(i);
    }
    assert_eq!(pack.as_bytes()[4..6], [0xff, 0xff]);
    assert_eq!(pack.len(), 65_540);
    assert_eq!(pack.get(pack.seek(65_539).unwrap()), Item::Int(65_539));
    assert_eq!(pack.get(pack.seek(-65_540).unwrap()), Item::Int(0));
    assert_eq!((pack.seek(65_540), pack.seek(-65_541)), (None, None));
    assert!(Listpack::from_bytes(pack.as_bytes()).is_ok());
    pack.remove_range(pack.seek(10).unwrap(), 100_000);
    assert_eq!(pack.len(), 10);
    assert!(pack.memory() < 64);
}

#[test]
fn longer_forms_are_valid_but_rewritten() {
    // 5 in 13 bits, "7" as a string, "a" with a 12-bit length and with a 32-bit one.
    let mut bytes = vec![0, 0, 0, 0, 4, 0];
    bytes.extend([0xc0, 5, 2, 0x81, b'7', 2, 0xe0, 1, b'a', 3, 0xf0, 1, 0, 0, 0, b'a', 6, 0xff]);
    bytes[0] = bytes.len() as u8;
    let pack = Listpack::from_bytes(&bytes).unwrap();
    assert_eq!(pack, listpack(&[b"5", b"7", b"a", b"a"]));
}

#[test]
fn corrupt_bytes_are_refused() {
    for bytes in [
        &b""[..],
        &[7, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0],
        &[8, 0, 0, 0, 0, 0, 0xff],
        &[7, 0, 0, 0, 1, 0, 0xff],
        &[9, 0, 0, 0, 0, 0, 5, 1, 0xff],
        &[9, 0, 0, 0, 1, 0, 5, 2, 0xff],
        &[9, 0, 0, 0, 1, 0, 0xff, 1, 0xff],
        &[9, 0, 0, 0, 1, 0, 0xf5, 1, 0xff],
        &[10, 0, 0, 0, 1, 0, 0x82, b'a', 2, 0xff],
        &[10, 0, 0, 0, 1, 0, 0x82, b'a', b'b', 0xff],
        &[10, 0, 0, 0, 1, 0, 5, 0x80, 0x81, 0xff],
        &[9, 0, 0, 0, 1, 0, 0xf0, 1, 0xff],
    ] {
        assert_eq!(Listpack::from_bytes(bytes), Err(Corrupt), "{bytes:x?}");
    }
}

/// Whatever bytes are damaged, the check refuses them or what it lets pass can be walked both ways.
#[test]
fn damage_never_panics() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    for _ in 0..20_000 {
        let mut bytes = random_listpack(&mut rng, 12).as_bytes().to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        if rng.bool() {
            bytes.truncate(rng.usize(..=bytes.len()));
        }
        if let Ok(pack) = Listpack::from_bytes(&bytes) {
            let model = texts(&pack);
            assert_holds(&pack, &model);
        }
    }
}

fn random_text(rng: &mut fastrand::Rng) -> Vec<u8> {
    match rng.u32(..10) {
        0..3 => rng.i64(-200..200).to_string().into_bytes(),
        3..5 => (rng.i64(..) >> rng.u32(..64)).to_string().into_bytes(),
        5..8 => vec![rng.u8(b'a'..b'e'); rng.usize(..4)],
        8 => vec![rng.u8(..); rng.usize(50..140)],
        _ => vec![b'x'; rng.choice([4090, 4095, 4096, 16377, 16378, 16390]).unwrap_or(1)],
    }
}

fn random_listpack(rng: &mut fastrand::Rng, elements: usize) -> Listpack {
    let mut pack = Listpack::new();
    for _ in 0..rng.usize(..elements) {
        pack.push_back(&random_text(rng));
    }
    pack
}

#[test]
fn random_histories_match_a_vec() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    for _ in 0..100 {
        let (mut pack, mut model) = (Listpack::new(), Vec::<Vec<u8>>::new());
        for _ in 0..100 {
            step(&mut rng, &mut pack, &mut model);
            assert_holds(&pack, &model);
        }
    }
}

fn step(rng: &mut fastrand::Rng, pack: &mut Listpack, model: &mut Vec<Vec<u8>>) {
    let text = random_text(rng);
    let i = rng.usize(..=model.len());
    let signed = if rng.bool() { i as isize } else { i as isize - model.len() as isize };
    let pos = pack.seek(if i == model.len() { i as isize } else { signed });
    assert_eq!(pos.map(|pos| pack.get(pos).to_vec()), model.get(i).cloned());
    let skip = rng.usize(..3);
    let found = pack.find(&text, skip).map(|pos| pack.get(pos).to_vec());
    assert_eq!(found.is_some(), model.iter().step_by(skip + 1).any(|other| *other == text));
    let Some(pos) = pos else {
        let new = pack.push_back(&text);
        assert!(pack.get(new).eq_bytes(&text));
        return model.push(text);
    };
    match rng.u32(..12) {
        0..2 => {
            pack.push_front(&text);
            model.insert(0, text);
        }
        2..4 => {
            pack.insert_before(pos, &text);
            model.insert(i, text);
        }
        4..6 => {
            pack.insert_after(pos, &text);
            model.insert(i + 1, text);
        }
        6..8 => {
            assert_eq!(pack.replace(pos, &text), pos);
            model[i] = text;
        }
        8..11 => {
            let behind = pack.remove(pos);
            model.remove(i);
            assert_eq!(behind.map(|pos| pack.get(pos).to_vec()), model.get(i).cloned());
        }
        _ => {
            let n = rng.usize(..6);
            let behind = pack.remove_range(pos, n);
            model.drain(i..(i + n).min(model.len()));
            assert_eq!(behind.map(|pos| pack.get(pos).to_vec()), model.get(i).cloned());
        }
    }
}
