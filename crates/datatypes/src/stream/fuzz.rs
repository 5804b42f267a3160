//! Random histories of streams against a plain map, with limits under which blocks are cut everywhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;

type Model = BTreeMap<StreamId, Vec<Vec<u8>>>;

fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    match rng.u8(0..8) {
        0 => rng.i64(..).to_string().into_bytes(),
        1 | 2 => rng.i64(-10..10_000).to_string().into_bytes(),
        3 => vec![b'x'; rng.usize(0..300)],
        4 => (0..rng.usize(0..6)).map(|_| rng.u8(..)).collect(),
        _ => format!("text{}", rng.u32(0..5)).into_bytes(),
    }
}

fn fields(rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let names: &[&str] = match rng.u8(0..8) {
        0 => &["other"],
        1 => &["field"],
        2 => &["field", "other", "3"],
        _ => &["field", "other"],
    };
    names.iter().flat_map(|name| [name.as_bytes().to_vec(), text(rng)]).collect()
}

fn flat(entry: Entry<'_>) -> Vec<Vec<u8>> {
    entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
}

fn read(stream: &Stream, start: StreamId, end: StreamId, back: bool, limit: usize) -> Model2 {
    let mut all = Vec::new();
    let f = |entry: Entry<'_>| {
        assert_eq!(entry.fields().count(), entry.len());
        all.push((entry.id, flat(entry)));
        if all.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if back {
        stream.for_each_back(start, end, f);
    } else {
        stream.for_each(start, end, f);
    }
    all
}

type Model2 = Vec<(StreamId, Vec<Vec<u8>>)>;

fn model_read(model: &Model, start: StreamId, end: StreamId, back: bool, limit: usize) -> Model2 {
    if start > end {
        return Vec::new();
    }
    let range = model.range(start..=end).map(|(id, fields)| (*id, fields.clone()));
    if back { range.rev().take(limit).collect() } else { range.take(limit).collect() }
}

fn trim(rng: &mut fastrand::Rng, stream: &mut Stream, model: &mut Model, some_id: StreamId) {
    let by = if rng.bool() {
        TrimBy::MaxLen(rng.u64(0..=model.len() as u64 + 5))
    } else {
        TrimBy::MinId(some_id)
    };
    let limit = if rng.bool() { 0 } else { rng.u64(1..100) };
    let approximate = rng.bool() || limit != 0;
    let kept = |model: &Model| match by {
        TrimBy::MaxLen(max) => model.len() as u64 <= max,
        TrimBy::MinId(min) => model.first_key_value().is_none_or(|(id, _)| *id >= min),
    };
    let (deleted, cut_off) = stream.trim(Trim { by, approximate, limit });
    assert!(cut_off.is_none_or(|front| !front.is_empty() && front.len() as u64 <= deleted));
    assert!(limit == 0 || deleted <= limit);
    for _ in 0..deleted {
        assert!(!kept(model), "trimmed too much");
        model.pop_first();
    }
    assert!(approximate || kept(model), "trimmed too little");
}

/// Blocks that were cut in two when they were full.
fn cut_blocks(stream: &Stream) -> usize {
    let mut cut = 0;
    stream.state.blocks.for_each(|block| cut += usize::from(block.is_cut()));
    cut
}

/// Returns how many blocks were cut in two at the end.
fn history(seed: u64, steps: usize) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    let limits = StreamLimits {
        node_bytes: [0, 1, 200, 4096][rng.usize(0..4)],
        node_entries: [0, 1, 3, 100][rng.usize(0..4)],
    };
    let mut stream = Stream::new();
    let mut model = Model::new();
    let mut now = 1_000_000;
    for step in 0..steps {
        now += [0, 0, 1, 1, 5, 1000, 100_000][rng.usize(0..7)];
        let last = stream.last_id();
        let some_id = StreamId::new(rng.u64(999_999..=last.ms.max(1_000_000) + 1), rng.u64(0..4));
        match rng.u8(0..20) {
            0..10 => {
                let request = match rng.u8(0..4) {
                    0 => IdRequest::AutoSeq(last.ms + rng.u64(0..2)),
                    1 => IdRequest::Given(StreamId::new(last.ms + 1, rng.u64(0..1000))),
                    _ => IdRequest::Auto,
                };
                let id = stream.resolve(request, now).unwrap();
                let fields = fields(&mut rng);
                stream.append(id, fields.iter().map(|f| &f[..]), limits).unwrap();
                assert!(id > last);
                model.insert(id, fields);
            }
            10..13 => {
                let near = model.range(some_id..).next().map_or(some_id, |(id, _)| *id);
                assert_eq!(stream.contains(near), model.contains_key(&near));
                assert_eq!(stream.delete(near), model.remove(&near).is_some());
            }
            13 if rng.u8(0..20) == 0 => trim(&mut rng, &mut stream, &mut model, some_id),
            _ => {
                let other = StreamId::new(some_id.ms + rng.u64(0..100_000), rng.u64(0..4));
                let (back, limit) = (rng.bool(), rng.usize(1..50));
                let (start, end) = match rng.u8(0..4) {
                    0 => (some_id, StreamId::MAX),
                    1 => (StreamId::MIN, some_id),
                    2 => (other, some_id),
                    _ => (some_id, other),
                };
                assert_eq!(
                    read(&stream, start, end, back, limit),
                    model_read(&model, start, end, back, limit),
                    "{start} {end} {back}"
                );
            }
        }
        assert_eq!(stream.len(), model.len(), "step {step}");
        let first = model.first_key_value().map_or(StreamId::MIN, |(id, _)| *id);
        assert_eq!(stream.first_id(), first);
    }
    for back in [false, true] {
        assert_eq!(
            read(&stream.clone(), StreamId::MIN, StreamId::MAX, back, usize::MAX),
            model_read(&model, StreamId::MIN, StreamId::MAX, back, usize::MAX)
        );
    }
    cut_blocks(&stream)
}

