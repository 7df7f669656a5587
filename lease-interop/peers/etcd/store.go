package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// The number of our own field for the checkpoint generation in a row.
const generationField = 1002

// rows are the rows of the bucket, keys and values.
func (w *world) rows() string {
	var lines []string
	tx := w.be.BatchTx()
	tx.LockOutsideApply()
	defer tx.Unlock()
	check(tx.UnsafeForEach(schema.Lease, func(key, value []byte) error {
		id := lease.LeaseID(binary.BigEndian.Uint64(key))
		if generation := w.storedGenerations[id]; w.on[fields] && generation > 0 {
			value = append([]byte{}, value...)
			value = binary.AppendUvarint(value, generationField<<3)
			value = binary.AppendUvarint(value, uint64(generation))
		}
		lines = append(lines, fmt.Sprintf("%s:%s", hex.EncodeToString(key), hex.EncodeToString(value)))
		return nil
	}))
	return strings.Join(lines, "; ")
}

// counters are etcd's metrics.
type counters struct {
	granted, revoked, renewed float64
	ttls                      float64
}

func readCounters() (c counters) {
	families, err := prometheus.DefaultGatherer.Gather()
	check(err)
	for _, family := range families {
		metric := family.GetMetric()[0]
		switch family.GetName() {
		case "etcd_debugging_lease_granted_total":
			c.granted = metric.GetCounter().GetValue()
		case "etcd_debugging_lease_revoked_total":
			c.revoked = metric.GetCounter().GetValue()
		case "etcd_debugging_lease_renewed_total":
			c.renewed = metric.GetCounter().GetValue()
		case "etcd_debugging_lease_ttl_total":
			c.ttls = float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return c
}

func (w *world) counters() string {
	now, before := readCounters(), w.before
	return fmt.Sprintf("granted=%v revoked=%v renewed=%v ttls=%v", now.granted-before.granted,
		now.revoked-before.revoked, now.renewed-before.renewed, now.ttls-before.ttls)
}
