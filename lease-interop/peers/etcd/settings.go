package main

import (
	"strings"
	"time"
)

type settings struct {
	minTTL             int64
	checkpointInterval time.Duration
	retryInterval      time.Duration
	persist            bool
	// Who takes checkpoints: "none", "direct" (they are applied at once) or "deferred" (when the
	// trace says so).
	checkpointer string
	hasDeleter   bool
	clockLag     time.Duration
	// No limit if zero.
	maxLeases, maxItems int
}

func readSettings(words []string) settings {
	var s settings
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "min_ttl":
			s.minTTL = number(value)
		case "checkpoint_interval_ms":
			s.checkpointInterval = time.Duration(number(value)) * time.Millisecond
		case "retry_interval_ms":
			s.retryInterval = time.Duration(number(value)) * time.Millisecond
		case "persist":
			s.persist = value == "true"
		case "checkpointer":
			s.checkpointer = value
		case "deleter":
			s.hasDeleter = value == "true"
		case "clock_lag_ms":
			s.clockLag = time.Duration(number(value)) * time.Millisecond
		case "max_leases":
			s.maxLeases = int(number(value))
		case "max_items":
			s.maxItems = int(number(value))
		default:
			fail("there is no setting " + name)
		}
	}
	return s
}
