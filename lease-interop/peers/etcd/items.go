package main

import (
	"slices"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
)

// deleter is a range deleter that remembers what it is asked to delete.
type deleter struct {
	world  *world
	number int
	// Nobody hears of it.
	isSilent bool
}

type deletes struct {
	*deleter
	tx   backend.BatchTx
	keys []string
}

// begin holds the backend's lock until the end, as etcd's own does.
func (d *deleter) begin() lease.TxnDelete {
	tx := d.world.be.BatchTx()
	tx.LockInsideApply()
	return &deletes{deleter: d, tx: tx}
}

func (d *deletes) DeleteRange(key, _ []byte) (n, rev int64) {
	d.keys = append(d.keys, string(key))
	if d.world.on[revokedKeys] {
		// Etcd's store detaches each key that it deletes.
		item := lease.LeaseItem{Key: string(key)}
		if id := d.world.le.GetLease(item); id != lease.NoLease {
			check(d.world.le.Detach(id, []lease.LeaseItem{item}))
		}
	}
	return 1, 1
}

func (d *deletes) End() {
	d.tx.Unlock()
	if len(d.keys) > 0 && !d.isSilent {
		d.world.events.add("deleted by %d@: %s", d.number, hexAll(d.keys))
	}
}

// shimDeleter has a lessor without a range deleter delete leases all the same. The function that it
// returns ends that.
func (w *world) shimDeleter() func() {
	if !w.on[noDeleter] || w.deleter != nil {
		return w.forgetRevoked
	}
	silent := &deleter{world: w, isSilent: true}
	w.le.SetRangeDeleter(silent.begin)
	return func() {
		w.le.SetRangeDeleter(nil)
		w.forgetRevoked()
	}
}

// setHost gives a new lessor its host.
func (w *world) setHost() {
	w.deleter = nil
	if w.settings.hasDeleter {
		w.deleter = &deleter{world: w}
		w.le.SetRangeDeleter(w.deleter.begin)
	}
	w.le.SetCheckpointer(w.checkpointer())
}

// detachFromOthers takes keys from the leases that have them.
func (w *world) detachFromOthers(id lease.LeaseID, keys []string) {
	if w.le.Lookup(id) == nil {
		return
	}
	for _, item := range items(keys) {
		if owner := w.le.GetLease(item); owner != lease.NoLease && owner != id {
			check(w.le.Detach(owner, []lease.LeaseItem{item}))
		}
	}
}

// owned are those of the keys that the lease has.
func (w *world) owned(id lease.LeaseID, keys []string) []string {
	isOthers := func(key string) bool { return w.le.GetLease(lease.LeaseItem{Key: key}) != id }
	return slices.DeleteFunc(slices.Clone(keys), isOthers)
}

// isFull says whether a grant has no room left.
func (w *world) isFull(id lease.LeaseID, ttl int64) bool {
	isFree := id != lease.NoLease && w.le.Lookup(id) == nil && ttl <= lease.MaxLeaseTTL
	return isFree && w.settings.maxLeases > 0 && len(w.in.leases()) >= w.settings.maxLeases
}

// isCrowded says whether a lease has no room for the keys.
func (w *world) isCrowded(id lease.LeaseID, keys []string) bool {
	l := w.le.Lookup(id)
	if l == nil || w.settings.maxItems == 0 {
		return false
	}
	all := make(map[string]bool)
	for _, key := range append(l.Keys(), keys...) {
		all[key] = true
	}
	return len(all) > w.settings.maxItems
}
