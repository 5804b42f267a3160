// node-redis against the server on the port in the first argument, once per protocol. Ends with "ok", or throws.
import assert from "node:assert/strict";
import { BasicClientSideCache, createClient, RESP_TYPES } from "redis";

const socket = { host: "127.0.0.1", port: Number(process.argv[2]), reconnectStrategy: false };

async function check(RESP) {
  const client = createClient({ socket, RESP, name: `from-node-redis-${RESP}` });
  await client.connect();
  await client.flushAll();

  // Strings and numbers.
  assert.equal(await client.set("s", "värld"), "OK");
  assert.equal(await client.get("s"), "värld");
  assert.equal(await client.get("missing"), null);
  assert.equal(await client.append("s", "!"), 7);
  assert.equal(await client.incrBy("n", 42), 42);
  assert.equal(await client.incrByFloat("f", 0.5), "0.5");
  assert.deepEqual(await client.mGet(["s", "missing", "n"]), ["värld!", null, "42"]);
  await client.mSet({ a: "1", b: "2" });
  assert.equal(await client.getRange("s", -2, -1), "d!");
  assert.equal(await client.getDel("a"), "1");
  assert.equal(await client.exists(["a", "b"]), 1);

  // Binary values.
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await client.set("bytes", bytes);
  const raw = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  assert.deepEqual(await raw.get("bytes"), bytes);

  // Expiry.
  await client.set("e", "1", { EX: 100 });
  const ttl = await client.ttl("e");
  assert.ok(ttl > 90 && ttl <= 100, `ttl ${ttl}`);
  assert.equal(Number(await client.persist("e")), 1);
  await client.pExpire("e", 1);
  while (await client.exists("e")) await new Promise((resolve) => setTimeout(resolve, 2));

  // Requests of one turn of the event loop travel as one pipeline.
  await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set(`p:${i}`, String(i))));
  assert.equal(await client.get("p:999"), "999");

  // Transactions; a watched key that changes stops one.
  assert.deepEqual(await client.multi().set("t", "1").incr("t").get("t").exec(), ["OK", 2, "2"]);
  const other = client.duplicate();
  await other.connect();
  await client.watch("t");
  await other.set("t", "changed");
  await assert.rejects(client.multi().set("t", "mine").exec(), /watched keys/i);
  assert.equal(await client.get("t"), "changed");

  // Iteration sees every key once at least.
  const seen = new Set();
  for await (const keys of client.scanIterator({ MATCH: "p:*", COUNT: 50 })) keys.forEach((key) => seen.add(key));
  assert.equal(seen.size, 1000);

  // The connection's own matters.
  assert.equal(await client.clientGetName(), `from-node-redis-${RESP}`);
  await client.clientSetName("renamed");
  assert.equal((await client.clientInfo()).name, "renamed");
  assert.match(await client.info("server"), /redis_version:/);
  assert.equal((await client.configGet("maxmemory-policy"))["maxmemory-policy"], "noeviction");
  assert.equal(await client.objectEncoding("n"), "int");

  // Errors carry the server's text.
  await assert.rejects(client.sendCommand(["NOSUCH", "a"]), /unknown command 'NOSUCH', with args beginning with: 'a'/);
  await assert.rejects(client.incr("s"), /not an integer/);

  await Promise.all([client.close(), other.close()]);
}

