package main

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	"go.etcd.io/etcd/server/v3/lease"
)

// inside is what etcd's lessor does not export. A shim reaches for it where it has to make etcd's
// lessor do what ours does; a run without shims leaves it alone.
type inside struct {
	lessor reflect.Value
}

func insideOf(le lease.Lessor) inside {
	return inside{reflect.ValueOf(le).Elem()}
}

func (in inside) address() unsafe.Pointer {
	return in.lessor.Addr().UnsafePointer()
}

func (in inside) isPrimary() bool {
	return *member[chan struct{}](in, "demotec") != nil
}

func (in inside) minLeaseTTL() *int64 {
	return member[int64](in, "minLeaseTTL")
}

func (in inside) leaseRevokeRate() *int {
	return member[int](in, "leaseRevokeRate")
}

func (in inside) leases() map[lease.LeaseID]*lease.Lease {
	return *member[map[lease.LeaseID]*lease.Lease](in, "leaseMap")
}

func (in inside) expiries() *lease.LeaseExpiredNotifier {
	return *member[*lease.LeaseExpiredNotifier](in, "leaseExpiredNotifier")
}

func (in inside) checkpoints() *lease.LeaseQueue {
	return member[lease.LeaseQueue](in, "leaseCheckpointHeap")
}

// locked runs something under the lessor's lock.
func (in inside) locked(work func()) {
	mu := member[sync.RWMutex](in, "mu")
	mu.Lock()
	defer mu.Unlock()
	work()
}

func member[T any](in inside, name string) *T {
	field := in.lessor.FieldByName(name)
	if !field.IsValid() || field.Type() != reflect.TypeFor[T]() {
		fail("etcd's lessor has no such field any more: " + name)
	}
	return (*T)(field.Addr().UnsafePointer())
}

var (
	expiryOffset    = offset[lease.Lease, time.Time]("expiry")
	remainderOffset = offset[lease.Lease, int64]("remainingTTL")
	ttlOffset       = offset[lease.Lease, int64]("ttl")
	entryIDOffset   = offset[lease.LeaseWithTime, lease.LeaseID]("id")
	entryTimeOffset = offset[lease.LeaseWithTime, time.Time]("time")
)

func offset[T, F any](name string) uintptr {
	field, ok := reflect.TypeFor[T]().FieldByName(name)
	if !ok || field.Type != reflect.TypeFor[F]() {
		fail("etcd's types have no such field any more: " + name)
	}
	return field.Offset
}

func expiryOf(l *lease.Lease) *time.Time {
	return (*time.Time)(unsafe.Add(unsafe.Pointer(l), expiryOffset))
}

func remainderOf(l *lease.Lease) *int64 {
	return (*int64)(unsafe.Add(unsafe.Pointer(l), remainderOffset))
}

func ttlOf(l *lease.Lease) *int64 {
	return (*int64)(unsafe.Add(unsafe.Pointer(l), ttlOffset))
}

func newEntry(id lease.LeaseID, at time.Time) *lease.LeaseWithTime {
	entry := new(lease.LeaseWithTime)
	*(*lease.LeaseID)(unsafe.Add(unsafe.Pointer(entry), entryIDOffset)) = id
	*(*time.Time)(unsafe.Add(unsafe.Pointer(entry), entryTimeOffset)) = at
	return entry
}

func timeOf(entry *lease.LeaseWithTime) time.Time {
	return *(*time.Time)(unsafe.Add(unsafe.Pointer(entry), entryTimeOffset))
}

// One turn of the lessor's loop, which comes by itself each 500 ms.

//go:linkname revokeExpired go.etcd.io/etcd/server/v3/lease.(*lessor).revokeExpiredLeases
func revokeExpired(le unsafe.Pointer)

//go:linkname checkpointScheduled go.etcd.io/etcd/server/v3/lease.(*lessor).checkpointScheduledLeases
func checkpointScheduled(le unsafe.Pointer)
