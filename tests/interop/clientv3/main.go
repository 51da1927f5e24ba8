// What programs built on etcd's Go client do: its recipes (locks, elections, transactions in memory, queues, barriers), and how Kubernetes' API server uses it.
// Usage: clientv3 ENDPOINT[,ENDPOINT...]. One line per check, "ok NAME" or "FAIL NAME: why"; the exit code is the number of failures.
// Debian's etcd 3.4.23 passes every check.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/ioutil"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	"go.etcd.io/etcd/clientv3/mirror"
	"go.etcd.io/etcd/clientv3/namespace"
	recipe "go.etcd.io/etcd/contrib/recipes"
	"go.etcd.io/etcd/etcdserver/api/v3rpc/rpctypes"
	"go.etcd.io/etcd/mvcc/mvccpb"
)

var endpoints []string

func main() {
	endpoints = strings.Split(os.Args[1], ",")
	failures := 0
	for _, check := range []struct {
		name string
		run  func(context.Context, *clientv3.Client) error
	}{
		{"sync and status", syncAndStatus},
		{"namespaces", namespaces},
		{"transactions in memory", transactionsInMemory},
		{"mutexes", mutexes},
		{"elections", elections},
		{"an expired session", expiredSession},
		{"queues", queues},
		{"barriers", barriers},
		{"read-write locks", readWriteLocks},
		{"mirror", mirrored},
		{"snapshot", snapshot},
		{"kubernetes: create, update, delete", kubernetesWrites},
		{"kubernetes: lists in pages of one revision", kubernetesLists},
		{"kubernetes: watch", kubernetesWatch},
		{"kubernetes: compaction", kubernetesCompaction},
	} {
		if err := runOne(check.run); err != nil {
			fmt.Printf("FAIL %s: %v\n", check.name, err)
			failures++
		} else {
			fmt.Printf("ok %s\n", check.name)
		}
	}
	os.Exit(failures)
}

func runOne(run func(context.Context, *clientv3.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	cli, err := connect()
	if err != nil {
		return err
	}
	defer cli.Close()
	return run(ctx, cli)
}

func connect() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second})
}

func syncAndStatus(ctx context.Context, cli *clientv3.Client) error {
	if err := cli.Sync(ctx); err != nil {
		return err
	}
	if len(cli.Endpoints()) < len(endpoints) {
		return fmt.Errorf("synced to %v", cli.Endpoints())
	}
	for _, endpoint := range cli.Endpoints() {
		status, err := cli.Status(ctx, endpoint)
		if err != nil {
			return err
		}
		if status.Leader == 0 || status.DbSize == 0 || status.RaftTerm == 0 {
			return fmt.Errorf("%s: %+v", endpoint, status)
		}
	}
	return nil
}

func namespaces(ctx context.Context, cli *clientv3.Client) error {
	kv := namespace.NewKV(cli.KV, "space/")
	if _, err := kv.Put(ctx, "a", "1"); err != nil {
		return err
	}
	got, err := cli.Get(ctx, "space/a")
	if err != nil || len(got.Kvs) != 1 {
		return fmt.Errorf("%v %v", got, err)
	}
	all, err := kv.Get(ctx, "a", clientv3.WithPrefix())
	if err != nil || len(all.Kvs) != 1 || string(all.Kvs[0].Key) != "a" {
		return fmt.Errorf("%v %v", all, err)
	}
	return nil
}

// Money moves between accounts under each isolation level that the recipe knows; none comes or goes.
func transactionsInMemory(ctx context.Context, cli *clientv3.Client) error {
	const accounts, workers, transfers = 5, 6, 15
	for _, level := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable} {
		for i := 0; i < accounts; i++ {
			if _, err := cli.Put(ctx, account(i), "100"); err != nil {
				return err
			}
		}
		errs := make(chan error, workers)
		for w := 0; w < workers; w++ {
			go func(seed int64) {
				random := rand.New(rand.NewSource(seed))
				for t := 0; t < transfers; t++ {
					from, to := random.Intn(accounts), random.Intn(accounts)
					_, err := concurrency.NewSTM(cli, func(stm concurrency.STM) error {
						if from == to {
							return nil
						}
						f, _ := strconv.Atoi(stm.Get(account(from)))
						t, _ := strconv.Atoi(stm.Get(account(to)))
						stm.Put(account(from), strconv.Itoa(f-7))
						stm.Put(account(to), strconv.Itoa(t+7))
						return nil
					}, concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx))
					if err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}(int64(w))
		}
		for w := 0; w < workers; w++ {
			if err := <-errs; err != nil {
				return err
			}
		}
		all, err := cli.Get(ctx, "account/", clientv3.WithPrefix())
		if err != nil {
			return err
		}
		sum := 0
		for _, kv := range all.Kvs {
			n, _ := strconv.Atoi(string(kv.Value))
			sum += n
		}
		if sum != accounts*100 {
			return fmt.Errorf("%d of %d are left", sum, accounts*100)
		}
	}
	return nil
}

