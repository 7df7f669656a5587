package main

// A shim makes etcd's lessor do one thing as ours does. The names are those of lease-interop's table
// (src/shims.rs), which has the row of docs/etcd-parity.md for each.
type shim string

const (
	boundedWait    shim = "bounded-wait"
	bytesSorted    shim = "bytes"
	clamp          shim = "clamp"
	clock          shim = "clock"
	due            shim = "due"
	durability     shim = "durability"
	epochs         shim = "epochs"
	fencing        shim = "fencing"
	fields         shim = "fields"
	minimum        shim = "minimum"
	moves          shim = "moves"
	neverShortens  shim = "never-shortens"
	noCheckpointer shim = "no-checkpointer"
	noDeleter      shim = "no-deleter"
	none           shim = "none"
	overdue        shim = "overdue"
	overflow       shim = "overflow"
	persist        shim = "persist"
	promotedAgain  shim = "promoted-again"
	recovery       shim = "recovery"
	remaining      shim = "remaining"
	reset          shim = "reset"
	retry          shim = "retry"
	revokedKeys    shim = "revoked-keys"
	schedule       shim = "schedule"
	limits         shim = "settings"
	snapshots      shim = "snapshots"
	spread         shim = "spread"
	stop           shim = "stop"
	strangeRows    shim = "strange-rows"
	zeroIntervals  shim = "zero-intervals"
)

var allShims = []shim{
	boundedWait, bytesSorted, clamp, clock, due, durability, epochs, fencing, fields, limits, minimum,
	moves, neverShortens, noCheckpointer, noDeleter, none, overdue, overflow, persist, promotedAgain,
	recovery, remaining, reset, retry, revokedKeys, schedule, snapshots, spread, stop, strangeRows,
	zeroIntervals,
}

// shims are those that are on.
type shims map[shim]bool

func readShims(names []string) shims {
	on := make(shims)
	for _, name := range names {
		on[shim(name)] = true
	}
	for _, known := range allShims {
		delete(on, known)
	}
	for unknown := range on {
		fail("there is no shim " + string(unknown))
	}
	for _, name := range names {
		on[shim(name)] = true
	}
	return on
}
