"""redis-py against the server on the port in the first argument, once per protocol. Ends with "ok", or raises."""

import sys
import threading
import time

import redis

PORT = int(sys.argv[1])


def connect(protocol, **more):
    return redis.Redis(host="127.0.0.1", port=PORT, protocol=protocol, **more)


def raises(text, call, *args):
    try:
        call(*args)
    except redis.ResponseError as error:
        assert text in str(error), f"{error!r} lacks {text!r}"
    else:
        raise AssertionError(f"no error, expected {text!r}")


def check(protocol):
    r = connect(protocol, client_name=f"from-redis-py-{protocol}")
    r.flushall()

    # Strings and numbers.
    assert r.set("s", "värld") is True
    assert r.get("s").decode() == "värld"
    assert r.get("missing") is None
    assert r.append("s", "!") == 7
    assert r.incrby("n", 42) == 42
    assert r.incrbyfloat("f", 0.5) == 0.5
    assert r.mset({"a": 1, "b": 2}) is True
    assert r.mget("a", "missing", "b") == [b"1", None, b"2"]
    assert r.set("a", "x", nx=True) is None
    assert r.set("a", "x", get=True) == b"1"
    assert r.getrange("s", -2, -1) == b"d!"
    assert r.setrange("a", 3, "y") == 4
    assert r.get("a") == b"x\0\0y"
    assert r.lcs("s", "s", len=True) == 7
    assert r.object("encoding", "n") in (b"int", "int")
    assert r.type("s") == b"string"

    # Binary keys and values, and a large one.
    every_byte = bytes(range(256))
    r.set(every_byte, every_byte)
    assert r.get(every_byte) == every_byte
    large = every_byte * 8192
    r.set("large", large)
    assert r.get("large") == large
    assert r.strlen("large") == len(large)

    # Expiry.
    r.set("e", 1, ex=100)
    assert 90 < r.ttl("e") <= 100
    assert r.persist("e") is True
    assert r.ttl("e") == -1
    assert r.ttl("missing") == -2
    assert r.expireat("e", int(time.time()) + 1000)
    assert r.expiretime("e") > time.time()
    assert r.getex("e", px=1) == b"1"
    while r.exists("e"):
        time.sleep(0.002)

    # A pipeline without a transaction; an error in it is that command's alone.
    pipe = r.pipeline(transaction=False)
    for i in range(1000):
        pipe.set(f"p:{i}", i)
    pipe.incr("s")
    pipe.get("p:999")
    replies = pipe.execute(raise_on_error=False)
    assert len(replies) == 1002
    assert isinstance(replies[1000], redis.ResponseError)
    assert replies[1001] == b"999"

    # Transactions; a watched key that changes stops one.
    assert r.pipeline().set("t", 1).incr("t").execute() == [True, 2]
    with r.pipeline() as pipe:
        pipe.watch("t")
        assert pipe.get("t") == b"2"
        r.set("t", "changed")
        pipe.multi()
        pipe.set("t", "mine")
        try:
            pipe.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("the watched key had changed")
    assert r.get("t") == b"changed"
    r.transaction(lambda pipe: pipe.multi() or pipe.set("t", "mine"), "t")
    assert r.get("t") == b"mine"

    # Iteration sees every key once at least.
    assert {key for key in r.scan_iter("p:*", count=50)} == {f"p:{i}".encode() for i in range(1000)}
    assert len(r.keys("p:*")) == 1000

    # The connection's own matters, on one connection.
    with r.client() as one:
        assert one.client_getname() in (f"from-redis-py-{protocol}", f"from-redis-py-{protocol}".encode())
        assert one.client_setname("renamed")
        assert one.client_info()["name"] == "renamed"
        assert any(int(c["id"]) == one.client_id() for c in one.client_list())
    assert r.info("server")["redis_version"]
    assert r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert r.config_set("slowlog-max-len", 99) is True
    assert r.command_count() > 50 and "get" in r.command()
    assert r.memory_usage("s") > 0
    assert r.time()[0] > 1_600_000_000
    assert r.slowlog_reset() and r.slowlog_len() >= 0

    # Other databases.
    other = connect(protocol, db=3)
    other.set("only-here", 1)
    assert r.exists("only-here") == 0
    assert other.dbsize() == 1
    assert other.move("only-here", 4) is True
    assert r.swapdb(4, 5) and connect(protocol, db=5).get("only-here") == b"1"

    # Errors carry the server's text.
    raises("unknown command 'NOSUCH', with args beginning with: 'a'", r.execute_command, "NOSUCH", "a")
    raises("wrong number of arguments for 'get' command", r.execute_command, "GET")
    raises("value is not an integer or out of range", r.incr, "s")
    raises("no such key", r.rename, "missing", "x")