func account(i int) string { return "account/" + strconv.Itoa(i) }

func mutexes(ctx context.Context, cli *clientv3.Client) error {
	const workers, rounds = 4, 6
	var inside, worst, total int
	var guard sync.Mutex
	errs := make(chan error, workers)
	for w := 0; w < workers; w++ {
		go func() { errs <- holdMutex(ctx, rounds, &guard, &inside, &worst, &total) }()
	}
	for w := 0; w < workers; w++ {
		if err := <-errs; err != nil {
			return err
		}
	}
	if worst != 1 || total != workers*rounds {
		return fmt.Errorf("%d at once, %d in all", worst, total)
	}
	return nil
}

func holdMutex(ctx context.Context, rounds int, guard *sync.Mutex, inside, worst, total *int) error {
	cli, err := connect()
	if err != nil {
		return err
	}
	defer cli.Close()
	session, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
	if err != nil {
		return err
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "mutex")
	for i := 0; i < rounds; i++ {
		if err := mutex.Lock(ctx); err != nil {
			return err
		}
		guard.Lock()
		*inside++
		*total++
		if *inside > *worst {
			*worst = *inside
		}
		guard.Unlock()
		time.Sleep(2 * time.Millisecond)
		guard.Lock()
		*inside--
		guard.Unlock()
		if err := mutex.Unlock(ctx); err != nil {
			return err
		}
	}
	return nil
}

