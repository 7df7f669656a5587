package main

import (
	"math"
	"os"
	"time"

	"github.com/coreos/go-semver/semver"

	"go.etcd.io/etcd/server/v3/lease"
)

// refused is the answer to a command of a lessor that was stopped.
func (w *world) refused() (string, bool) {
	return "lessor stopped", w.on[stop] && w.isStopped
}

func (w *world) promote(extend time.Duration) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	if w.on[promotedAgain] && w.in.isPrimary() {
		w.le.Demote()
		w.noteDemotion()
	}
	w.promoteEvenly(w.le, extend)
	for _, l := range w.in.leases() {
		if w.on[overflow] {
			left := *remainderOf(l)
			if left <= 0 {
				left = l.TTL()
			}
			if whole := time.Duration(left) * time.Second; whole > math.MaxInt64-extend {
				w.setExpiry(l, time.Now().Add(extend).Add(whole))
			}
		}
		w.refine(l)
	}
	w.notePromotion()
	return "ok"
}

// promoteEvenly promotes a lessor without a delay for any lease.
func (w *world) promoteEvenly(le lease.Lessor, extend time.Duration) {
	rate := insideOf(le).leaseRevokeRate()
	if ordinary := *rate; w.on[spread] {
		*rate = math.MaxInt
		defer func() { *rate = ordinary }()
	}
	le.Promote(extend)
}

// promoteLate is a promotion of the epoch before the present one.
func (w *world) promoteLate() string {
	if w.on[epochs] {
		return "ignored"
	}
	return w.promote(0)
}

func (w *world) demote() string {
	w.le.Demote()
	w.noteDemotion()
	return "ok"
}

// demoteLate is a demotion of an epoch before the present one.
func (w *world) demoteLate() string {
	if w.on[epochs] {
		return "ignored"
	}
	return w.demote()
}

// restart stops the lessor in good order and starts another one on its store.
func (w *world) restart(minTTL int64, persist bool) string {
	w.shutDown()
	w.be.ForceCommit()
	check(w.be.Close())
	w.settings.minTTL, w.settings.persist = minTTL, persist
	w.open(w.path)
	w.noteRecovery()
	return "ok"
}

// crash starts another lessor on what is in the file at this moment.
func (w *world) crash(minTTL int64, persist bool) string {
	if w.on[durability] {
		w.be.ForceCommit()
	}
	bytes, err := os.ReadFile(w.path)
	check(err)
	w.shutDown()
	check(w.be.Close())
	path := w.newPath()
	check(os.WriteFile(path, bytes, 0o600))
	w.settings.minTTL, w.settings.persist = minTTL, persist
	w.open(path)
	w.noteRecovery()
	return "ok"
}

// recover has the lessor read its store again, with a new range deleter or with none.
func (w *world) recover(hasDeleter bool) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	if w.on[recovery] {
		w.le.Demote()
		w.collect()
		w.outbox = nil
	}
	if hasDeleter {
		w.deleters++
		w.deleter = &deleter{world: w, number: w.deleters}
	} else if !w.on[recovery] {
		w.deleter = nil
	}
	var begin lease.RangeDeleter
	if w.deleter != nil {
		begin = w.deleter.begin
	}
	smallest := w.in.minLeaseTTL()
	if ordinary := *smallest; w.on[clamp] {
		*smallest = math.MinInt64
		defer func() { *smallest = ordinary }()
	}
	w.le.Recover(w.be, begin)
	w.noteRecovery()
	return "ok"
}

func (w *world) stop() string {
	if w.isStopped && w.on[stop] {
		return "ok"
	}
	w.le.Stop()
	w.isStopped = true
	return "ok"
}

// What the lessor is made with.

func (w *world) minTTL() int64 {
	if w.on[minimum] {
		return max(w.settings.minTTL, 1)
	}
	return w.settings.minTTL
}

// atLeast is an interval, which etcd replaces by its default if it is zero.
func (w *world) atLeast(interval, ordinary time.Duration) time.Duration {
	if interval == 0 && !w.on[zeroIntervals] {
		return ordinary
	}
	return max(interval, time.Millisecond)
}

// cluster is of 3.6, which makes the lessor store checkpoints whatever the setting says.
func (w *world) cluster() cluster {
	if w.persists() {
		return cluster{semver.New("3.6.0")}
	}
	return cluster{semver.New("3.5.0")}
}

func (w *world) persists() bool {
	return w.settings.persist || !w.on[persist]
}

// withoutClamp starts a lessor that does not raise stored TTLs.
func (w *world) withoutClamp(
	config lease.LessorConfig,
	start func(lease.LessorConfig) lease.Lessor,
) lease.Lessor {
	smallest := config.MinLeaseTTL
	if w.on[clamp] {
		config.MinLeaseTTL = math.MinInt64
	}
	le := start(config)
	*insideOf(le).minLeaseTTL() = smallest
	return le
}