def check_types(protocol):
    r = connect(protocol, decode_responses=True)
    r.flushall()

    # Lists.
    assert r.rpush("l", "a", "b", "c") == 3
    assert r.lrange("l", 0, -1) == ["a", "b", "c"]
    assert r.lmove("l", "l2", "LEFT", "RIGHT") == "a"
    assert r.lpos("l", "c") == 1 and r.linsert("l", "BEFORE", "c", "x") == 3
    assert r.lmpop(2, "none", "l", direction="RIGHT", count=2) == ["l", ["c", "x"]]

    # Hashes, their fields' expiry included.
    assert r.hset("h", mapping={"a": 1, "b": "two"}) == 2
    assert r.hgetall("h") == {"a": "1", "b": "two"}
    assert r.hincrby("h", "a", 4) == 5 and r.hincrbyfloat("h", "a", 0.5) == 5.5
    assert r.hmget("h", "a", "none") == ["5.5", None]
    assert dict(r.hscan_iter("h")) == r.hgetall("h")
    assert r.hexpire("h", 100, "a") == [1] and 90 < r.httl("h", "a")[0] <= 100

    # Sets.
    assert r.sadd("s1", 1, 2, 3) == 3 and r.sadd("s2", 2, 3, 4) == 3
    assert r.sinter("s1", "s2") == {"2", "3"} and r.sunionstore("s3", "s1", "s2") == 4
    assert r.smismember("s1", "1", "9") == [1, 0] and r.sintercard(2, ["s1", "s2"]) == 2
    assert set(r.sscan_iter("s3")) == {"1", "2", "3", "4"}

    # Sorted sets.
    assert r.zadd("z", {"a": 1, "b": 2.5, "c": 3}) == 3
    assert [tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)] == [("a", 1), ("b", 2.5), ("c", 3)]
    assert r.zrank("z", "c") == 2 and r.zscore("z", "b") == 2.5 and r.zincrby("z", 10, "a") == 11
    assert r.zrange("z", "(2.5", "+inf", byscore=True) == ["c", "a"]
    assert r.zremrangebyrank("z", 0, 0) == 1 and r.zunionstore("z2", {"z": 2}) == 2
    assert [str(part) for part in r.zpopmin("z2")[0]] in (["c", "6.0"], ["c", "6"]) or r.zcard("z2") == 1

    # Streams with a group: what is read is pending until it is acknowledged.
    first = r.xadd("x", {"n": 1})
    assert r.xgroup_create("x", "g", id="0") and r.xlen("x") == 1
    entries = r.xreadgroup("g", "worker", {"x": ">"}, count=10)
    assert first in str(entries)
    assert r.xpending("x", "g")["pending"] == 1
    assert r.xautoclaim("x", "g", "other", 0)[1][0][0] == first
    assert r.xack("x", "g", first) == 1 and r.xinfo_groups("x")[0]["pending"] == 0
    assert r.xrange("x") == [(first, {"n": "1"})] and r.xtrim("x", maxlen=0) == 1

    # Geography, bitmaps, HyperLogLog, sorting.
    assert r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert abs(float(r.geodist("g", "Palermo", "Catania", "km")) - 166.27) < 0.01
    assert r.geosearch("g", member="Palermo", radius=200, unit="km", sort="ASC") == ["Palermo", "Catania"]
    assert r.setbit("bits", 7, 1) == 0 and r.bitcount("bits") == 1 and r.bitpos("bits", 1) == 7
    assert r.bitop("NOT", "inverse", "bits") == 1 and r.getbit("inverse", 7) == 0
    assert r.bitfield("bits").set("u8", "#1", 200).get("u8", "#1").execute() == [0, 200]
    assert r.pfadd("hll", *range(1000)) == 1 and abs(r.pfcount("hll") - 1000) < 30
    assert r.pfmerge("hll2", "hll") and r.pfcount("hll2") == r.pfcount("hll")
    assert r.sort("s1", desc=True) == ["3", "2", "1"]

    # A blocking command is served by another connection; one that waits in vain gets nothing.
    found = []
    waiter = threading.Thread(target=lambda: found.append(connect(protocol).blpop(["queue"], timeout=20)))
    waiter.start()
    while not any(c["cmd"] == "blpop" for c in r.client_list()):
        time.sleep(0.002)
    assert r.rpush("queue", "job") == 1
    waiter.join()
    assert [bytes(part) for part in found[0]] == [b"queue", b"job"]
    assert r.bzpopmin("nothing", timeout=0.01) is None

    # Pub/Sub.
    with r.pubsub(ignore_subscribe_messages=False) as listener:
        listener.subscribe("news")
        listener.psubscribe("n*")
        kinds = [listener.get_message(timeout=20)["type"] for _ in range(2)]
        assert kinds == ["subscribe", "psubscribe"]
        assert r.publish("news", "hello") == 2 and r.pubsub_numsub("news") == [("news", 1)]
        heard = sorted((m["type"], m["data"]) for m in (listener.get_message(timeout=20) for _ in range(2)))
        assert heard == [("message", "hello"), ("pmessage", "hello")]

    # Every type in one transaction.
    pipe = r.pipeline(transaction=True)
    pipe.delete("l", "h").rpush("l", 1).hset("h", "f", 1).sadd("s", 1).zadd("z", {"m": 1}).xadd("x", {"f": 1}, id="*")
    assert pipe.execute()[1:5] == [1, 1, 1, 1]


for protocol in (2, 3):
    check(protocol)
    check_types(protocol)
print("ok")