func elections(ctx context.Context, cli *clientv3.Client) error {
	first, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer second.Close()
	one, two := concurrency.NewElection(first, "election"), concurrency.NewElection(second, "election")
	observed := two.Observe(ctx)
	if err := one.Campaign(ctx, "one"); err != nil {
		return err
	}
	if err := expectLeader(observed, "one"); err != nil {
		return err
	}
	if err := one.Proclaim(ctx, "one again"); err != nil {
		return err
	}
	if err := expectLeader(observed, "one again"); err != nil {
		return err
	}
	won := make(chan error, 1)
	go func() { won <- two.Campaign(ctx, "two") }()
	select {
	case err := <-won:
		return fmt.Errorf("two won while one led: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := one.Resign(ctx); err != nil {
		return err
	}
	if err := <-won; err != nil {
		return err
	}
	return expectLeader(observed, "two")
}

func expectLeader(observed <-chan clientv3.GetResponse, value string) error {
	select {
	case got := <-observed:
		if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value {
			return fmt.Errorf("%v instead of %s", got.Kvs, value)
		}
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("nobody observed %s", value)
	}
}

// A holder that does not renew any more loses its lock to the next one, and not before its time.
func expiredSession(ctx context.Context, cli *clientv3.Client) error {
	session, err := concurrency.NewSession(cli, concurrency.WithTTL(3))
	if err != nil {
		return err
	}
	mutex := concurrency.NewMutex(session, "expired")
	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	session.Orphan()
	began := time.Now()
	next, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer next.Close()
	if err := concurrency.NewMutex(next, "expired").Lock(ctx); err != nil {
		return err
	}
	// The session renewed for the last time within the second before.
	if waited := time.Since(began); waited < 1500*time.Millisecond || waited > 15*time.Second {
		return fmt.Errorf("waited %v", waited)
	}
	return nil
}

func queues(ctx context.Context, cli *clientv3.Client) error {
	queue := recipe.NewQueue(cli, "queue")
	for i := 0; i < 10; i++ {
		if err := queue.Enqueue(strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i := 0; i < 10; i++ {
		if got, err := queue.Dequeue(); err != nil || got != strconv.Itoa(i) {
			return fmt.Errorf("%q, %v at %d", got, err, i)
		}
	}
	later := make(chan string, 1)
	go func() { value, _ := queue.Dequeue(); later <- value }()
	time.Sleep(50 * time.Millisecond)
	if err := queue.Enqueue("late"); err != nil {
		return err
	}
	if got := <-later; got != "late" {
		return fmt.Errorf("%q came late", got)
	}
	first := recipe.NewPriorityQueue(cli, "priority")
	for i := 5; i > 0; i-- {
		if err := first.Enqueue(strconv.Itoa(i), uint16(i)); err != nil {
			return err
		}
	}
	for i := 1; i <= 5; i++ {
		if got, err := first.Dequeue(); err != nil || got != strconv.Itoa(i) {
			return fmt.Errorf("%q, %v with priority %d", got, err, i)
		}
	}
	return nil
}

func barriers(ctx context.Context, cli *clientv3.Client) error {
	barrier := recipe.NewBarrier(cli, "barrier")
	if err := barrier.Hold(); err != nil {
		return err
	}
	passed := make(chan error, 1)
	go func() { passed <- recipe.NewBarrier(cli, "barrier").Wait() }()
	select {
	case <-passed:
		return errors.New("passed a barrier that is held")
	case <-time.After(100 * time.Millisecond):
	}
	if err := barrier.Release(); err != nil {
		return err
	}
	if err := <-passed; err != nil {
		return err
	}
	const all = 3
	errs := make(chan error, all)
	for i := 0; i < all; i++ {
		go func() {
			session, err := concurrency.NewSession(cli)
			if err != nil {
				errs <- err
				return
			}
			defer session.Close()
			double := recipe.NewDoubleBarrier(session, "double", all)
			if err := double.Enter(); err != nil {
				errs <- err
				return
			}
			errs <- double.Leave()
		}()
	}
	for i := 0; i < all; i++ {
		select {
		case err := <-errs:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.New("a double barrier does not open")
		}
	}
	return nil
}

func readWriteLocks(ctx context.Context, cli *clientv3.Client) error {
	session, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer session.Close()
	other, err := concurrency.NewSession(cli)
	if err != nil {
		return err
	}
	defer other.Close()
	reader, writer := recipe.NewRWMutex(session, "rw"), recipe.NewRWMutex(other, "rw")
	if err := reader.RLock(); err != nil {
		return err
	}
	got := make(chan error, 1)
	go func() { got <- writer.Lock() }()
	select {
	case <-got:
		return errors.New("a writer beside a reader")
	case <-time.After(100 * time.Millisecond):
	}
	if err := reader.RUnlock(); err != nil {
		return err
	}
	if err := <-got; err != nil {
		return err
	}
	return writer.Unlock()
}

// etcdctl make-mirror's engine: everything at one revision, in pages, and then every change.
func mirrored(ctx context.Context, cli *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const keys = 1500
	for i := 0; i < keys; i += 100 {
		var puts []clientv3.Op
		for j := i; j < i+100; j++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("mirror/%05d", j), "v"))
		}
		if _, err := cli.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	syncer := mirror.NewSyncer(cli, "mirror/", 0)
	pages, errs := syncer.SyncBase(ctx)
	count := 0
	for page := range pages {
		count += len(page.Kvs)
	}
	if err := <-errs; err != nil {
		return err
	}
	if count != keys {
		return fmt.Errorf("%d of %d keys", count, keys)
	}
	updates := syncer.SyncUpdates(ctx)
	if _, err := cli.Put(ctx, "mirror/00001", "changed"); err != nil {
		return err
	}
	update := <-updates
	if len(update.Events) != 1 || string(update.Events[0].Kv.Value) != "changed" {
		return fmt.Errorf("%v", update)
	}
	return nil
}

func snapshot(ctx context.Context, cli *clientv3.Client) error {
	stream, err := cli.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	size, err := io.Copy(ioutil.Discard, stream)
	if err != nil || size%512 != 32 {
		return fmt.Errorf("%d bytes, %v", size, err)
	}
	return nil
}

// The API server's writes: optimistic, by the revision of the last modification, with the present object on failure.
func kubernetesWrites(ctx context.Context, cli *clientv3.Client) error {
	const key = "/registry/pods/default/one"
	create := func() (*clientv3.TxnResponse, error) {
		return cli.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, "1")).Commit()
	}
	made, err := create()
	if err != nil || !made.Succeeded {
		return fmt.Errorf("created: %v %v", made, err)
	}
	if again, err := create(); err != nil || again.Succeeded {
		return fmt.Errorf("created twice: %v %v", again, err)
	}
	update := func(revision int64, value string) (*clientv3.TxnResponse, error) {
		return cli.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit()
	}
	stale, err := update(made.Header.Revision-1, "x")
	if err != nil || stale.Succeeded {
		return fmt.Errorf("updated a stale object: %v %v", stale, err)
	}
	present := stale.Responses[0].GetResponseRange().Kvs[0]
	updated, err := update(present.ModRevision, "2")
	if err != nil || !updated.Succeeded {
		return fmt.Errorf("updated: %v %v", updated, err)
	}
	removed, err := cli.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", updated.Header.Revision)).Then(clientv3.OpDelete(key)).Else(clientv3.OpGet(key)).Commit()
	if err != nil || !removed.Succeeded || removed.Responses[0].GetResponseDeleteRange().Deleted != 1 {
		return fmt.Errorf("deleted: %v %v", removed, err)
	}
	return nil
}

