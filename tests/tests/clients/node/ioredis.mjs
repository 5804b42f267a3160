// ioredis against the server on the port in the first argument. Ends with "ok", or throws.
import assert from "node:assert/strict";
import Redis from "ioredis";

const options = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: 1 };
const redis = new Redis({ ...options, connectionName: "from-ioredis" });
await redis.flushall();

// Strings and numbers.
assert.equal(await redis.set("s", "värld"), "OK");
assert.equal(await redis.get("s"), "värld");
assert.equal(await redis.get("missing"), null);
assert.equal(await redis.append("s", "!"), 7);
assert.equal(await redis.incrby("n", 41), 41);
assert.equal(await redis.incr("n"), 42);
assert.equal(await redis.incrbyfloat("f", 0.5), "0.5");
assert.deepEqual(await redis.mget("s", "missing", "n"), ["värld!", null, "42"]);
assert.equal(await redis.set("s", "x", "NX"), null);
assert.equal(await redis.set("s", "x", "GET"), "värld!");

// Binary keys and values.
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await redis.set(bytes, bytes);
assert.deepEqual(await redis.getBuffer(bytes), bytes);

// Expiry.
await redis.set("e", "1", "EX", 100);
const ttl = await redis.ttl("e");
assert.ok(ttl > 90 && ttl <= 100, `ttl ${ttl}`);
assert.equal(await redis.persist("e"), 1);
assert.equal(await redis.ttl("e"), -1);
await redis.pexpire("e", 1);
while (await redis.exists("e")) await new Promise((resolve) => setTimeout(resolve, 2));

// A pipeline; an error in it is that command's alone.
const pipeline = redis.pipeline();
for (let i = 0; i < 1000; i++) pipeline.set(`p:${i}`, i);
pipeline.incr("s").get("p:999");
const replies = await pipeline.exec();
assert.equal(replies.length, 1002);
assert.match(replies[1000][0].message, /not an integer/);
assert.deepEqual(replies[1001], [null, "999"]);

// Transactions; a watched key that changes stops one.
assert.deepEqual(await redis.multi().set("t", "1").incr("t").exec(), [[null, "OK"], [null, 2]]);
const other = new Redis(options);
await redis.watch("t");
await other.set("t", "changed");
assert.equal(await redis.multi().set("t", "mine").exec(), null);
assert.equal(await redis.get("t"), "changed");

// Iteration sees every key once at least.
const seen = new Set();
for await (const keys of redis.scanStream({ match: "p:*", count: 50 })) keys.forEach((key) => seen.add(key));
assert.equal(seen.size, 1000);

// The connection's own matters.
assert.equal(await redis.client("GETNAME"), "from-ioredis");
await redis.client("SETNAME", "renamed");
assert.match(await redis.client("INFO"), /name=renamed/);
assert.match(await redis.client("LIST"), /name=renamed/);
assert.match(await redis.info("server"), /redis_version:/);
assert.deepEqual(await redis.config("GET", "maxmemory-policy"), ["maxmemory-policy", "noeviction"]);

// Errors carry the server's text.
await assert.rejects(redis.call("NOSUCH", "a"), /unknown command 'NOSUCH', with args beginning with: 'a'/);
await assert.rejects(redis.call("GET"), /wrong number of arguments for 'get' command/);

// Another database, duplicated from this connection.
const second = redis.duplicate({ db: 3 });
await second.set("only-here", "1");
assert.equal(await redis.exists("only-here"), 0);
assert.equal(await second.dbsize(), 1);

// Lists and hashes.
assert.equal(await redis.rpush("l", "a", "b", "c"), 3);
assert.deepEqual(await redis.lrange("l", 0, -1), ["a", "b", "c"]);
assert.equal(await redis.lmove("l", "l2", "LEFT", "RIGHT"), "a");
assert.equal(await redis.hset("h", { a: 1, b: "two" }), 2);
assert.deepEqual(await redis.hgetall("h"), { a: "1", b: "two" });

// Sets and sorted sets.
assert.equal(await redis.sadd("s1", 1, 2, 3), 3);
assert.equal(await redis.sadd("s2", 2, 3, 4), 3);
assert.deepEqual((await redis.sinter("s1", "s2")).sort(), ["2", "3"]);
assert.equal(await redis.zadd("z", 1, "a", 2.5, "b"), 2);
assert.deepEqual(await redis.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5"]);
assert.deepEqual(await redis.zpopmin("z"), ["a", "1"]);

// Streams with a group.
const id = await redis.xadd("x", "*", "n", "1");
assert.equal(await redis.xgroup("CREATE", "x", "g", "0"), "OK");
assert.deepEqual(await redis.xreadgroup("GROUP", "g", "worker", "STREAMS", "x", ">"), [["x", [[id, ["n", "1"]]]]]);
assert.equal((await redis.xpending("x", "g"))[0], 1);
assert.equal(await redis.xack("x", "g", id), 1);

// Geography, bitmaps, HyperLogLog.
assert.equal(await redis.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
assert.equal(await redis.geodist("g", "Palermo", "Catania", "km"), "166.2742");
assert.equal(await redis.setbit("bits", 7, 1), 0);
assert.equal(await redis.bitcount("bits"), 1);
assert.deepEqual(await redis.bitfield("bits", "SET", "u8", "#1", 200, "GET", "u8", "#1"), [0, 200]);
assert.equal(await redis.pfadd("hll", "a", "b", "c"), 1);
assert.equal(await redis.pfcount("hll"), 3);

// A blocking command is served by another connection.
const waiting = other.blpop("queue", 20);
assert.equal(await redis.rpush("queue", "job"), 1);
assert.deepEqual(await waiting, ["queue", "job"]);

// Pub/Sub.
const listener = redis.duplicate();
const heard = [];
listener.on("message", (channel, message) => heard.push(`${channel}: ${message}`));
listener.on("pmessage", (pattern, channel, message) => heard.push(`${pattern} ${channel}: ${message}`));
assert.equal(await listener.subscribe("news"), 1);
assert.equal(await listener.psubscribe("n*"), 2);
assert.equal(await redis.publish("news", "hello"), 2);
while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
assert.deepEqual(heard.sort(), ["n* news: hello", "news: hello"]);

await Promise.all([redis.quit(), other.quit(), second.quit(), listener.quit()]);
console.log("ok");
