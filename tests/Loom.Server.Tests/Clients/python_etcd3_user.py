"""python-etcd3 as a user who may write below one prefix. With a token it needs TLS. Arguments: host port user password ca."""
import sys

import etcd3
import grpc

host, port, user, password, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]


def refused(what, call, code):
    try:
        call()
    except grpc.RpcError as error:
        if error.code() == code:
            print("ok " + what)
            return
        raise
    raise SystemExit(what + ": it was allowed")


client = etcd3.client(host=host, port=port, timeout=10, ca_cert=ca, user=user, password=password)
client.put("mine/a", "1")
if client.get("mine/a")[0] != b"1":
    raise SystemExit("not there")
refused("another prefix", lambda: client.put("other/a", "1"), grpc.StatusCode.PERMISSION_DENIED)
lease = client.lease(30)
client.put("mine/l", "1", lease=lease)
if [r.TTL for r in lease.refresh()] != [30]:
    raise SystemExit("not renewed")
events, cancel = client.watch_prefix("mine/", start_revision=1)
if next(events).key != b"mine/a":
    raise SystemExit("not seen")
cancel()
refused("a wrong password", lambda: etcd3.client(host=host, port=port, timeout=10, ca_cert=ca, user=user, password="x"), grpc.StatusCode.INVALID_ARGUMENT)
refused("nobody", lambda: etcd3.client(host=host, port=port, timeout=10, ca_cert=ca).get("mine/a"), grpc.StatusCode.INVALID_ARGUMENT)
print("done")