func kubernetesLists(ctx context.Context, cli *clientv3.Client) error {
	const prefix, keys, page = "/registry/nodes/", 250, 100
	for i := 0; i < keys; i++ {
		if _, err := cli.Put(ctx, fmt.Sprintf("%s%04d", prefix, i), "v"); err != nil {
			return err
		}
	}
	count, err := cli.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || count.Count != keys {
		return fmt.Errorf("counted: %v %v", count, err)
	}
	revision, from, seen := int64(0), prefix, 0
	for {
		options := []clientv3.OpOption{clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(page), clientv3.WithRev(revision)}
		got, err := cli.Get(ctx, from, options...)
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = got.Header.Revision
			// Written between two pages, it must not be on the next.
			if _, err := cli.Put(ctx, prefix+"9999", "later"); err != nil {
				return err
			}
		}
		seen += len(got.Kvs)
		if !got.More {
			break
		}
		from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
	if seen != keys {
		return fmt.Errorf("%d of %d", seen, keys)
	}
	return nil
}

// The watch cache: a list, and then everything behind it, with the previous objects, progress, and a leader required.
func kubernetesWatch(ctx context.Context, cli *clientv3.Client) error {
	const prefix = "/registry/leases/"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, err := cli.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	events := cli.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithRev(list.Header.Revision+1), clientv3.WithPrevKV(), clientv3.WithPrefix(), clientv3.WithProgressNotify())
	const writes = 200
	go func() {
		for i := 0; i < writes; i++ {
			lease, err := cli.Grant(ctx, 60)
			if err != nil {
				return
			}
			cli.Put(ctx, prefix+strconv.Itoa(i%10), strconv.Itoa(i), clientv3.WithLease(lease.ID))
			if i%10 == 9 {
				cli.Delete(ctx, prefix+strconv.Itoa(i%10))
			}
		}
	}()
	last, puts, deletes := list.Header.Revision, 0, 0
	before := map[string]string{}
	for puts < writes || deletes < writes/10 {
		answer, ok := <-events
		if !ok || answer.Err() != nil {
			return fmt.Errorf("ended: %v", answer.Err())
		}
		for _, event := range answer.Events {
			key := string(event.Kv.Key)
			if event.Kv.ModRevision < last {
				return fmt.Errorf("%d after %d", event.Kv.ModRevision, last)
			}
			last = event.Kv.ModRevision
			previous, known := before[key]
			if known != (event.PrevKv != nil) || (known && string(event.PrevKv.Value) != previous) {
				return fmt.Errorf("%s was %q, said to be %v", key, previous, event.PrevKv)
			}
			if event.Type == mvccpb.DELETE {
				deletes++
				delete(before, key)
			} else {
				puts++
				before[key] = string(event.Kv.Value)
			}
		}
	}
	return nil
}

// The API server's compactor (a transaction on a key's version, so that one of many compacts), and what a client sees that comes too late.
func kubernetesCompaction(ctx context.Context, cli *clientv3.Client) error {
	const key = "compact_rev_key"
	var compacted int64
	for round, version := 0, int64(0); round < 2; round++ {
		got, err := cli.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "=", version)).Then(clientv3.OpPut(key, strconv.FormatInt(compacted, 10))).Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return err
		}
		if !got.Succeeded {
			return fmt.Errorf("somebody else compacts: %v", got)
		}
		version++
		if round > 0 {
			if _, err := cli.Compact(ctx, compacted); err != nil {
				return err
			}
		}
		compacted = got.Header.Revision
	}
	status, err := cli.Get(ctx, key)
	if err != nil {
		return err
	}
	if _, err := cli.Compact(ctx, status.Header.Revision); err != nil {
		return err
	}
	if _, err := cli.Compact(ctx, status.Header.Revision); err != rpctypes.ErrCompacted {
		return fmt.Errorf("compacted again: %v", err)
	}
	if _, err := cli.Get(ctx, key, clientv3.WithRev(status.Header.Revision-1)); err != rpctypes.ErrCompacted {
		return fmt.Errorf("read a compacted revision: %v", err)
	}
	answer := <-cli.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(2))
	if answer.Err() != rpctypes.ErrCompacted || answer.CompactRevision != status.Header.Revision {
		return fmt.Errorf("watched a compacted revision: %v at %d", answer.Err(), answer.CompactRevision)
	}
	if _, err := cli.Get(ctx, key, clientv3.WithRev(status.Header.Revision+1000)); err != rpctypes.ErrFutureRev {
		return fmt.Errorf("read a future revision: %v", err)
	}
	return nil
}
