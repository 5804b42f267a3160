// node-redis against the server on the port in the first argument, once per protocol. Ends with "ok", or throws.
import assert from "node:assert/strict";
import { createClient, RESP_TYPES } from "redis";

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

await check(2);
await check(3);
console.log("ok");
