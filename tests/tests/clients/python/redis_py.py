"""redis-py against the server on the port in the first argument, once per protocol. Ends with "ok", or raises."""

import sys
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


check(2)
check(3)
print("ok")
