package main

import (
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
)

// The lessor's loop turns this often.
const loopPause = 500 * time.Millisecond

// advance lets time pass, and the host see everything at its time.
func (w *world) advance(span time.Duration) string {
	target := time.Now().Add(span)
	for {
		next := w.nextStop()
		if next.IsZero() || next.After(target) {
			break
		}
		time.Sleep(time.Until(next))
		w.settle()
	}
	time.Sleep(time.Until(target))
	return "ok"
}

// nextStop is when something happens next, zero if never.
func (w *world) nextStop() (next time.Time) {
	now := time.Now()
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, wait := range w.waits {
		if w.on[boundedWait] && !wait.isOver {
			consider(wait.deadline)
		}
	}
	if w.isStopped {
		return next
	}
	if !w.on[due] {
		sinceTick := now.Sub(w.loopStart) % loopPause
		consider(now.Add(loopPause - sinceTick))
		return next
	}
	if first := w.in.expiries().Peek(); first != nil {
		consider(w.wholeMillis(timeOf(first)))
	}
	if w.on[schedule] {
		for _, note := range w.notes {
			consider(note.checkpointAt)
		}
	} else if queue := *w.in.checkpoints(); len(queue) > 0 {
		consider(w.wholeMillis(timeOf(queue[0])))
	}
	return next
}

// settle waits until etcd's threads rest, and does what the loop and the host do now.
func (w *world) settle() {
	synctest.Wait()
	if w.on[due] && !w.isStopped {
		w.offerDue()
	}
	w.collect()
	w.checkpointDue()
	synctest.Wait()
	if !w.isHeld {
		w.take()
	}
	w.endWaits()
}

// offerDue has the lessor offer what has expired, now instead of at the next turn of its loop.
func (w *world) offerDue() {
	for {
		revokeExpired(w.in.address())
		if !w.collect() {
			return
		}
	}
}

// wholeMillis rounds a time up as our deadlines are.
func (w *world) wholeMillis(at time.Time) time.Time {
	// Virtual time begins at a whole second.
	rest := time.Duration(at.Nanosecond()) % time.Millisecond
	if !w.on[clock] || rest == 0 {
		return at
	}
	return at.Add(time.Millisecond - rest)
}

// thisMilli is the millisecond that has begun.
func (w *world) thisMilli() time.Time {
	if !w.on[clock] {
		return time.Now()
	}
	return w.start.Add(time.Since(w.start).Truncate(time.Millisecond))
}

func (w *world) nextMilli() time.Time {
	return w.wholeMillis(time.Now())
}

// setExpiry gives a lease of the primary another expiry.
func (w *world) setExpiry(l *lease.Lease, at time.Time) {
	w.in.locked(func() {
		*expiryOf(l) = at
		w.in.expiries().RegisterOrUpdate(newEntry(l.ID, at))
	})
}

// refine makes an expiry that etcd has just set one of ours: of whole milliseconds, and later by what
// the clock may lag behind.
func (w *world) refine(l *lease.Lease) {
	if w.on[clock] && w.in.isPrimary() {
		w.setExpiry(l, w.wholeMillis(*expiryOf(l)).Add(w.settings.clockLag))
	}
}

// shownLeft is what remains of a lease, as an answer has it.
func (w *world) shownLeft(l *lease.Lease) string {
	if l.Demoted() {
		return "demoted"
	}
	left := l.Remaining()
	if w.on[clock] {
		left = expiryOf(l).Sub(w.thisMilli())
	}
	if w.on[overdue] {
		left = max(left, 0)
	}
	return millis(int64(left))
}
