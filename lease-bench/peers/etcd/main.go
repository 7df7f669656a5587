// Command etcd-peer runs the workloads of lease-bench on etcd's own lessor over its own backend, and
// prints a line of JSON for each: the operation, the number of leases, and nanoseconds.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/coreos/go-semver/semver"
	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

const ttl = 3600

// cluster says that every member is new enough to persist checkpoints.
type cluster struct{}

func (cluster) Version() *semver.Version { return semver.New("3.6.0") }

type row struct {
	Op string  `json:"op"`
	N  int     `json:"n"`
	Ns float64 `json:"ns"`
}

type bench struct {
	n    int
	ids  []lease.LeaseID
	keys []string
}

func main() {
	n := flag.Int("n", 10000, "number of leases")
	part := flag.String("part", "", "lessor or http; everything if it is not said")
	flag.Parse()
	folder, err := os.MkdirTemp("", "etcd-peer")
	check(err)
	defer os.RemoveAll(folder)
	b := bench{n: *n, ids: shuffledIDs(*n)}
	for _, id := range b.ids {
		b.keys = append(b.keys, fmt.Sprintf("services/%023d", id))
	}
	if *part != "http" {
		b.run(filepath.Join(folder, "db"))
		b.grantSequential(folder)
		b.mixed(folder)
	}
	if *part != "lessor" {
		b.http(folder)
	}
}

func (b bench) run(path string) {
	be := backend.NewDefaultBackend(zap.NewNop(), path)
	defer be.Close()
	schema.CreateMetaBucket(be.BatchTx())
	before := heap()
	le := lease.NewLessor(zap.NewNop(), be, cluster{}, lease.LessorConfig{MinLeaseTTL: 1})
	le.Promote(0)

	start := time.Now()
	for _, id := range b.ids {
		_, err := le.Grant(id, ttl)
		check(err)
	}
	b.print("grant", time.Since(start), b.n)
	be.ForceCommit()
	b.print("grant_sustained", time.Since(start), b.n)
	leases := heap()
	print("bytes_lease", b.n, float64(leases-before)/float64(b.n))

	renewAll := func(ids []lease.LeaseID) {
		for _, id := range ids {
			_, err := le.Renew(id)
			check(err)
		}
	}
	order := rotated(b.ids, b.n/3)
	for range b.passes() {
		b.time("renew", b.n, func() { renewAll(order) })
	}
	for range b.passes() {
		b.time("renew_many", b.n, func() { renewAll(order) })
	}
	orders := [2][]lease.LeaseID{order, rotated(order, b.n/2)}
	for range b.passes() {
		b.time("renew_2", 2*b.n, func() {
			var both sync.WaitGroup
			for _, order := range orders {
				both.Add(1)
				go func() {
					defer both.Done()
					renewAll(order)
				}()
			}
			both.Wait()
		})
	}
	for range b.passes() {
		b.time("lookup", b.n, func() {
			for _, id := range order {
				if le.Lookup(id) == nil {
					panic("lost")
				}
			}
		})
	}
	for range b.passes() {
		b.time("lookup_read", b.n, func() {
			left := time.Duration(0)
			for _, id := range order {
				l := le.Lookup(id)
				left += l.Remaining() + time.Duration(l.TTL())
			}
			if left == 0 {
				panic("nothing remains")
			}
		})
	}
	for range 3 {
		b.time("list", b.n, func() {
			if len(le.Leases()) != b.n {
				panic("lost")
			}
		})
	}
	for range 3 {
		b.time("demote", 1, le.Demote)
		b.time("promote", 1, func() { le.Promote(0) })
	}
	before = heap()
	b.time("attach", b.n, func() {
		for i, id := range b.ids {
			check(le.Attach(id, []lease.LeaseItem{{Key: b.keys[i]}}))
		}
	})
	print("bytes_key", b.n, float64(heap()-before)/float64(b.n)+32)
	keys := rotated(b.keys, b.n/3)
	for range b.passes() {
		b.time("get_lease", b.n, func() {
			for _, key := range keys {
				if le.GetLease(lease.LeaseItem{Key: key}) == lease.NoLease {
					panic("lost")
				}
			}
		})
	}
	b.time("recover", b.n, func() {
		lease.NewLessor(zap.NewNop(), be, cluster{}, lease.LessorConfig{MinLeaseTTL: 1}).Stop()
	})
	tenth := b.n / 10
	b.time("detach", tenth, func() {
		for i, id := range b.ids[:tenth] {
			check(le.Detach(id, []lease.LeaseItem{{Key: b.keys[i]}}))
		}
	})
	le.SetRangeDeleter(func() lease.TxnDelete {
		tx := be.BatchTx()
		tx.LockInsideApply()
		return deleter{tx}
	})
	revokes := min(tenth, maxRevokes)
	b.time("revoke", revokes, func() {
		for _, id := range b.ids[b.n-revokes:] {
			check(le.Revoke(id))
		}
		be.ForceCommit()
	})
	le.Stop()
}

// Each revoke is a commit of bolt's, see [deleter].
const maxRevokes = 10000

// deleter is a transaction over the lessor's backend whose deletes of keys cost nothing. As etcd's
// own it holds the backend's lock until it ends, and the backend commits when a lock under which
// something was deleted is let go.
type deleter struct{ tx backend.BatchTx }

func (d deleter) DeleteRange(_, _ []byte) (n, rev int64) { return 0, 0 }
func (d deleter) End()                                   { d.tx.Unlock() }

// passes is how often lease-bench times short work over all leases.
func (b bench) passes() int {
	return min(max(300000/b.n, 3), 30)
}

func (b bench) time(op string, count int, work func()) {
	start := time.Now()
	work()
	b.print(op, time.Since(start), count)
}

func (b bench) print(op string, span time.Duration, count int) {
	print(op, b.n, float64(span.Nanoseconds())/float64(count))
}

func print(op string, n int, ns float64) {
	line, err := json.Marshal(row{Op: op, N: n, Ns: ns})
	check(err)
	fmt.Println(string(line))
}

// shuffledIDs are the ids 1 to n in the order that lease-bench gives them.
func shuffledIDs(n int) []lease.LeaseID {
	ids := make([]lease.LeaseID, n)
	for i := range ids {
		ids[i] = lease.LeaseID(i + 1)
	}
	state := uint64(0x9e3779b97f4a7c15)
	for last := n - 1; last >= 1; last-- {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		other := int(state % uint64(last+1))
		ids[last], ids[other] = ids[other], ids[last]
	}
	return ids
}

// rotated begins a list elsewhere: random still, and not in the order in which memory was filled.
func rotated[T any](list []T, by int) []T {
	return append(append([]T{}, list[by:]...), list[:by]...)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
