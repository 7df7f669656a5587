package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/lease"
)

// proposal is checkpoints that the lessor has asked for and that are not applied yet.
type proposal struct {
	number    int
	promotion int
	records   []proposed
}

type proposed struct {
	id          lease.LeaseID
	remaining   int64
	incarnation incarnation
	generation  uint32
}

var errCheckpointer = errors.New("the log has no leader")

// checkpointer is what the host gives to the lessor, nil if nothing.
func (w *world) checkpointer() lease.Checkpointer {
	if w.settings.checkpointer == "none" && !w.on[noCheckpointer] {
		return nil
	}
	return func(_ context.Context, request *pb.LeaseCheckpointRequest) error {
		return w.propose(request.Checkpoints)
	}
}

func (w *world) propose(checkpoints []*pb.LeaseCheckpoint) error {
	if w.settings.checkpointer != "none" {
		w.tellCheckpoints(checkpoints)
	}
	p := w.newProposal(checkpoints)
	isReset := len(checkpoints) == 1 && checkpoints[0].Remaining_TTL == 0
	if !isReset {
		w.beginProposal(p)
	}
	switch {
	case w.fails && w.settings.checkpointer == "direct":
		return errCheckpointer
	case w.settings.checkpointer == "deferred" && !isReset:
		w.pending = append(w.pending, p)
	default:
		for _, record := range p.records {
			w.applyCheckpoint(record.id, record.remaining)
		}
		w.endProposal(p)
	}
	return nil
}

func (w *world) tellCheckpoints(checkpoints []*pb.LeaseCheckpoint) {
	var records []string
	for _, c := range checkpoints {
		records = append(records, fmt.Sprintf("%d=%d", c.ID, c.Remaining_TTL))
	}
	slices.Sort(records)
	w.events.add("checkpoints@: %s", strings.Join(records, ","))
}

func (w *world) newProposal(checkpoints []*pb.LeaseCheckpoint) *proposal {
	w.proposals++
	p := &proposal{number: w.proposals, promotion: w.promotions}
	for _, c := range checkpoints {
		record := proposed{id: lease.LeaseID(c.ID), remaining: c.Remaining_TTL}
		if l := w.in.leases()[record.id]; l != nil {
			record.incarnation = w.notes.of(l).incarnation
			record.generation = w.notes.of(l).generation
		}
		p.records = append(p.records, record)
	}
	return p
}

// checkpoint is the command of a user.
func (w *world) checkpoint(id lease.LeaseID, secs int64) string {
	if w.on[remaining] && (secs < 0 || secs > lease.MaxLeaseTTL) {
		return "remaining TTL out of range"
	}
	if answer, ok := w.refused(); ok {
		return answer
	}
	w.applyCheckpoint(id, secs)
	return "ok"
}

func (w *world) applyCheckpoint(id lease.LeaseID, secs int64) {
	l := w.le.Lookup(id)
	if l != nil && w.on[remaining] {
		secs = min(secs, l.TTL())
	}
	check(w.le.Checkpoint(id, secs))
	if l == nil {
		return
	}
	note := w.notes.of(l)
	if secs == 0 {
		note.generation++
		note.openIn = 0
	}
	if w.persists() {
		w.storedGenerations[id] = note.generation
	}
	note.isGuarded = secs > 0
	if w.in.isPrimary() {
		w.planAgain(l, note, w.interval())
	}
	w.dropEtcdsPlan()
}

func (w *world) applyProposal(k int) string {
	if len(w.pending) == 0 {
		return "none"
	}
	if answer, ok := w.refused(); ok {
		return answer
	}
	p := w.takeProposal(k)
	var answers []string
	for _, record := range p.records {
		answer := "void"
		if w.isValid(p, record) {
			answer = "applied"
			w.applyCheckpoint(record.id, record.remaining)
		}
		answers = append(answers, fmt.Sprintf("%d=%s", record.id, answer))
	}
	w.endProposal(p)
	slices.Sort(answers)
	return strings.Join(answers, ",")
}

// isValid says whether a checkpoint still means the lease that it was computed for.
func (w *world) isValid(p *proposal, record proposed) bool {
	l := w.le.Lookup(record.id)
	if l == nil {
		return false
	}
	note := w.notes.of(l)
	if w.on[fencing] && (note.incarnation != record.incarnation || p.promotion < w.promotions) {
		return false
	}
	return !w.on[reset] || note.generation == record.generation
}

