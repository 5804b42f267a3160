//! Requests cut in pieces: whatever the cuts, the same arguments and the same errors come out, memory stays bounded, and
//! every limit holds to the byte. `RESPIRE_SEED` replays a failure; its number is printed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use respire_resp::{
    INLINE_MAX, LARGE_BULK, LargeRequest, Limits, MAX_ARGS, Parsed, Parser, ProtocolError,
    STRAGGLER_MAX,
};

const OPEN: Limits = Limits { max_bulk: 512 * 1024 * 1024, authenticated: true };
const STRANGER: Limits = Limits { authenticated: false, ..OPEN };

type Request = Vec<Vec<u8>>;

/// A connection as an event loop has it: an unfinished rest, or a request that is being gathered.
struct Connection {
    parser: Parser,
    /// Whether large arguments are read straight into their allocation, as from a socket.
    direct: bool,
    pending: Vec<u8>,
    large: Option<Box<LargeRequest>>,
    requests: Vec<Request>,
    error: Option<ProtocolError>,
    arrived: usize,
}

impl Connection {
    fn new(limits: Limits, direct: bool) -> Self {
        Self {
            parser: Parser { limits },
            direct,
            pending: Vec::new(),
            large: None,
            requests: Vec::new(),
            error: None,
            arrived: 0,
        }
    }

    fn arrive(&mut self, piece: &[u8]) {
        self.arrived += piece.len();
        if self.error.is_some() {
            return;
        }
        match self.gather(piece) {
            Ok(rest) => {
                let mut buffer = std::mem::take(&mut self.pending);
                buffer.extend_from_slice(&piece[rest..]);
                if self.large.is_none()
                    && let Err(error) = self.parse(&mut buffer)
                {
                    self.error = Some(error);
                }
            }
            Err(error) => self.error = Some(error),
        }
        self.check_memory(piece.len());
    }

    /// Gives bytes to the request that is being gathered. Returns how many.
    fn gather(&mut self, piece: &[u8]) -> Result<usize, ProtocolError> {
        let Some(mut large) = self.large.take() else { return Ok(0) };
        let mut at = 0;
        while at < piece.len() && !large.is_whole() {
            let rest = &piece[at..];
            match large.direct().filter(|_| self.direct) {
                Some((target, missing)) => {
                    let count = missing.min(rest.len());
                    target.extend_from_slice(&rest[..count]);
                    large.read_direct(count);
                    at += count;
                }
                None => {
                    let count = large.feed(rest)?;
                    assert!(count > 0, "gathering goes on");
                    at += count;
                }
            }
        }
        if large.is_whole() {
            let args = large.args();
            self.requests.push(args.iter_from(0).map(<[u8]>::to_vec).collect());
        } else {
            self.large = Some(large);
        }
        Ok(at)
    }

    fn parse(&mut self, buffer: &mut [u8]) -> Result<(), ProtocolError> {
        let mut spans = Vec::new();
        let mut at = 0;
        while at < buffer.len() {
            spans.clear();
            let end = match self.parser.parse(buffer, at, &mut spans)? {
                Parsed::Request { end } => {
                    let args = respire_resp::Args::new(buffer, &spans);
                    self.requests.push(args.iter_from(0).map(<[u8]>::to_vec).collect());
                    end
                }
                Parsed::Nothing { end } => end,
                Parsed::Incomplete => {
                    assert!(spans.is_empty());
                    self.pending = buffer[at..].to_vec();
                    break;
                }
                Parsed::Large(large) => {
                    assert!(spans.is_empty() && !large.is_whole());
                    self.large = Some(large);
                    break;
                }
            };
            assert!(end > at && end <= buffer.len(), "parsing goes on");
            at = end;
        }
        Ok(())
    }

    /// What is kept is in proportion to what has come, whatever was announced.
    fn check_memory(&self, piece: usize) {
        assert!(self.pending.len() <= INLINE_MAX.max(STRAGGLER_MAX) + piece);
        if let Some(large) = &self.large {
            // Vectors double, an argument of no bytes takes six to send and a span to keep; and the step ahead.
            let bound = 4 * self.arrived + 1024 * 1024 + 2 * INLINE_MAX;
            assert!(large.memory() <= bound, "{} bytes for {}", large.memory(), self.arrived);
        }
    }

    fn outcome(self) -> (Vec<Request>, Option<ProtocolError>) {
        (self.requests, self.error)
    }
}

