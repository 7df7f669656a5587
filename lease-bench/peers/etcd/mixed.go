package main

import (
	"fmt"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

const threads = 8

// mix is what a thread does, and how often of a hundred times.
var mix = []struct {
	kind  string
	share uint64
}{{"grant", 10}, {"attach", 10}, {"renew", 60}, {"lookup", 20}}

// latencies are nanoseconds of each operation, by kind.
type latencies [4][]int64

// mixed is lease-bench's workload of that name: eight threads that grant, attach, renew and look up.
func (b bench) mixed(folder string) {
	be, le := primary(filepath.Join(folder, "mixed"))
	defer be.Close()
	for _, id := range b.ids {
		_, err := le.Grant(id, ttl)
		check(err)
	}
	be.ForceCommit()
	next := int64(firstID)
	ofThreads := make([]latencies, threads)
	var all sync.WaitGroup
	start := time.Now()
	for number := range threads {
		all.Add(1)
		go func() {
			defer all.Done()
			m := mixer{b, le, &next, number, 0x9e3779b97f4a7c15 * uint64(number+1)}
			ofThreads[number] = m.run()
		}()
	}
	all.Wait()
	span := time.Since(start)
	count := 0
	for _, one := range ofThreads {
		for _, ofKind := range one {
			count += len(ofKind)
		}
	}
	b.print("mixed_8", span, count)
	for kind, of := range mix {
		var ofKind []int64
		for _, one := range ofThreads {
			ofKind = append(ofKind, one[kind]...)
		}
		sort.Slice(ofKind, func(i, j int) bool { return ofKind[i] < ofKind[j] })
		b.print("mixed_8_"+of.kind, span, len(ofKind))
		at := len(ofKind) - 1 - len(ofKind)/1000
		print("mixed_8_"+of.kind+"_p999", b.n, float64(ofKind[at]))
	}
	le.Stop()
}

type mixer struct {
	bench
	le     lease.Lessor
	next   *int64
	number int
	random uint64
}

func (m *mixer) run() (spent latencies) {
	for turn := range max(m.n/2, 1000) {
		kind := m.kind()
		id := m.ids[m.draw()%uint64(m.n)]
		items := []lease.LeaseItem{{Key: fmt.Sprintf("mixed/%d/%024d", m.number, turn)}}
		start := time.Now()
		m.operate(mix[kind].kind, id, items)
		spent[kind] = append(spent[kind], time.Since(start).Nanoseconds())
	}
	return spent
}

func (m *mixer) operate(kind string, id lease.LeaseID, items []lease.LeaseItem) {
	switch kind {
	case "grant":
		_, err := m.le.Grant(lease.LeaseID(atomic.AddInt64(m.next, 1)-1), ttl)
		check(err)
	case "attach":
		check(m.le.Attach(id, items))
	case "renew":
		_, err := m.le.Renew(id)
		check(err)
	default:
		if m.le.Lookup(id) == nil {
			panic("lost")
		}
	}
}

func (m *mixer) kind() int {
	left := m.draw() % 100
	for kind, of := range mix {
		if left < of.share {
			return kind
		}
		left -= of.share
	}
	panic("the shares are a hundred")
}

func (m *mixer) draw() uint64 {
	m.random ^= m.random << 13
	m.random ^= m.random >> 7
	m.random ^= m.random << 17
	return m.random >> 11
}

// grantSequential grants in the growing order in which etcd itself makes ids.
func (b bench) grantSequential(folder string) {
	be, le := primary(filepath.Join(folder, "sequential"))
	defer be.Close()
	b.time("grant_sequential", b.n, func() {
		for number := range b.n {
			_, err := le.Grant(lease.LeaseID(firstID+number), ttl)
			check(err)
		}
	})
	le.Stop()
}

// firstID is an id as etcd makes them: a member, a time, and a count.
const firstID = 0x0123_4567_89ab_0000

// primary is a lessor over a backend of its own, both with etcd's defaults.
func primary(path string) (backend.Backend, lease.Lessor) {
	be := backend.NewDefaultBackend(zap.NewNop(), path)
	schema.CreateMetaBucket(be.BatchTx())
	le := lease.NewLessor(zap.NewNop(), be, cluster{}, lease.LessorConfig{MinLeaseTTL: 1})
	le.Promote(0)
	return be, le
}
