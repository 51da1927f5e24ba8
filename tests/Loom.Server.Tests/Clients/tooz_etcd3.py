"""What a service of OpenStack does with tooz over etcd3: groups, heartbeats, locks, leadership. Arguments: host port."""
import sys
import warnings

warnings.simplefilter("ignore")

from tooz import coordination

url = "etcd3://%s:%s?timeout=10&membership_timeout=4&lock_timeout=10" % (sys.argv[1], sys.argv[2])


def same(what, actual, expected):
    if actual != expected:
        raise SystemExit("%s: %r, expected %r" % (what, actual, expected))
    print("ok " + what)


one = coordination.get_coordinator(url, b"one")
two = coordination.get_coordinator(url, b"two")
one.start()
two.start()

one.create_group(b"g").get()
try:
    two.create_group(b"g").get()
    raise SystemExit("a group was made twice")
except coordination.GroupAlreadyExist:
    print("ok group exists")

joined = []
one.watch_join_group(b"g", lambda event: joined.append(event.member_id))
one.join_group(b"g", b"capable").get()
two.join_group(b"g").get()
same("members", two.get_members(b"g").get(), {b"one", b"two"})
one.run_watchers()
same("join events", sorted(joined), [b"one", b"two"])
same("heartbeat", one.heartbeat(), 4)

lock = one.get_lock(b"l")
same("lock", lock.acquire(blocking=False), True)
same("acquired", lock.acquired, True)
same("lock heartbeat", lock.heartbeat(), True)
same("release", lock.release(), True)
again = two.get_lock(b"l")
same("lock by the other", again.acquire(blocking=False), True)
again.release()

two.leave_group(b"g").get()
same("left", one.get_members(b"g").get(), {b"one"})
one.leave_group(b"g").get()
one.delete_group(b"g").get()
one.stop()
two.stop()
print("done")
