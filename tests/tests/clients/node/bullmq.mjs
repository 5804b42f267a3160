// BullMQ against the server on the port in the first argument: a queue with delays, priorities, retries, a repeated job
// and a flow of parent and children, worked off by two workers. Ends with "ok", or throws.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection });
await events.waitUntilReady();

const done = [];
const tries = new Map();
const handle = async (job) => {
  tries.set(job.id, (tries.get(job.id) ?? 0) + 1);
  await job.updateProgress(50);
  if (job.name === "shaky" && tries.get(job.id) < 3) throw new Error("not yet");
  if (job.name === "hopeless") throw new Error("never");
  if (job.name === "parent") {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, 0);
  }
  done.push(job.name);
  return job.data.n * 2;
};
const workers = [1, 2].map(() => new Worker("work", handle, { connection, concurrency: 4 }));
await Promise.all(workers.map((worker) => worker.waitUntilReady()));

// Many at once, and their results.
const jobs = await queue.addBulk(
  Array.from({ length: 100 }, (_, n) => ({ name: "plain", data: { n } })),
);
const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30_000)));
assert.deepEqual(results, Array.from({ length: 100 }, (_, n) => n * 2));

// A delayed one comes late, one that fails is tried again, and one that always fails ends as failed.
const begin = Date.now();
const delayed = await queue.add("delayed", { n: 1 }, { delay: 300 });
assert.equal(await delayed.waitUntilFinished(events, 30_000), 2);
assert.ok(Date.now() - begin >= 290, "it came too early");
const shaky = await queue.add("shaky", { n: 3 }, { attempts: 3, backoff: { type: "fixed", delay: 20 } });
assert.equal(await shaky.waitUntilFinished(events, 30_000), 6);
assert.equal(tries.get(shaky.id), 3);
const hopeless = await queue.add("hopeless", {}, { attempts: 2 });
await assert.rejects(hopeless.waitUntilFinished(events, 30_000), /never/);
assert.equal(await hopeless.getState(), "failed");

// Priorities: while nobody works, the important one overtakes.
await Promise.all(workers.map((worker) => worker.close()));
await queue.add("low", { n: 1 }, { priority: 10 });
await queue.add("high", { n: 1 }, { priority: 1 });
assert.deepEqual(await queue.getJobCounts("prioritized", "failed"), { prioritized: 2, failed: 1 });
done.length = 0;
const single = new Worker("work", handle, { connection, concurrency: 1 });
while (done.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
assert.deepEqual(done, ["high", "low"]);

// A parent waits for its children.
const flow = new FlowProducer({ connection });
const tree = await flow.add({
  name: "parent",
  queueName: "work",
  data: {},
  children: [1, 2, 3].map((n) => ({ name: "child", queueName: "work", data: { n } })),
});
assert.equal(await tree.job.waitUntilFinished(events, 30_000), 12);

// A schedule.
done.length = 0;
await queue.upsertJobScheduler("ticks", { every: 50 }, { name: "tick", data: { n: 0 } });
while (done.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
assert.equal(await queue.removeJobScheduler("ticks"), true);

await single.close();
await flow.close();
await queue.obliterate({ force: true });
assert.equal(await queue.count(), 0);
await events.close();
await queue.close();
console.log("ok");
