"""Every call of Debian's python3-etcd3gw against the server HOST:PORT; prints what each gave, without what differs from server to server."""
import sys
import threading
import time

from etcd3gw import exceptions
from etcd3gw.client import Etcd3Client

host, port = sys.argv[1].split(":")
client = Etcd3Client(host=host, port=int(port), api_path="/v3/", timeout=10)


def show(title, value):
    print(title + ":", value, flush=True)


def metadata(rows):
    return [(value, row["key"], row["version"], row["mod_revision"]) for value, row in rows]


show("create", client.create("a", "1"))
show("create again", client.create("a", "2"))
show("put", client.put("b", "2"))
show("get", client.get("a"))
show("get nothing", client.get("zz"))
show("get, metadata", metadata(client.get("a", metadata=True)))
show("put of bytes", client.put(b"bin", b"\x00\xff\xfe"))
show("get of bytes", client.get(b"bin"))
for i in range(3):
    client.put("p/%d" % i, "v%d" % (2 - i))
show("prefix", metadata(client.get_prefix("p/")))
show("prefix, by value, descending", metadata(client.get_prefix("p/", sort_order="descend", sort_target="value")))
show("all", sorted(row["key"] for _, row in client.get_all()))
show("replace", client.replace("a", "1", "3"))
show("replace of another value", client.replace("a", "1", "4"))
show("value", client.get("a"))
show("delete", client.delete("b"))
show("delete nothing", client.delete("b"))
show("delete prefix", client.delete_prefix("p/"))
show("prefix after", client.get_prefix("p/"))
show("transaction", client.transaction({
    "compare": [{"key": "YQ==", "result": "EQUAL", "target": "VALUE", "value": "Mw=="}],
    "success": [{"request_put": {"key": "dA==", "value": "MQ=="}}], "failure": []})["succeeded"])

lease = client.lease(ttl=60)
show("lease, ttl", 55 < lease.ttl() <= 60)
show("put with it", client.put("l", "1", lease=lease))
show("its keys", lease.keys())
show("refresh", lease.refresh())
show("revoke", lease.revoke())
show("its key", client.get("l"))
show("refresh of one that is gone", lease.refresh())
show("ttl of one that is gone", lease.ttl())
short = client.lease(ttl=2)
client.put("s", "1", lease=short)
time.sleep(5)
show("its key, after its time", client.get("s"))

lock = client.lock("work", ttl=60)
show("lock", lock.acquire())
show("is held", lock.is_acquired())
show("second lock", client.lock("work", ttl=60).acquire())
show("refresh of the lock", lock.refresh())
show("release", lock.release())
show("lock after it", client.lock("work", ttl=60).acquire())

events, cancel = client.watch_prefix("w/")
threading.Timer(0.3, lambda: [client.put("w/%d" % i, "x%d" % i) for i in range(3)] + [client.delete("w/1")]).start()
show("watch", [(e.get("type"), e["kv"]["key"], e["kv"].get("value")) for _, e in zip(range(4), events)])
cancel()
threading.Timer(0.3, lambda: client.put("once", "y")).start()
show("watch once", client.watch_once("once", timeout=5)["kv"]["value"])
try:
    client.watch_once("never", timeout=1)
except exceptions.WatchTimedOut:
    show("watch of nothing", "timed out")

events, cancel = client.watch("large")
threading.Timer(0.3, lambda: client.put("large", "z" * 1000)).start()
show("watch of a larger value", len(next(events)["kv"]["value"]))
cancel()

show("members", [(sorted(set(m) - {"peerURLs"}), m["name"]) for m in client.members()])
show("status", sorted(set(client.status()) - {"dbSizeInUse"}))
try:
    client.put("x", "1", lease=lease)
except Exception as exception:
    show("put with a lease that is gone", type(exception).__name__)
sys.stdout.flush()
# Threads of its watches would hold the process.
import os
os._exit(0)
