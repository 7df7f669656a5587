package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
)

func (w *world) command(name string, args []string) string {
	id := func() lease.LeaseID { return lease.LeaseID(number(args[0])) }
	switch name {
	case "grant":
		return w.grant(id(), number(args[1]))
	case "many":
		return w.many(id(), number(args[1]), number(args[2]))
	case "revoke":
		return w.revoke(id())
	case "renew":
		return w.renew(id())
	case "attach":
		return w.attach(id(), unhexAll(args[1:]))
	case "detach":
		return w.detach(id(), unhexAll(args[1:]))
	case "get":
		return w.get(unhex(args[0]))
	case "lookup":
		return w.lookup(id())
	case "list":
		return w.list()
	case "keep":
		return w.keep(id())
	case "kept":
		return w.showKept()
	case "checkpoint":
		return w.checkpoint(id(), number(args[1]))
	case "apply":
		return w.applyProposal(int(number(args[0])))
	case "drop":
		return w.dropProposal(int(number(args[0])))
	case "fails":
		w.fails = args[0] == "true"
		return "ok"
	case "promote":
		return w.promote(time.Duration(number(args[0])) * time.Millisecond)
	case "promote-late":
		return w.promoteLate()
	case "demote":
		return w.demote()
	case "demote-late":
		return w.demoteLate()
	case "advance":
		return w.advance(time.Duration(number(args[0])) * time.Microsecond)
	case "hold":
		w.isHeld = args[0] == "true"
		return "ok"
	case "take":
		w.take()
		return "ok"
	case "revoke-taken":
		return w.revokeTaken(int(number(args[0])))
	case "fail-taken":
		return w.failTaken(int(number(args[0])))
	case "restart":
		return w.restart(number(args[0]), args[1] == "true")
	case "crash":
		return w.crash(number(args[0]), args[1] == "true")
	case "recover":
		return w.recover(args[0] == "true")
	case "stop":
		return w.stop()
	case "rows":
		return w.rows()
	case "load":
		return w.load(args)
	case "counters":
		return w.counters()
	}
	fail("there is no command " + name)
	return ""
}

func (w *world) grant(id lease.LeaseID, ttl int64) string {
	// Ours looks at the TTL first.
	if answer, ok := w.refused(); ok && ttl <= lease.MaxLeaseTTL {
		return answer
	}
	if w.on[limits] && w.isFull(id, ttl) {
		return "too many leases"
	}
	l, err := w.le.Grant(id, ttl)
	if err != nil {
		return err.Error()
	}
	answer := fmt.Sprintf("ok ttl=%d left=%s", l.TTL(), left(l))
	w.noteGrant(l)
	return answer
}

// many grants count leases with ids from id on.
func (w *world) many(id lease.LeaseID, count, ttl int64) string {
	answers := make(map[string]int)
	for i := range count {
		answers[w.grant(id+lease.LeaseID(i), ttl)]++
	}
	return tally(answers)
}

func (w *world) revoke(id lease.LeaseID) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	defer w.shimDeleter()()
	if err := w.le.Revoke(id); err != nil {
		return err.Error()
	}
	return "ok"
}

func (w *world) attach(id lease.LeaseID, keys []string) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	if w.on[limits] && w.isCrowded(id, keys) {
		return "too many lease items"
	}
	if w.on[moves] {
		w.detachFromOthers(id, keys)
	}
	return answerOf(w.le.Attach(id, items(keys)))
}

func (w *world) detach(id lease.LeaseID, keys []string) string {
	if answer, ok := w.refused(); ok {
		return answer
	}
	if w.on[moves] {
		keys = w.owned(id, keys)
	}
	return answerOf(w.le.Detach(id, items(keys)))
}

func (w *world) get(key string) string {
	id := w.le.GetLease(lease.LeaseItem{Key: key})
	if id == lease.NoLease {
		return "none"
	}
	return fmt.Sprint(id)
}

func (w *world) lookup(id lease.LeaseID) string {
	if l := w.le.Lookup(id); l != nil {
		return w.show(l)
	}
	return "none"
}

func (w *world) list() string {
	leases := w.le.Leases()
	if w.on[snapshots] {
		w.breakTies(leases)
	}
	lines := make([]string, len(leases))
	for i, l := range leases {
		lines[i] = w.show(l)
	}
	return strings.Join(lines, "; ")
}

// keep looks a lease up and remembers what it got.
func (w *world) keep(id lease.LeaseID) string {
	l := w.le.Lookup(id)
	if l == nil {
		return "none"
	}
	show := func() string { return w.show(l) }
	if w.on[snapshots] {
		copied := w.show(l)
		show = func() string { return copied }
	}
	w.kept = append(w.kept, show)
	return "ok"
}

func (w *world) showKept() string {
	lines := make([]string, len(w.kept))
	for i, show := range w.kept {
		lines[i] = show()
	}
	return strings.Join(lines, "; ")
}

// show writes a lease as it is now.
func (w *world) show(l *lease.Lease) string {
	checkpointed := "-"
	if remainder := *remainderOf(l); remainder > 0 {
		checkpointed = fmt.Sprint(remainder)
	}
	keys := l.Keys()
	if w.on[bytesSorted] {
		slices.Sort(keys)
	}
	return fmt.Sprintf("%d ttl=%d left=%s checkpointed=%s keys=%s",
		l.ID, l.TTL(), w.shownLeft(l), checkpointed, hexAll(keys))
}

func left(l *lease.Lease) string {
	if l.Demoted() {
		return "demoted"
	}
	return millis(int64(l.Remaining()))
}

func items(keys []string) []lease.LeaseItem {
	items := make([]lease.LeaseItem, len(keys))
	for i, key := range keys {
		items[i].Key = key
	}
	return items
}

func answerOf(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func tally(answers map[string]int) string {
	lines := make([]string, 0, len(answers))
	for answer, count := range answers {
		lines = append(lines, fmt.Sprintf("%d: %s", count, answer))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}
