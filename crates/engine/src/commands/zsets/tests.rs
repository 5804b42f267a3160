//! What the commands on sorted sets, on positions and SORT reply, in-process.

use crate::harness::Harness;

fn lines(h: &mut Harness, steps: &[(&str, &str)]) {
    for (line, reply) in steps {
        assert_eq!(h.line(line), reply.replace(' ', "\r\n") + "\r\n", "{line}");
    }
}

#[test]
fn scores_are_set_under_conditions() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("ZADD z XX 1 a", ":0"),
            ("EXISTS z", ":0"),
            ("ZADD z 1 a 2 b", ":2"),
            ("ZADD z NX 5 a 3 c", ":1"),
            ("ZADD z GT CH 0.5 a 4 b", ":1"),
            ("ZADD z LT CH 0.5 a", ":1"),
            ("ZADD z INCR 1 a", "$3 1.5"),
            ("ZADD z NX INCR 1 a", "$-1"),
            ("ZINCRBY z inf a", "$3 inf"),
            ("ZMSCORE z a b none", "*3 $3 inf $1 4 $-1"),
        ],
    );
    for (line, error) in [
        ("ZADD z INCR -inf a", "ERR resulting score is not a number (NaN)"),
        ("ZADD z NX XX 1 a", "ERR XX and NX options at the same time are not compatible"),
        ("ZADD z INCR 1 a 2 b", "ERR INCR option supports a single increment-element pair"),
        ("ZADD z x a", "ERR value is not a valid float"),
        ("ZADD z CH", "ERR syntax error"),
    ] {
        let arity = line == "ZADD z CH";
        let error = if arity { "ERR wrong number of arguments for 'zadd' command" } else { error };
        assert_eq!(h.line(line), format!("-{error}\r\n"));
    }
    assert_eq!(h.line("ZSCORE z a"), "$3\r\ninf\r\n");
}

#[test]
fn ranges_are_by_rank_score_or_text() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("ZADD z 1 a 2 b 3 c 4 d", ":4"),
            ("ZRANGE z 1 -2", "*2 $1 b $1 c"),
            ("ZRANGE z 0 0 REV WITHSCORES", "*2 $1 d $1 4"),
            ("ZRANGE z (1 3 BYSCORE LIMIT 1 -1", "*1 $1 c"),
            ("ZRANGE z 3 -inf BYSCORE REV LIMIT 0 2", "*2 $1 c $1 b"),
            ("ZRANGE z (a [c BYLEX", "*2 $1 b $1 c"),
            ("ZRANGESTORE y z + [c BYLEX REV", ":2"),
            ("ZRANGE y 0 -1", "*2 $1 c $1 d"),
            ("ZRANGESTORE y z 9 10", ":0"),
            ("EXISTS y", ":0"),
            ("ZRANK z c WITHSCORE", "*2 :2 $1 3"),
            ("ZREVRANK z c", ":1"),
            ("ZRANK z none WITHSCORE", "*-1"),
            ("ZREMRANGEBYRANK z 0 1", ":2"),
            ("ZREMRANGEBYSCORE z 3 3", ":1"),
            ("ZPOPMAX z 9", "*2 $1 d $1 4"),
            ("TYPE z", "+none"),
        ],
    );
    assert_eq!(
        h.line("ZRANGE z 0 1 LIMIT 0 1"),
        "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX\r\n"
    );
}

#[test]
fn sets_are_put_together() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("ZADD a 1 x 2 y", ":2"),
            ("SADD b y z", ":2"),
            ("ZUNION 2 a b WITHSCORES", "*6 $1 x $1 1 $1 z $1 1 $1 y $1 3"),
            ("ZINTER 2 a b WEIGHTS 10 1 AGGREGATE MAX WITHSCORES", "*2 $1 y $2 20"),
            ("ZDIFF 2 a b", "*1 $1 x"),
            ("ZINTERCARD 2 a a LIMIT 1", ":1"),
            ("ZDIFFSTORE a 2 a a", ":0"),
            ("EXISTS a", ":0"),
            ("ZUNIONSTORE a 1 b", ":2"),
            ("SET s x", "+OK"),
        ],
    );
    assert!(h.line("ZUNION 2 a s").starts_with("-WRONGTYPE"));
    assert!(h.line("ZUNION 0 a").starts_with("-ERR at least 1 input key is needed for 'zunion'"));
}

