//! Random histories of lists against a plain deque, with limits under which every form and conversion is crossed.

use std::collections::VecDeque;

use super::*;
use crate::listpack::Encoded;
use crate::sequence::Counted;

const LIMITS: [i64; 6] = [-2, -1, -5, 1, 3, 50];

fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    match rng.u8(0..32) {
        0 => vec![b'l'; rng.usize(0..10_000)],
        1 => vec![b'h'; rng.usize(0..90_000)],
        2..6 => rng.i64(..).to_string().into_bytes(),
        6..12 => rng.i64(-5..5000).to_string().into_bytes(),
        12..16 => vec![b'x'; rng.usize(0..300)],
        _ => format!("text{}", rng.u32(0..8)).into_bytes(),
    }
}

fn forwards(list: &List, from: usize, limit: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.for_each(from, |element| {
        all.push(element.to_vec());
        if all.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    all
}

fn backwards(list: &List, from: usize, limit: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.for_each_back(from, |element| {
        all.push(element.to_vec());
        if all.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    all
}

fn check(list: &List, model: &VecDeque<Vec<u8>>) {
    assert_eq!(list.len(), model.len());
    let all: Vec<Vec<u8>> = model.iter().cloned().collect();
    assert!(forwards(list, 0, usize::MAX) == all);
    let back: Vec<Vec<u8>> = all.into_iter().rev().collect();
    assert!(backwards(list, usize::MAX, usize::MAX) == back);
    let (mut nodes, mut bytes, mut elements) = (0, 0, 0);
    list.for_each_node(|node| {
        nodes += 1;
        match node {
            Node::Packed { elements: packed, count } => {
                bytes += packed.len() + 7;
                elements += count;
            }
            Node::Large(text) => {
                bytes += text.len();
                elements += 1;
            }
        }
    });
    assert_eq!((nodes, bytes, elements), (list.nodes(), list.node_bytes(), model.len()));
    if let Form::Many(deque) = &list.form {
        deque.middle.for_each(|chunk| assert!(chunk.count() > 0));
        for end in [End::Front, End::Back] {
            assert!(!matches!(deque.middle.edge(end), Some(Chunk::Squeezed(_))));
        }
    }
}

fn remove_equal(model: &mut VecDeque<Vec<u8>>, text: &[u8], limit: usize, from: End) -> usize {
    let mut left = limit;
    let mut keep = |element: &Vec<u8>| {
        let gone = left > 0 && element == text;
        left -= usize::from(gone);
        !gone
    };
    if from == End::Front {
        model.retain(&mut keep);
    } else {
        let reversed: VecDeque<_> = model.drain(..).rev().filter(&mut keep).collect();
        model.extend(reversed.into_iter().rev());
    }
    limit - left
}

fn some_limits(rng: &mut fastrand::Rng) -> ListLimits {
    let limits = ListLimits::new(LIMITS[rng.usize(0..LIMITS.len())]);
    let limits = if rng.bool() { limits.with_open(rng.usize(0..4)) } else { limits };
    if rng.u8(0..4) == 0 { limits.with_apart(rng.usize(1..20)) } else { limits }
}

/// Compares the elements from `index` on, and those in front of it.
fn check_around(list: &List, model: &VecDeque<Vec<u8>>, index: usize, limit: usize) {
    assert_eq!(list.with(index, |e| e.to_vec()).as_ref(), model.get(index));
    let expected: Vec<_> = model.iter().skip(index).take(limit).cloned().collect();
    assert!(forwards(list, index, limit) == expected);
    let skip = model.len() - index;
    let expected: Vec<_> = model.iter().rev().skip(skip).take(limit).cloned().collect();
    assert!(backwards(list, index, limit) == expected);
}

fn push(
    list: &mut List,
    model: &mut VecDeque<Vec<u8>>,
    end: End,
    text: Vec<u8>,
    limits: ListLimits,
    shares: bool,
) {
    let shared = Arc::new(text.clone());
    let element = if shares { NewElement::Shared(&shared) } else { NewElement::Bytes(&text) };
    list.push(end, element, limits);
    match end {
        End::Front => model.push_front(text),
        End::Back => model.push_back(text),
    }
}

/// Returns how many compressed nodes were seen.
fn history(seed: u64, steps: usize) -> usize {
    let mut squeezed = 0;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut limits = some_limits(&mut rng);
    let mut list = List::new();
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    for step in 0..steps {
        let end = if rng.bool() { End::Front } else { End::Back };
        let growing = (step / (steps / 4)).is_multiple_of(2);
        let len = model.len();
        match rng.u8(0..24) {
            0..10 if growing => {
                push(&mut list, &mut model, end, text(&mut rng), limits, rng.bool());
            }
            10..15 if len > 0 && (!growing || rng.bool()) => {
                let expected = match end {
                    End::Front => model.pop_front(),
                    End::Back => model.pop_back(),
                };
                assert_eq!(list.edge(end).map(|e| e.to_vec()), expected);
                list.pop(end, limits);
            }
            15 | 16 if len > 0 => {
                let (index, text) = (rng.usize(0..len), text(&mut rng));
                list.set(index, NewElement::Bytes(&text), limits);
                model[index] = text;
            }
            17 | 18 => {
                let (index, text) = (rng.usize(0..=len), text(&mut rng));
                list.insert(index, NewElement::Bytes(&text), limits);
                model.insert(index, text);
            }
            19 => {
                let text = text(&mut rng);
                let limit = if rng.u8(0..8) == 0 { usize::MAX } else { rng.usize(1..4) };
                let removed = list.remove_equal(&text, limit, end, limits);
                assert_eq!(removed, remove_equal(&mut model, &text, limit, end));
            }
            20 if rng.u8(0..10) == 0 => {
                let n = rng.usize(0..=len + 1);
                list.remove(end, n, limits);
                let gone = n.min(len);
                match end {
                    End::Front => drop(model.drain(..gone)),
                    End::Back => model.truncate(len - gone),
                }
                check(&list, &model);
            }
            21 if rng.u8(0..50) == 0 => limits = some_limits(&mut rng),
            _ => check_around(&list, &model, rng.usize(0..=len), rng.usize(1..20)),
        }
        if step % 100 == 0 {
            check(&list, &model);
            check(&list.clone(), &model);
            squeezed += list.squeezed_nodes();
        }
    }
    check(&list, &model);
    while !list.is_empty() {
        list.pop(End::Back, limits);
    }
    assert_eq!(list.encoding(), "listpack");
    squeezed
}

#[test]
fn random_histories_match_a_deque() {
    let mut squeezed = 0;
    for _ in 0..60 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        squeezed += history(seed, 4_000);
    }
    assert!(squeezed > 0);
}

#[test]
fn the_form_follows_the_size() {
    let limits = ListLimits::new(4);
    let mut list = List::new();
    for i in 0..5 {
        assert_eq!(list.encoding(), "listpack");
        list.push(End::Back, NewElement::Bytes(format!("{i}").as_bytes()), limits);
    }
    for _ in 0..3 {
        assert_eq!(list.encoding(), "quicklist");
        list.pop(End::Front, limits);
    }
    assert_eq!(list.encoding(), "listpack");
    assert_eq!(forwards(&list, 0, 9), [b"3", b"4"]);
    list.set(0, NewElement::Bytes(&[b'x'; 9000]), limits);
    assert_eq!(list.encoding(), "quicklist");
    list.set(0, NewElement::Bytes(b"x"), limits);
    assert_eq!(list.encoding(), "listpack");
}

/// The size of the allocator's that holds the largest block is one byte more than a block can tell.
#[test]
fn the_larger_part_of_a_large_block_can_grow() {
    let mut block = Block::default();
    for _ in 0..65 {
        block.push(End::Back, &Encoded::new(Item::of(&[b'x'; 1000])));
    }
    let mut block = block.split_off(1);
    assert_eq!(block.used(), 64 * 1004);
    (0..2).for_each(|_| block.pop(End::Front));
    // With what tells its length, as much as is left of 64 KiB.
    let last = [b'z'; 1276];
    block.push(End::Back, &Encoded::new(Item::of(&last)));
    assert_eq!((block.count(), block.used()), (63, 62 * 1004 + 1280));
    assert!(block.get(62) == Item::of(&last));
}

#[test]
fn thinned_out_lists_are_packed_anew() {
    let limits = ListLimits::new(-1);
    let mut list = List::new();
    for i in 0..200_000 {
        let text = if i % 100 == 0 { format!("kept{i}") } else { "gone".into() };
        list.push(End::Back, NewElement::Bytes(text.as_bytes()), limits);
    }
    assert_eq!(list.remove_equal(b"gone", usize::MAX, End::Back, limits), 198_000);
    assert_eq!(list.len(), 2_000);
    assert!(list.memory() < 40_000, "{}", list.memory());
}

#[test]
fn bytes_per_element() {
    let limits = ListLimits::new(-2);
    for count in [100, 1_000_000] {
        let mut list = List::new();
        for i in 0..count {
            let text = format!("element:{i:08}");
            list.push(End::Front, NewElement::Bytes(text.as_bytes()), limits);
        }
        let each = list.memory() as f64 / f64::from(count);
        println!("{count} elements of 16 bytes: {each:.1} bytes each");
        assert!(each < 21.0);
    }
}

#[test]
fn long_lists_are_compressed_inside() {
    let limits = ListLimits::new(-2).with_open(16);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut fill = |count: u32, make: &dyn Fn(&mut fastrand::Rng, u32) -> Vec<u8>| {
        let mut list = List::new();
        for i in 0..count {
            let end = if i % 3 == 0 { End::Front } else { End::Back };
            list.push(end, NewElement::Bytes(&make(&mut rng, i)), limits);
        }
        list
    };
    let numbered = |_: &mut fastrand::Rng, i: u32| format!("element:{i:08}").into_bytes();
    // 16 blocks at each end, and those that are being filled.
    let short = fill(14_000, &numbered);
    assert_eq!(short.squeezed_nodes(), 0);
    let mut long = fill(1_000_000, &numbered);
    assert!(long.nodes() - long.squeezed_nodes() < 40, "{}", long.squeezed_nodes());
    assert!(long.memory() < 10_000_000, "{}", long.memory());
    // Popping through them leaves as many open ones at the other end.
    for _ in 0..900_000 {
        long.pop(End::Front, limits);
    }
    assert!(long.nodes() - long.squeezed_nodes() < 40);
    // What can't be compressed is left alone, and is not tried each time.
    let random = |rng: &mut fastrand::Rng, _: u32| (0..40).map(|_| rng.u8(..)).collect();
    assert_eq!(fill(100_000, &random).squeezed_nodes(), 0);
    assert_eq!(
        fill(200_000, &|_, i| numbered(&mut fastrand::Rng::new(), i)).with(100_000, |e| e.to_vec()),
        Some(b"element:00050000".to_vec())
    );
}

/// Where blocks hold different numbers of elements, so many elements from one end may be in the block at the other.
#[test]
fn the_outermost_blocks_are_not_compressed() {
    for open in 0..4 {
        for (end, far) in [(End::Back, End::Front), (End::Front, End::Back)] {
            let limits = ListLimits::new(-2).with_open(open);
            let mut list = List::new();
            let mut model = VecDeque::new();
            let mut push = |list: &mut List, end, text| {
                super::fuzz::push(list, &mut model, end, text, limits, false);
            };
            push(&mut list, end, vec![b'l'; 9_000]);
            // A full block, which is moved between the ends by the first element that finds no room in it.
            for _ in 0..4_097 {
                push(&mut list, far, b"7".to_vec());
            }
            for _ in 0..8 {
                push(&mut list, end, vec![b'l'; 9_000]);
            }
            for _ in 0..150 {
                push(&mut list, end, vec![b'x'; 80]);
            }
            check(&list, &model);
            list.pop(far, limits);
            assert_eq!(list.edge(far).map(|e| e.to_vec()), Some(b"7".to_vec()));
        }
    }
}

#[test]
fn what_has_lost_elements_is_compressed_again() {
    let limits = ListLimits::new(-2).with_open(1);
    let mut list = List::new();
    for i in 0..100_000 {
        let text = if i % 50 == 0 { "gone".into() } else { format!("element:{i:08}") };
        list.push(End::Back, NewElement::Bytes(text.as_bytes()), limits);
    }
    let open = list.nodes() - list.squeezed_nodes();
    assert_eq!(list.remove_equal(b"gone", usize::MAX, End::Front, limits), 2_000);
    assert_eq!(list.nodes() - list.squeezed_nodes(), open);
}

#[test]
fn memory_is_counted_as_it_is_handed_out() {
    let limits = ListLimits::new(-2);
    let mut list = List::new();
    for _ in 0..100 {
        list.push(End::Back, NewElement::Bytes(&[b'l'; 9_000]), limits);
    }
    // The allocator hands out 10 KiB for each.
    assert!((1_024_000..1_050_000).contains(&list.memory()), "{}", list.memory());
}

#[test]
fn a_list_fits_into_an_entry() {
    assert!(size_of::<List>() <= 24);
}