fn in_pieces<'a>(
    limits: Limits,
    direct: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Request>, Option<ProtocolError>) {
    let mut connection = Connection::new(limits, direct);
    pieces.into_iter().for_each(|piece| connection.arrive(piece));
    connection.outcome()
}

fn whole(limits: Limits, bytes: &[u8]) -> (Vec<Request>, Option<ProtocolError>) {
    in_pieces(limits, false, [bytes])
}

fn multibulk(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn line(first: &[u8], fill: u8, length: usize, end: &[u8]) -> Vec<u8> {
    let mut bytes = first.to_vec();
    bytes.resize(length, fill);
    bytes.extend_from_slice(end);
    bytes
}

/// Streams of requests, good and bad.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        &b"PING\r\n"[..],
        b"PING\n",
        b"\r\n\n  \r\nPING\r\n",
        b"set k \"a b\\x41\\n\" 'it\\'s' \"\"\r\nGET k\r\n",
        b"a\"b c\"\r\n",
        b"get \"unbalanced\r\nPING\r\n",
        b"get \"a\"b\r\n",
        b"a\0b c\0\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*0\r\n*-1\r\n*-999\r\n*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n\r\n$3\r\n*1\r\n\0\r\n",
        b"*3\r\n$3\r\nSET\r\n$100\r\n",
        b"PING\r\n*1\r\n$4\r\nPING\r\nECHO hi\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
        b"*1\r\n!4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\nhi\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$01\r\na\r\n",
        b"*1\r\n$+1\r\na\r\n",
        b"*1\r\n$ 1\r\na\r\n",
        b"*1\r\n$\r\na\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*1\r\n$9223372036854775807\r\n",
        b"*1\r\n$536870913\r\n",
        b"*01\r\n",
        b"*+1\r\n",
        b"*a\r\n",
        b"*\r\n",
        b"*9223372036854775807\r\n",
        b"*-9223372036854775808\r\nPING\r\n",
        b"*1048577\r\n",
        b"*11\r\n$4\r\nMGET\r\n",
        b"*1\r\n$16385\r\n",
        b"PING\r\n*x\r\nPING\r\n",
        b"*1\rx$4\rxPINGxx*1\r\n$4\r\nPING\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    let many: Vec<&[u8]> = (0..300).map(|i| &b"0123456789"[..i % 11]).collect();
    corpus.push(multibulk(&many));
    for len in [STRAGGLER_MAX, LARGE_BULK - 1, LARGE_BULK, LARGE_BULK + 1, 3 * LARGE_BULK] {
        let body = vec![b'\r'; len];
        let mut bytes = multibulk(&[b"SET", b"key", &body]);
        bytes.extend(multibulk(&[&body, b"", &body, b"x"]));
        bytes.extend_from_slice(b"PING\r\n*1\r\n$x\r\n");
        corpus.push(bytes);
    }
    // Errors behind the point from which a request is gathered.
    for wrong in [&b"$x\r\n"[..], b"!1\r\na\r\n", b"$-1\r\n", b"$536870913\r\n"] {
        let mut bytes = multibulk(&[&[7; LARGE_BULK + 5], b"small"]);
        bytes[1] = b'3';
        bytes.extend_from_slice(wrong);
        corpus.push(bytes);
    }
    for length in [INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1] {
        corpus.push(line(b"x", b'y', length, b"\n"));
        corpus.push(line(b"x", b'y', length, b"\r\nPING\r\n"));
        corpus.push(line(b"*", b'1', length, b"\r\n"));
        corpus.push(line(b"*1\r\n$", b'1', length + 4, b"\r\n"));
        corpus.push(line(b"*1\r\n!", b'1', length + 4, b"\r\n"));
    }
    corpus
}

/// Cuts worth trying in a long stream: near its ends, near every line end, and around the sizes that matter.
fn cuts(bytes: &[u8], rng: &mut fastrand::Rng) -> Vec<usize> {
    if bytes.len() <= 3000 {
        return (0..=bytes.len()).collect();
    }
    let mut cuts: Vec<usize> = (0..40).chain(bytes.len() - 40..bytes.len()).collect();
    for near in [STRAGGLER_MAX, LARGE_BULK, 2 * LARGE_BULK, INLINE_MAX] {
        cuts.extend(near.saturating_sub(20)..near + 40);
    }
    cuts.extend((0..60).map(|_| rng.usize(..bytes.len())));
    cuts.retain(|cut| *cut <= bytes.len());
    cuts
}

