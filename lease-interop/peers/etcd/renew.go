package main

import (
	"fmt"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
)

// How long a renewal waits for the end of an expired lease, where it does not wait for ever.
const renewTimeout = 5 * time.Second

// wait is a renewal that has not come back at once.
type wait struct {
	number   int
	deadline time.Time
	// Whether the lessor has answered.
	isDone bool
	ttl    int64
	err    error
	// Whether the host has heard the end of it.
	isOver bool
}

func (w *wait) answer() string {
	if w.err != nil {
		return w.err.Error()
	}
	return fmt.Sprintf("ok ttl=%d", w.ttl)
}

func (w *world) renew(id lease.LeaseID) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	l := w.le.Lookup(id)
	if l != nil {
		if err := w.resetOpen(l); err != nil {
			return err.Error()
		}
	}
	var before time.Time
	if l != nil {
		before = *expiryOf(l)
	}
	one := &wait{number: len(w.waits), deadline: time.Now().Add(renewTimeout)}
	go func() {
		one.ttl, one.err = w.le.Renew(id)
		one.isDone = true
	}()
	synctest.Wait()
	if !one.isDone {
		w.waits = append(w.waits, one)
		return fmt.Sprint("waiting ", one.number)
	}
	if one.err == nil {
		w.refine(l)
		if w.on[neverShortens] && before.After(*expiryOf(l)) {
			w.setExpiry(l, before)
		}
	}
	return one.answer()
}

// endWaits tells of the renewals that have come back, or that nobody waits for any more.
func (w *world) endWaits() {
	for _, wait := range w.waits {
		switch {
		case wait.isOver:
		case wait.isDone:
			wait.isOver = true
			w.events.add("wait %d@: %s", wait.number, wait.answer())
		case w.on[boundedWait] && !time.Now().Before(wait.deadline):
			wait.isOver = true
			w.events.add("wait %d@: deadline exceeded", wait.number)
		}
	}
}