#[test]
fn the_longest_waiter_gets_the_lowest_score() {
    let mut h = Harness::new();
    let (first, second) = (h.connect(), h.connect());
    h.attempt(first, &[b"BZPOPMIN", b"a", b"b", b"0"]);
    h.attempt(second, &[b"BZMPOP", b"0", b"1", b"b", b"MAX", b"COUNT", b"2"]);
    // Not what they wait for.
    h.line("RPUSH b x");
    h.line("DEL b");
    assert!(h.deliveries().is_empty());
    h.line("ZADD b 3 three 1 one 2 two");
    let replies: Vec<Option<String>> = h.deliveries().into_iter().map(|(_, text)| text).collect();
    let wanted = [
        "*3\r\n$1\r\nb\r\n$3\r\none\r\n$1\r\n1\r\n",
        "*2\r\n$1\r\nb\r\n*2\r\n*2\r\n$5\r\nthree\r\n$1\r\n3\r\n*2\r\n$3\r\ntwo\r\n$1\r\n2\r\n",
    ];
    assert_eq!(replies, wanted.map(|text| Some(text.to_owned())));
    lines(
        &mut h,
        &[
            ("EXISTS b", ":0"),
            ("MULTI", "+OK"),
            ("BZPOPMAX a b 0", "+QUEUED"),
            ("BZMPOP 0 1 a MIN", "+QUEUED"),
            ("EXEC", "*2 *-1 *-1"),
        ],
    );
}

#[test]
fn positions_are_found_around_others() {
    let mut h = Harness::new();
    let added = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";
    lines(
        &mut h,
        &[
            (added, ":2"),
            ("GEODIST g Palermo Catania km", "$8 166.2742"),
            ("GEOHASH g Palermo none", "*2 $11 sqc8b49rny0 $-1"),
            ("GEOSEARCH g FROMMEMBER Palermo BYRADIUS 100 km", "*1 $7 Palermo"),
            ("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 1", "*1 $7 Palermo"),
            ("GEORADIUS g 15 37 200 km STORE target ASC", ":2"),
            ("ZSCORE target Palermo", "$16 3479099956230698"),
            ("GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 1 m STOREDIST", ":1"),
            ("ZSCORE d Palermo", "$1 0"),
        ],
    );
    assert_eq!(
        h.line("GEOADD g 181 0 x"),
        "-ERR invalid longitude,latitude pair 181.000000,0.000000\r\n"
    );
    assert_eq!(
        h.line("GEORADIUSBYMEMBER g none 1 m"),
        "-ERR could not decode requested zset member\r\n"
    );
}

#[test]
fn elements_are_sorted_by_themselves_or_by_other_keys() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("RPUSH l 2 10 1", ":3"),
            ("SORT l", "*3 $1 1 $1 2 $2 10"),
            ("SORT l ALPHA DESC LIMIT 0 2", "*2 $1 2 $2 10"),
            ("MSET w_1 30 w_2 20 w_10 10", "+OK"),
            ("HSET h_1 f one", ":1"),
            ("SORT l BY w_* GET # GET h_*->f", "*6 $2 10 $-1 $1 2 $-1 $1 1 $3 one"),
            ("SORT_RO l BY nosort DESC", "*3 $1 1 $2 10 $1 2"),
            ("SORT l STORE target", ":3"),
            ("LRANGE target 0 -1", "*3 $1 1 $1 2 $2 10"),
            ("SORT none STORE target", ":0"),
            ("EXISTS target", ":0"),
            ("RPUSH l x", ":4"),
        ],
    );
    assert_eq!(h.line("SORT l"), "-ERR One or more scores can't be converted into double\r\n");
    assert_eq!(h.line("SORT_RO l STORE x"), "-ERR syntax error\r\n");
}
