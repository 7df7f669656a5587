package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// load starts another lessor on a store of these rows, and says what it has.
func (w *world) load(rows []string) string {
	be := openBackend(w.newPath())
	defer func() { check(be.Close()) }()
	for _, row := range rows {
		key, value, _ := strings.Cut(row, ":")
		if value, ok := w.mendRow(unhex(key), unhex(value)); ok {
			putRow(be, unhex(key), value)
		}
	}
	config := lease.LessorConfig{MinLeaseTTL: w.minTTL()}
	le := w.withoutClamp(config, func(config lease.LessorConfig) lease.Lessor {
		return lease.NewLessor(zap.NewNop(), be, w.cluster(), config)
	})
	defer le.Stop()
	w.promoteEvenly(le, 0)
	leases := le.Leases()
	slices.SortFunc(leases, byID)
	lines := make([]string, len(leases))
	for i, l := range leases {
		left := l.Remaining()
		if w.on[clock] {
			left = w.wholeMillis(*expiryOf(l)).Sub(w.thisMilli())
		}
		lines[i] = fmt.Sprintf("%d ttl=%d left=%s", l.ID, l.TTL(), millis(int64(left)))
	}
	return strings.Join(lines, "; ")
}

func putRow(be backend.Backend, key, value string) {
	tx := be.BatchTx()
	tx.LockOutsideApply()
	defer tx.Unlock()
	schema.UnsafeCreateLeaseBucket(tx)
	tx.UnsafePut(schema.Lease, []byte(key), []byte(value))
}

// mendRow makes a row one that our lessor would write, if there is a lease of it.
func (w *world) mendRow(key, value string) (string, bool) {
	if !w.on[strangeRows] {
		return value, true
	}
	var row leasepb.Lease
	check(row.Unmarshal([]byte(value)))
	if row.ID == 0 || row.ID != int64(binary.BigEndian.Uint64([]byte(key))) {
		return "", false
	}
	row.TTL = min(max(row.TTL, 1), lease.MaxLeaseTTL)
	row.RemainingTTL = min(max(row.RemainingTTL, 0), row.TTL)
	mended, err := row.Marshal()
	check(err)
	return string(mended), true
}