async function checkTypes(RESP) {
  const client = createClient({ socket, RESP });
  await client.connect();
  await client.flushAll();

  // Lists and hashes.
  assert.equal(await client.rPush("l", ["a", "b", "c"]), 3);
  assert.deepEqual(await client.lRange("l", 0, -1), ["a", "b", "c"]);
  assert.equal(await client.lMove("l", "l2", "LEFT", "RIGHT"), "a");
  assert.equal(await client.hSet("h", { a: "1", b: "two" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("h")) }, { a: "1", b: "two" });
  assert.equal(await client.hIncrBy("h", "a", 4), 5);

  // Sets and sorted sets.
  assert.equal(await client.sAdd("s1", ["1", "2", "3"]), 3);
  assert.equal(await client.sAdd("s2", ["2", "3", "4"]), 3);
  assert.deepEqual([...(await client.sInter(["s1", "s2"]))].sort(), ["2", "3"]);
  assert.equal(await client.sUnionStore("s3", ["s1", "s2"]), 4);
  assert.equal(await client.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
  assert.deepEqual(await client.zRangeWithScores("z", 0, -1), [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]);
  assert.equal(await client.zScore("z", "b"), 2.5);
  assert.equal(await client.zRank("z", "b"), 1);
  assert.deepEqual(await client.zPopMin("z"), { score: 1, value: "a" });

  // Streams with a group.
  const id = await client.xAdd("x", "*", { n: "1" });
  assert.equal(await client.xGroupCreate("x", "g", "0"), "OK");
  assert.equal((await client.xRange("x", "-", "+"))[0].message.n, "1");
  const read = await client.sendCommand(["XREADGROUP", "GROUP", "g", "worker", "STREAMS", "x", ">"]);
  assert.ok(JSON.stringify(read).includes(id));
  assert.equal((await client.xPending("x", "g")).pending, 1);
  assert.equal(await client.xAck("x", "g", id), 1);

  // Geography, bitmaps, HyperLogLog.
  const cities = [
    { member: "Palermo", longitude: 13.361389, latitude: 38.115556 },
    { member: "Catania", longitude: 15.087269, latitude: 37.502669 },
  ];
  assert.equal(await client.geoAdd("g", cities), 2);
  assert.ok(Math.abs((await client.geoDist("g", "Palermo", "Catania", "km")) - 166.27) < 0.01);
  assert.equal(await client.setBit("bits", 7, 1), 0);
  assert.equal(await client.bitCount("bits"), 1);
  assert.equal(await client.bitOp("NOT", "inverse", "bits"), 1);
  assert.equal(await client.getBit("inverse", 7), 0);
  assert.equal(Number(await client.pfAdd("hll", ["a", "b", "c"])), 1);
  assert.equal(await client.pfCount("hll"), 3);

  // A blocking command is served by another connection.
  const other = client.duplicate();
  await other.connect();
  const waiting = other.blPop("queue", 20);
  assert.equal(await client.rPush("queue", "job"), 1);
  assert.deepEqual({ ...(await waiting) }, { key: "queue", element: "job" });

  // Pub/Sub.
  const listener = client.duplicate();
  await listener.connect();
  const heard = [];
  await listener.subscribe("news", (message) => heard.push(message));
  await listener.pSubscribe("n*", (message, channel) => heard.push(`${channel}: ${message}`));
  assert.equal(await client.publish("news", "hello"), 2);
  while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual(heard.sort(), ["hello", "news: hello"]);

  const replies = await client.multi().rPush("l3", "1").hSet("h3", "f", "1").sAdd("s4", "1").pfAdd("p", "1").exec();
  assert.deepEqual(replies.map(Number), [1, 1, 1, 1]);
  await Promise.all([client.close(), other.close(), listener.close()]);
}

// What a client keeps of its replies is thrown away when somebody else changes the key, and at no other time.
async function checkClientSideCache() {
  const clientSideCache = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: "LRU" });
  const reader = createClient({ socket, RESP: 3, clientSideCache });
  const writer = createClient({ socket, RESP: 3 });
  await Promise.all([reader.connect(), writer.connect()]);
  await writer.flushAll();
  await writer.set("shop:1", "open");
  await writer.hSet("prices", { apple: "1", pear: "2" });

  const asked = async (calls, expected) => {
    const before = clientSideCache.stats();
    await calls();
    const after = clientSideCache.stats();
    const [hits, misses] = [after.hitCount - before.hitCount, after.missCount - before.missCount];
    assert.deepEqual({ hits, misses }, expected);
  };
  const readAll = async (state, apple) => {
    assert.equal(await reader.get("shop:1"), state);
    assert.equal(await reader.hGet("prices", "apple"), apple);
  };
  await asked(() => readAll("open", "1"), { hits: 0, misses: 2 });
  for (let i = 0; i < 50; i++) await asked(() => readAll("open", "1"), { hits: 2, misses: 0 });

  // Each change is seen, soon; what was not changed stays.
  let last;
  for (const state of ["closed", "open", "sold"]) {
    await writer.set("shop:1", state);
    while ((last = await reader.get("shop:1")) !== state) await new Promise((resolve) => setTimeout(resolve, 2));
    await asked(() => readAll(state, "1"), { hits: 2, misses: 0 });
  }
  await writer.eval("redis.call('HSET', KEYS[1], 'apple', '5')", { keys: ["prices"] });
  while ((last = await reader.hGet("prices", "apple")) !== "5") await new Promise((resolve) => setTimeout(resolve, 2));
  await writer.del("shop:1");
  while ((last = await reader.get("shop:1")) !== null) await new Promise((resolve) => setTimeout(resolve, 2));
  await writer.set("shop:1", "new");
  await writer.flushAll();
  while ((last = await reader.hGet("prices", "apple")) != null) await new Promise((resolve) => setTimeout(resolve, 2));
  await Promise.all([reader.close(), writer.close()]);
}

for (const RESP of [2, 3]) {
  await check(RESP);
  await checkTypes(RESP);
}
await checkClientSideCache();
console.log("ok");
