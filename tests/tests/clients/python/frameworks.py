"""Celery and RQ with the server on the port in the first argument as broker and result store, and redis-py's Lock and
asyncio Pub/Sub: a small real job each. Ends with "ok", or raises."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import redis
import redis.asyncio
import rq
from celery import chain, chord, group

PORT = int(sys.argv[1])
os.environ["JOBS_PORT"] = str(PORT)

import jobs  # noqa: E402  it reads the port


def celery():
    worker = subprocess.Popen(
        [sys.executable, "-B", "-m", "celery", "-A", "jobs", "worker", "--pool", "solo", "--loglevel", "WARNING"],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert jobs.add.delay(2, 3).get(timeout=60) == 5
        many = group(jobs.add.s(i, i) for i in range(50))()
        assert many.get(timeout=60) == [2 * i for i in range(50)]
        assert chain(jobs.add.s(1, 2), jobs.add.s(3), jobs.add.s(4))().get(timeout=60) == 10
        assert chord((jobs.add.s(i, 1) for i in range(10)), jobs.total.s())().get(timeout=60) == 55
        assert jobs.shaky.delay().get(timeout=60) == 2
        late = jobs.add.apply_async((1, 1), countdown=0.3)
        assert late.get(timeout=60) == 2
        assert jobs.app.control.ping(timeout=60, limit=1), "the worker does not answer"
    finally:
        worker.terminate()
        worker.wait(30)


def queued():
    connection = redis.Redis(port=PORT, db=3)
    queue = rq.Queue("later", connection=connection)
    entered = [queue.enqueue(jobs.work_later, f"text {i}") for i in range(20)]
    failing = queue.enqueue(jobs.work_later, None)
    rq.SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
    assert [job.return_value() for job in entered] == [f"TEXT {i}" for i in range(20)]
    assert failing.get_status(refresh=True) == "failed" and len(queue.failed_job_registry) == 1
    assert len(queue) == 0 and len(queue.finished_job_registry) == 20


def lock():
    r = redis.Redis(port=PORT, decode_responses=True)
    inside, most = [0], [0]

    def take(times):
        for _ in range(times):
            with redis.Redis(port=PORT).lock("lock", timeout=10, sleep=0.001):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                r.incr("counter")
                inside[0] -= 1

    threads = [threading.Thread(target=take, args=(25,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = (most[0], r.get("counter"), r.exists("lock"))
    assert seen == (1, "100", 0), seen
    held = r.lock("lock", timeout=60)
    assert held.acquire() and not r.lock("lock").acquire(blocking=False)
    held.extend(10)
    assert held.owned()
    held.release()
    late = r.lock("lock", timeout=0.01)
    late.acquire()
    time.sleep(0.05)
    try:
        late.release()
        raise AssertionError("a lock that has expired is not its owner's any more")
    except redis.exceptions.LockNotOwnedError:
        pass


async def messages():
    r = redis.asyncio.Redis(port=PORT, decode_responses=True, protocol=3)
    async with r.pubsub() as listener:
        await listener.subscribe("news")
        await listener.psubscribe("new*")
        heard = []

        async def listen():
            async for message in listener.listen():
                if message["type"].endswith("message"):
                    heard.append((message["type"], message["data"]))
                if {("message", "98"), ("pmessage", "98")} <= set(heard):
                    return

        task = asyncio.create_task(listen())
        while await r.publish("news", "first") < 2:
            await asyncio.sleep(0.01)
        for i in range(99):
            await r.publish("news", str(i))
        await asyncio.wait_for(task, 30)
        texts = [text for kind, text in heard if kind == "message"]
        assert texts[-99:] == [str(i) for i in range(99)], texts
    async with r.pipeline(transaction=True) as pipe:
        assert await pipe.set("a", 1).incr("a").execute() == [True, 2]
    await r.aclose()


if __name__ == "__main__":
    redis.Redis(port=PORT).flushall()
    lock()
    asyncio.run(messages())
    queued()
    celery()
    print("ok")