#[test]
fn random_histories_match_a_map() {
    let mut cut = 0;
    for _ in 0..20 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        cut += history(seed, 3_000);
    }
    assert!(cut > 0, "no block was cut in two");
}

/// A full block takes entries again when those behind it are gone and the limits have been raised.
#[test]
fn a_block_that_was_cut_goes_on() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reopened = 0;
    for _ in 0..50 {
        let (mut stream, mut model) = (Stream::new(), Model::new());
        let full = rng.u64(20..100);
        let mut add = |stream: &mut Stream, model: &mut Model, ms: u64, node_entries: u64| {
            let value = vec![b'v'; rng.usize(0..60)];
            let id = StreamId::new(1000 + ms, 0);
            let limits = StreamLimits { node_bytes: 0, node_entries };
            stream.append(id, [&b"field"[..], &value].into_iter(), limits).unwrap();
            model.insert(id, vec![b"field".to_vec(), value]);
        };
        for ms in 0..full + 3 {
            add(&mut stream, &mut model, ms, full);
        }
        for ms in full..full + 3 {
            assert!(stream.delete(StreamId::new(1000 + ms, 0)));
            model.pop_last();
        }
        reopened += cut_blocks(&stream);
        for ms in full + 3..full + 200 {
            add(&mut stream, &mut model, ms, full + 100);
        }
        let near_cut: Vec<StreamId> = model.keys().copied().filter(|id| id.ms % 3 == 0).collect();
        for id in near_cut {
            assert!(stream.delete(id));
            model.remove(&id);
        }
        for back in [false, true] {
            assert_eq!(
                read(&stream, StreamId::MIN, StreamId::MAX, back, usize::MAX),
                model_read(&model, StreamId::MIN, StreamId::MAX, back, usize::MAX)
            );
        }
    }
    assert!(reopened > 10, "{reopened} blocks were cut");
}

#[test]
fn a_million_entries_are_small() {
    let limits = StreamLimits { node_bytes: 4096, node_entries: 100 };
    let mut stream = Stream::new();
    for i in 0..1_000_000_u64 {
        let value = format!("value:{i:09}");
        let id = StreamId::new(1_700_000_000_000 + i / 3, i % 3);
        stream.append(id, [&b"field"[..], value.as_bytes()].into_iter(), limits).unwrap();
    }
    let each = stream.memory() as f64 / 1e6;
    println!("{each:.1} bytes an entry, of which 15 are the value");
    assert!(each < 19.0);
    assert_eq!(stream.lag(&Group::new(StreamId::MIN, Some(0))), Some(1_000_000));
}

/// What `stream-node-max-bytes` is compared with survives that a block is cut and goes on.
#[test]
fn a_cut_block_knows_the_bytes_of_redis() {
    let fields = [&b"field"[..], b"a value of some bytes"];
    let new = || Block::new(StreamId::new(1, 0), fields.into_iter());
    let (mut cut, mut whole) = (new(), new());
    let mut cuts = 0;
    for seq in 0..200 {
        for block in [&mut cut, &mut whole] {
            block.append(StreamId::new(1, seq), fields.into_iter());
        }
        cut.seal();
        cuts += u32::from(cut.is_cut());
        assert_eq!(cut.model_bytes(), whole.model_bytes());
        assert_eq!(cut.iter().count(), whole.iter().count());
    }
    assert!(cuts > 10, "{cuts}");
}

#[test]
fn the_head_of_a_block_is_ten_words() {
    assert_eq!(size_of::<Block>(), 80);
}

#[test]
fn ids_run_out() {
    let mut stream = Stream::new();
    stream.set_last_id(StreamId::MAX);
    assert_eq!(stream.resolve(IdRequest::Auto, 5), None);
    stream.set_last_id(StreamId::new(7, u64::MAX));
    assert_eq!(stream.resolve(IdRequest::AutoSeq(7), 5), None);
    assert_eq!(stream.resolve(IdRequest::Auto, 5), Some(StreamId::new(8, 0)));
}
