"""What a program on python-etcd3 does: keys, transactions, watches, leases, locks, members, snapshot. Arguments: host port [ca cert key]."""
import io
import sys
import threading
import time

import etcd3

host, port = sys.argv[1], int(sys.argv[2])
secure = dict(zip(("ca_cert", "cert_cert", "cert_key"), sys.argv[3:6]))
client = etcd3.client(host=host, port=port, timeout=10, **secure)


def same(what, actual, expected):
    if actual != expected:
        raise SystemExit("%s: %r, expected %r" % (what, actual, expected))
    print("ok " + what)


# Keys.
client.put("p/a", "1")
value, meta = client.get("p/a")
same("get", (value, meta.key, meta.version), (b"1", b"p/a", 1))
same("get of nothing", client.get("p/none"), (None, None))
client.put("p/b", "2")
client.put("p/c", "3")
same("prefix", [v for v, _ in client.get_prefix("p/", sort_order="descend")], [b"3", b"2", b"1"])
same("range", [v for v, _ in client.get_range("p/a", "p/c")], [b"1", b"2"])
same("put if absent", client.put_if_not_exists("p/a", "9"), False)
same("replace", (client.replace("p/a", "1", "4"), client.replace("p/a", "1", "5")), (True, False))
same("delete", (client.delete("p/c"), client.delete("p/c")), (True, False))
same("delete prefix", client.delete_prefix("p/").deleted, 2)

# Transactions.
done, answers = client.transaction(
    compare=[client.transactions.version("t") == 0, client.transactions.create("t") == 0],
    success=[client.transactions.put("t", "1"), client.transactions.get("t")],
    failure=[client.transactions.get("t")])
same("transaction", (done, answers[1][0][0]), (True, b"1"))
done, answers = client.transaction(
    compare=[client.transactions.value("t") == "0"], success=[], failure=[client.transactions.delete("t")])
same("the other branch", (done, client.get("t")), (False, (None, None)))

# Watches: two on one stream, one with a prefix; then the history of a key.
seen, enough = [], threading.Event()


def on_events(response):
    for event in response.events:
        seen.append((type(event).__name__, event.key, event.value))
    if len(seen) >= 4:
        enough.set()


first = client.add_watch_callback("w/1", on_events)
second = client.add_watch_prefix_callback("w/", on_events)
client.put("w/1", "x")
client.put("w/2", "y")
client.delete("w/2")
same("watches deliver", enough.wait(10), True)
same("events", sorted(seen), sorted([
    ("PutEvent", b"w/1", b"x"), ("PutEvent", b"w/1", b"x"), ("PutEvent", b"w/2", b"y"), ("DeleteEvent", b"w/2", b"")]))
client.cancel_watch(first)
client.cancel_watch(second)
events, cancel = client.watch("w/1", start_revision=1)
same("history", next(events).value, b"x")
cancel()

# Leases.
lease = client.lease(30)
client.put("l", "1", lease=lease)
same("lease", (lease.granted_ttl, lease.keys), (30, [b"l"]))
same("keep-alive", [r.TTL for r in lease.refresh()], [30])
lease.revoke()
same("revoke", client.get("l"), (None, None))
short = client.lease(2)
client.put("s", "1", lease=short)
until = time.time() + 15
while client.get("s")[0] is not None and time.time() < until:
    time.sleep(0.2)
same("expiry", client.get("s"), (None, None))

# A lock of the client's own recipe.
lock = client.lock("resource", ttl=10)
same("lock", (lock.acquire(), lock.is_acquired()), (True, True))
lock.refresh()
same("unlock", (lock.release(), lock.is_acquired()), (True, False))

# The cluster.
members = list(client.members)
same("members", all(m.name and m.client_urls for m in members), True)
status = client.status()
same("status", (status.version.split(".")[0], status.db_size > 0, status.leader is not None), ("3", True, True))
same("alarms", list(client.list_alarms()), [])
client.defragment()
same("hash", client.hash() is not None, True)
backup = io.BytesIO()
client.snapshot(backup)
same("snapshot", len(backup.getvalue()) % 512, 32)
client.compact(client.get("w/1")[1].mod_revision)
print("done")
