package main

import (
	"cmp"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
)

// note is what ours knows of a lease and etcd does not.
type note struct {
	incarnation incarnation
	// How often its remaining TTL was reset.
	generation uint32
	// Whether what remains is set, or will be by a proposal that is on its way.
	isGuarded bool
	// The number of the proposal that is on its way, 0 if none is.
	openIn int
	// When its next checkpoint is due, zero if it needs none.
	checkpointAt time.Time
	// Whether this promotion has offered it as expired, and whether it still waits for its revoke.
	isExpiring, isDelivered bool
	// When it was due last, if that was not its expiry.
	dueAgainAt time.Time
	// When the next attempt is made if nothing is heard of the last one.
	attemptAt time.Time
}

// incarnation is which grant of an id a lease is, as far as our lessor can tell without a log.
type incarnation struct{ epoch, number int }

type notes map[*lease.Lease]*note

// of is the note of a lease; one that the lessor has read from its store has none yet.
func (n notes) of(l *lease.Lease) *note {
	if n[l] == nil {
		n[l] = &note{}
	}
	return n[l]
}

func (w *world) noteGrant(l *lease.Lease) {
	w.refine(l)
	w.grants.number++
	note := w.notes.of(l)
	note.incarnation = w.grants
	w.storedGenerations[l.ID] = 0
	w.plan(l, note)
	w.dropEtcdsPlan()
}

// notePromotion begins every lease's life on a primary.
func (w *world) notePromotion() {
	w.promotions++
	w.grants.epoch = w.promotions
	for _, l := range w.in.leases() {
		note := w.notes.of(l)
		note.isGuarded = *remainderOf(l) > 0
		note.openIn = 0
		note.isExpiring, note.isDelivered = false, false
		note.dueAgainAt = time.Time{}
		w.plan(l, note)
	}
	w.dropEtcdsPlan()
}

// noteDemotion ends it.
func (w *world) noteDemotion() {
	for _, note := range w.notes {
		note.checkpointAt = time.Time{}
		note.openIn = 0
	}
}

// noteRecovery makes the notes of leases that were read from the store.
func (w *world) noteRecovery() {
	w.grants = incarnation{}
	clear(w.notes)
	for id, l := range w.in.leases() {
		note := w.notes.of(l)
		note.generation = w.storedGenerations[id]
	}
}

// forgetRevoked drops the notes of leases that are gone.
func (w *world) forgetRevoked() {
	leases := w.in.leases()
	for l := range w.notes {
		if leases[l.ID] != l {
			delete(w.notes, l)
		}
	}
}

// sorted are the leases that have notes, by id.
func (n notes) sorted() []*lease.Lease {
	leases := make([]*lease.Lease, 0, len(n))
	for l := range n {
		leases = append(leases, l)
	}
	slices.SortFunc(leases, byID)
	return leases
}

func byID(a, b *lease.Lease) int {
	return cmp.Compare(a.ID, b.ID)
}

// breakTies sorts leases as ours: by when they were or are due and then by id, or by id alone.
func (w *world) breakTies(leases []*lease.Lease) {
	slices.SortFunc(leases, func(a, b *lease.Lease) int {
		return cmp.Or(w.dueAt(a).Compare(w.dueAt(b)), w.compareExpiring(a, b), byID(a, b))
	})
}

func (w *world) dueAt(l *lease.Lease) time.Time {
	if note := w.notes.of(l); w.in.isPrimary() && !note.dueAgainAt.IsZero() {
		return note.dueAgainAt
	}
	return *expiryOf(l)
}

func (w *world) compareExpiring(a, b *lease.Lease) int {
	rank := func(l *lease.Lease) int {
		if w.in.isPrimary() && w.notes.of(l).isExpiring {
			return 1
		}
		return 0
	}
	return cmp.Compare(rank(a), rank(b))
}