fn random_pieces<'a>(bytes: &'a [u8], rng: &mut fastrand::Rng) -> Vec<&'a [u8]> {
    let largest = *rng.choice(&[1, 3, 20, 500, 20_000, 70_000]).expect("not empty");
    let largest = if bytes.len() > 3000 { largest.max(100) } else { largest };
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rng.usize(1..=largest.min(rest.len())));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Runs `test` with a seeded generator; prints the seed if it fails.
fn seeded(test: impl FnOnce(&mut fastrand::Rng)) {
    let seed = match std::env::var("RESPIRE_SEED") {
        Ok(text) => text.parse().expect("RESPIRE_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    let mut rng = fastrand::Rng::with_seed(seed);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&mut rng))) {
        eprintln!("replay with RESPIRE_SEED={seed}");
        resume_unwind(panic);
    }
}

fn assert_same(
    want: &(Vec<Request>, Option<ProtocolError>),
    got: &(Vec<Request>, Option<ProtocolError>),
    bytes: &[u8],
    how: &str,
) {
    let shown = bytes[..bytes.len().min(200)].escape_ascii();
    assert_eq!(want.1, got.1, "error of {shown} {how}");
    assert!(want.0 == got.0, "requests of {shown} {how}");
}

#[test]
fn a_request_is_the_same_wherever_it_is_cut() {
    seeded(|rng| {
        for bytes in corpus() {
            for limits in [OPEN, STRANGER] {
                let want = whole(limits, &bytes);
                for cut in cuts(&bytes, rng) {
                    let (a, b) = bytes.split_at(cut);
                    let got = in_pieces(limits, cut % 2 == 0, [a, b]);
                    assert_same(&want, &got, &bytes, &format!("cut at {cut}"));
                }
                for _ in 0..20 {
                    let pieces = random_pieces(&bytes, rng);
                    let got = in_pieces(limits, rng.bool(), pieces.iter().copied());
                    let lengths: Vec<usize> = pieces.iter().map(|p| p.len()).take(50).collect();
                    assert_same(&want, &got, &bytes, &format!("in pieces of {lengths:?}"));
                }
            }
        }
    });
}

#[test]
fn a_request_is_the_same_byte_by_byte() {
    for bytes in corpus().iter().filter(|bytes| bytes.len() <= 3000) {
        let want = whole(OPEN, bytes);
        assert_same(&want, &in_pieces(OPEN, true, bytes.chunks(1)), bytes, "byte by byte");
    }
}

/// Nonsense of every kind neither panics nor hangs, and means the same in pieces.
/// An empty header line ends at its CR, whatever stands behind it. The shortcut for short lengths once looked past it.
#[test]
fn a_second_cr_does_not_lengthen_an_empty_header() {
    for bytes in [&b"*\r$\r\n"[..], b"*\r\r\n", b"*1\r\n$\r3\r\n", b"*1\r\n$\r\r\n"] {
        let want = whole(OPEN, bytes);
        assert!(want.1.is_some(), "{bytes:?}");
        assert_same(&want, &in_pieces(OPEN, false, bytes.chunks(1)), bytes, "byte by byte");
    }
}

#[test]
fn nonsense_is_the_same_in_pieces() {
    const ALPHABET: &[u8] = b"**$$$0123456789-+\r\r\n\n \"'\\xab\0!";
    seeded(|rng| {
        let seeds = corpus();
        for _ in 0..20_000 {
            let mut bytes = if rng.bool() {
                (0..rng.usize(..200)).map(|_| *rng.choice(ALPHABET).expect("not empty")).collect()
            } else {
                let seed = &seeds[rng.usize(..seeds.len())];
                seed[..seed.len().min(rng.usize(..400))].to_vec()
            };
            for _ in 0..rng.usize(..4) {
                if !bytes.is_empty() {
                    let at = rng.usize(..bytes.len());
                    bytes[at] = *rng.choice(ALPHABET).expect("not empty");
                }
            }
            let limits = if rng.u8(..4) == 0 { STRANGER } else { OPEN };
            let want = whole(limits, &bytes);
            let pieces = random_pieces(&bytes, rng);
            let got = in_pieces(limits, rng.bool(), pieces);
            assert_same(&want, &got, &bytes, "in pieces");
        }
    });
}

fn request(bytes: &[u8]) -> Result<Request, ProtocolError> {
    request_within(OPEN, bytes)
}

fn request_within(limits: Limits, bytes: &[u8]) -> Result<Request, ProtocolError> {
    match whole(limits, bytes) {
        (_, Some(error)) => Err(error),
        (mut requests, None) => Ok(requests.pop().expect("a request")),
    }
}

#[test]
fn lines_have_at_most_64_kib() {
    for (length, fits) in [(INLINE_MAX, true), (INLINE_MAX + 1, false)] {
        let inline = request(&line(b"x", b'y', length, b"\n"));
        let want = if fits { Ok(vec![vec![0; length]]) } else { Err(ProtocolError::TooBigInline) };
        assert_eq!(inline.map(|r| r[0].len()), want.map(|r| r[0].len()), "{length}");
        // Of a header line the limit counts the LF, too.
        let count = request(&line(b"*", b'1', length - 1, b"\r\n"));
        let len = request(&line(b"*1\r\n$", b'1', length + 3, b"\r\n"));
        let dollar = request(&line(b"*1\r\n!", b'1', length + 3, b"\r\n"));
        if fits {
            assert_eq!(count, Err(ProtocolError::InvalidMultibulkLength));
            assert_eq!(len, Err(ProtocolError::InvalidBulkLength));
            assert_eq!(dollar, Err(ProtocolError::ExpectedDollar(b'!')));
        } else {
            assert_eq!(count, Err(ProtocolError::TooBigMbulkCount));
            assert_eq!(len, Err(ProtocolError::TooBigBulkCount));
            assert_eq!(dollar, Err(ProtocolError::TooBigBulkCount));
        }
    }
}

#[test]
fn arguments_are_limited_in_number() {
    let arguments = |count: usize| {
        let mut bytes = format!("*{count}\r\n").into_bytes();
        bytes.extend_from_slice(&b"$0\r\n\r\n".repeat(count));
        bytes
    };
    let most = MAX_ARGS as usize;
    assert_eq!(request(&arguments(most)).map(|r| r.len()), Ok(most));
    assert_eq!(request(&arguments(most + 1)), Err(ProtocolError::InvalidMultibulkLength));
    let got = in_pieces(OPEN, true, arguments(most).chunks(64 * 1024));
    assert_eq!((got.0[0].len(), got.1), (most, None));
    assert_eq!(request_within(STRANGER, &arguments(10)).map(|r| r.len()), Ok(10));
    let error = Err(ProtocolError::UnauthenticatedMultibulkLength);
    assert_eq!(request_within(STRANGER, &arguments(11)), error);
}

#[test]
fn arguments_are_limited_in_length() {
    for max in [0, 1, 100, LARGE_BULK as i64 - 1, LARGE_BULK as i64 + 7] {
        let limits = Limits { max_bulk: max, ..OPEN };
        for (len, fits) in [(max as usize, true), (max as usize + 1, false)] {
            let bytes = multibulk(&[&vec![b'a'; len]]);
            let got = request_within(limits, &bytes);
            let want = if fits { Ok(len) } else { Err(ProtocolError::InvalidBulkLength) };
            assert_eq!(got.map(|r| r[0].len()), want, "{len} of {max}");
        }
    }
    let of = |len: usize| request_within(STRANGER, &multibulk(&[&vec![b'a'; len]]));
    assert_eq!(of(16 * 1024).map(|r| r[0].len()), Ok(16 * 1024));
    assert_eq!(of(16 * 1024 + 1), Err(ProtocolError::UnauthenticatedBulkLength));
}

/// Short requests have a way of their own through the parser, which smaller limits close: both ways lead to the same.
#[test]
fn short_requests_mean_the_same_by_either_way() {
    let narrow = Limits { max_bulk: 998, ..OPEN };
    let text: Vec<u8> = (0..998).map(|i| b"\r\n$*19 a"[i % 8]).collect();
    for count in 1..12 {
        for len in [0, 1, 2, 9, 10, 11, 99, 100, 101, 997, 998] {
            let parts: Vec<&[u8]> = (0..count).map(|i| &text[..(len + i * 7) % 999]).collect();
            let bytes = multibulk(&parts);
            let got = request_within(OPEN, &bytes);
            assert_eq!(got, request_within(narrow, &bytes), "{count} of {len}");
            assert_eq!(got.map(|request| request.len()), Ok(count));
            for cut in [1, bytes.len() / 2, bytes.len() - 1] {
                let got = in_pieces(OPEN, true, [&bytes[..cut], &bytes[cut..]]);
                assert_eq!(got, in_pieces(narrow, true, [&bytes[..]]));
            }
        }
    }
    for odd in [
        "*01\r\n$1\r\na\r\n",
        "*1\r\n$01\r\na\r\n",
        "*1\r\n$001\r\nabc\r\n",
        "*1\r\n$a1\r\na\r\n",
        "*1\r\n$1x\r\na\r\n",
    ] {
        let bytes = [odd.as_bytes(), b"        "].concat();
        let ways = [OPEN, narrow].map(|limits| in_pieces(limits, true, [&bytes[..]]));
        assert_eq!(ways[0], ways[1], "{odd:?}");
    }
}

/// Announcing half a gigabyte costs the announcer, not us.
#[test]
fn what_is_only_announced_takes_no_memory() {
    let mut connection = Connection::new(OPEN, true);
    connection.arrive(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
    connection.arrive(&[0; 10]);
    let large = connection.large.as_ref().expect("it is being gathered");
    assert!(large.memory() <= 1024 * 1024 + 4096, "{}", large.memory());
    assert_eq!((connection.requests.len(), connection.error), (0, None));
}

/// A large argument has an allocation of its own, of exactly its size, for the keyspace to keep.
#[test]
fn a_large_argument_can_be_kept() {
    let body: Vec<u8> = (0..5_000_000u32).map(|i| i as u8).collect();
    let bytes = multibulk(&[b"SET", b"k", &body]);
    let parser = Parser { limits: OPEN };
    let mut first = bytes[..100].to_vec();
    let parsed = parser.parse(&mut first, 0, &mut Vec::new());
    let Ok(Parsed::Large(mut large)) = parsed else { panic!("it is not gathered") };
    assert_eq!(large.feed(&bytes[100..]), Ok(bytes.len() - 100));
    assert!(large.is_whole());
    let kept = large.args().share(2).expect("an allocation of its own");
    assert!(*kept == body);
    assert_eq!(kept.capacity(), body.len());
    assert!(large.args().share(1).is_none());
    drop(large);
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
}

#[test]
fn what_stands_for_a_dollar_sign_is_shown_as_it_came() {
    for byte in [b'\r', b'\n', b'\t', 1, 0x7f, 0xff, b'!'] {
        let wrong = request(&[b"*1\r\n", &[byte][..], b"\r\n"].concat());
        assert_eq!(wrong, Err(ProtocolError::ExpectedDollar(byte)), "{byte}");
        let reply = ProtocolError::ExpectedDollar(byte).reply();
        assert!(reply.ends_with(&[b'\'', byte, b'\'']), "{byte}");
    }
    let (requests, error) = whole(OPEN, b"*1\r\n\r");
    assert!(requests.is_empty() && error.is_none(), "the line is not whole");
}

/// What is held depends on what has arrived, not on the pieces that it came in.
#[test]
fn a_large_request_takes_the_same_memory_however_it_arrives() {
    const LEN: usize = 4 * LARGE_BULK;
    let mut bytes = format!("*2\r\n${LEN}\r\n").into_bytes();
    bytes.resize(bytes.len() + LEN, b'v');
    let held = |piece: usize| {
        let (first, rest) = bytes.split_at(bytes.len().min(4));
        let parser = Parser { limits: Limits { max_bulk: LEN as i64, authenticated: true } };
        let mut start = first.to_vec();
        start.extend_from_slice(&rest[..piece.min(rest.len())]);
        let mut end = start.len();
        let mut large = loop {
            match parser.parse(&mut start, 0, &mut Vec::new()).expect("a request") {
                Parsed::Large(large) => break large,
                Parsed::Incomplete => {
                    start.extend_from_slice(&bytes[end..bytes.len().min(end + piece)]);
                    end = start.len();
                }
                other => panic!("{other:?}"),
            }
        };
        for piece in bytes[end..].chunks(piece) {
            assert_eq!(large.feed(piece).expect("good bytes"), piece.len());
        }
        assert_eq!(large.arrived(), LEN);
        large.memory()
    };
    let in_lines = held(13);
    for piece in [100, 10_000, LARGE_BULK, LEN] {
        let memory = held(piece);
        assert!(memory.abs_diff(in_lines) < 256, "{memory} in pieces of {piece}, else {in_lines}");
    }
}