// dropProposal is the host that knows that a proposal will never be applied.
func (w *world) dropProposal(k int) string {
	if len(w.pending) == 0 {
		return "none"
	}
	for _, l := range w.endProposal(w.takeProposal(k)) {
		w.planAgain(l, w.notes.of(l), w.interval()/time.Millisecond/2*time.Millisecond)
	}
	return "ok"
}

func (w *world) takeProposal(k int) *proposal {
	at := k % len(w.pending)
	p := w.pending[at]
	w.pending = slices.Delete(w.pending, at, at+1)
	return p
}

func (w *world) beginProposal(p *proposal) {
	for _, record := range p.records {
		note := w.notes.of(w.in.leases()[record.id])
		note.openIn, note.isGuarded = p.number, true
	}
}

// endProposal ends a proposal, and returns the leases for which it was the latest.
func (w *world) endProposal(p *proposal) (closed []*lease.Lease) {
	if !w.in.isPrimary() || p.promotion != w.promotions {
		return nil
	}
	for _, record := range p.records {
		l := w.in.leases()[record.id]
		if l == nil || w.notes.of(l).openIn != p.number {
			continue
		}
		note := w.notes.of(l)
		note.openIn = 0
		note.isGuarded = *remainderOf(l) > 0
		closed = append(closed, l)
	}
	return closed
}

// resetOpen resets what remains of a lease before a renewal, if a checkpoint is on its way that would
// set it. Etcd itself does so if it is set.
func (w *world) resetOpen(l *lease.Lease) error {
	isLate := l.Remaining() <= 0
	if !w.on[reset] || !w.in.isPrimary() || isLate || !w.notes.of(l).isGuarded || *remainderOf(l) > 0 {
		return nil
	}
	return w.propose([]*pb.LeaseCheckpoint{{ID: int64(l.ID)}})
}

// The schedule of ours: one entry for each lease that is longer than the interval.

func (w *world) interval() time.Duration {
	return w.atLeast(w.settings.checkpointInterval, 5*time.Minute)
}

func (w *world) needsCheckpoints(l *lease.Lease) bool {
	return time.Duration(l.TTL())*time.Second > w.interval()
}

// plan enters a lease with a fresh expiry.
func (w *world) plan(l *lease.Lease, note *note) {
	note.checkpointAt = time.Time{}
	if w.in.isPrimary() && w.needsCheckpoints(l) {
		whole := time.Duration(l.TTL()) * time.Second
		note.checkpointAt = expiryOf(l).Add(-whole).Add(w.interval())
	}
}

func (w *world) planAgain(l *lease.Lease, note *note, pause time.Duration) {
	if w.needsCheckpoints(l) {
		note.checkpointAt = w.nextMilli().Add(pause)
	}
}

// dropEtcdsPlan empties etcd's own schedule, so that only ours counts.
func (w *world) dropEtcdsPlan() {
	if w.on[schedule] {
		w.in.locked(func() { *w.in.checkpoints() = nil })
	}
}

// checkpointDue has the lessor propose what is due.
func (w *world) checkpointDue() {
	if w.isStopped || !w.in.isPrimary() {
		return
	}
	if w.on[schedule] {
		w.enterDue()
		if len(*w.in.checkpoints()) == 0 {
			return
		}
	} else if !w.on[due] {
		return
	}
	checkpointScheduled(w.in.address())
}

// enterDue puts those leases into etcd's schedule that are due by ours.
func (w *world) enterDue() {
	now := w.thisMilli()
	for _, l := range w.notes.sorted() {
		note := w.notes.of(l)
		if note.checkpointAt.IsZero() || note.checkpointAt.After(now) {
			continue
		}
		again, isWorthIt := w.judge(l, note, now)
		note.checkpointAt = again
		if isWorthIt {
			w.in.locked(func() { heap.Push(w.in.checkpoints(), newEntry(l.ID, time.Now())) })
		}
	}
}

// judge says whether a checkpoint of a lease has something to say, and when the next one is due.
func (w *world) judge(l *lease.Lease, note *note, now time.Time) (again time.Time, isWorthIt bool) {
	again = w.nextMilli().Add(w.interval())
	if note.isExpiring {
		return again, false
	}
	last := *remainderOf(l)
	if last <= 0 {
		last = l.TTL()
	}
	expiry := *expiryOf(l)
	worthItAt := expiry.Add(-time.Duration(last) * time.Second).Add(w.interval())
	if now.Before(worthItAt) {
		return worthItAt, false
	}
	left := (expiry.Sub(now) + time.Second - 1) / time.Second
	return again, int64(left) < last && expiry.After(now)
}
