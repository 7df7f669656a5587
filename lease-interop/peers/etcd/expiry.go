package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
)

// delivery is a batch of expired leases.
type delivery struct {
	leases    []delivered
	promotion int
}

type delivered struct {
	lease       *lease.Lease
	incarnation incarnation
}

// collect moves what the lessor has offered into the outbox. It returns whether there was something.
func (w *world) collect() (found bool) {
	for {
		select {
		case leases := <-w.le.ExpiredLeasesC():
			found = true
			w.offer(leases)
		default:
			return found
		}
	}
}

func (w *world) offer(leases []*lease.Lease) {
	batch := &delivery{promotion: w.promotions}
	slices.SortFunc(leases, byID)
	for _, l := range leases {
		if w.on[retry] && w.isOffered(l) {
			continue
		}
		note := w.notes.of(l)
		if note.isExpiring && note.dueAgainAt.Before(time.Now()) {
			note.dueAgainAt = time.Now()
		}
		note.isExpiring, note.isDelivered = true, true
		batch.leases = append(batch.leases, delivered{l, note.incarnation})
	}
	if len(batch.leases) > 0 {
		w.outbox = append(w.outbox, batch)
	}
}

// isOffered says whether the host has not taken an earlier offer of this promotion yet.
func (w *world) isOffered(l *lease.Lease) bool {
	return slices.ContainsFunc(w.outbox, func(batch *delivery) bool {
		is := func(d delivered) bool { return d.lease == l }
		return batch.promotion == w.promotions && slices.ContainsFunc(batch.leases, is)
	})
}

// take is the host that takes everything there is.
func (w *world) take() {
	if len(w.outbox) == 0 || (w.isStopped && w.on[stop]) {
		return
	}
	var ids []string
	for _, batch := range w.outbox {
		for _, d := range batch.leases {
			ids = append(ids, fmt.Sprint(d.lease.ID))
			if w.on[retry] && w.isCurrent(batch, d) {
				again := w.thisMilli().Add(w.retryInterval())
				w.notes.of(d.lease).attemptAt = again
				w.tryAgainAt(d.lease, again)
			}
		}
	}
	slices.Sort(ids)
	w.events.add("expired@: %s", strings.Join(ids, ","))
	w.taken = append(w.taken, w.outbox)
	w.outbox = nil
}

func (w *world) retryInterval() time.Duration {
	return w.atLeast(w.settings.retryInterval, 3*time.Second)
}

// isCurrent says whether the lease is still there, and expiring under the same promotion.
func (w *world) isCurrent(batch *delivery, d delivered) bool {
	return w.in.isPrimary() && batch.promotion == w.promotions && w.in.leases()[d.lease.ID] == d.lease
}

func (w *world) tryAgainAt(l *lease.Lease, at time.Time) {
	w.in.locked(func() {
		w.in.expiries().RegisterOrUpdate(newEntry(l.ID, at))
	})
}

// revokeTaken revokes what the host once took.
func (w *world) revokeTaken(k int) string {
	if len(w.taken) == 0 {
		return "none"
	}
	if answer, ok := w.refused(); ok {
		return answer
	}
	defer w.shimDeleter()()
	var answers []string
	for _, batch := range w.taken[k%len(w.taken)] {
		for _, d := range batch.leases {
			answers = append(answers, fmt.Sprintf("%d=%s", d.lease.ID, w.revokeExpired(batch, d)))
		}
	}
	w.events.merge()
	slices.Sort(answers)
	return strings.Join(answers, ",")
}

func (w *world) revokeExpired(batch *delivery, d delivered) string {
	if l := w.le.Lookup(d.lease.ID); w.on[fencing] && l != nil {
		isOther := w.notes.of(l).incarnation != d.incarnation
		if isOther || batch.promotion < w.promotions {
			return "stale"
		}
	}
	return answerOf(w.le.Revoke(d.lease.ID))
}

// failTaken is the host that knows that its attempt to revoke what it once took has failed.
func (w *world) failTaken(k int) string {
	if len(w.taken) == 0 {
		return "none"
	}
	if !w.on[retry] {
		return "ok"
	}
	for _, batch := range w.taken[k%len(w.taken)] {
		for _, d := range batch.leases {
			note := w.notes.of(d.lease)
			if w.isCurrent(batch, d) && note.isDelivered && !w.isOffered(d.lease) {
				// However short the interval is, the next attempt is not made at once.
				pause := max((w.retryInterval() / 4).Truncate(time.Millisecond), time.Millisecond)
				again := w.nextMilli().Add(pause)
				// A late report does not put the next attempt off.
				if !again.Before(note.attemptAt) {
					continue
				}
				note.isDelivered = false
				note.dueAgainAt = again
				w.tryAgainAt(d.lease, note.dueAgainAt)
			}
		}
	}
	return "ok"
}
