package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/coreos/go-semver/semver"
	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
)

// world is etcd's lessor over a store of its own, its host, and the shims between them and the trace.
type world struct {
	on       shims
	settings settings
	// Where trace time is zero.
	start time.Time

	folder string
	files  int
	path   string
	be     backend.Backend
	le     lease.Lessor
	in     inside
	// When the lessor's loop began.
	loopStart time.Time
	isStopped bool
	// How often it was promoted.
	promotions int
	// The latest grant.
	grants incarnation
	// How many checkpoints were proposed.
	proposals int
	// The checkpoint generation that the row of a lease would have here.
	storedGenerations map[lease.LeaseID]uint32

	host
	notes  notes
	events events
}

// host is what the lessor's host does and remembers.
type host struct {
	deleter  *deleter
	deleters int
	// The leases that were offered, and not yet taken.
	outbox  []*delivery
	isHeld  bool
	taken   [][]*delivery
	pending []*proposal
	// Whether the checkpointer fails.
	fails bool
	waits []*wait
	kept  []func() string
	// The counters at the start.
	before counters
}

// events is what happened beside the answer of a command. Etcd's threads write to it.
type events struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (e *events) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	line = strings.Replace(line, "@", "@"+millis(int64(time.Since(e.start))), 1)
	e.mu.Lock()
	e.lines = append(e.lines, line)
	e.mu.Unlock()
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.lines
	e.lines = nil
	slices.Sort(lines)
	return lines
}

// merge makes one line of the deletes of many revokes.
func (e *events) merge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	var keys []string
	isDelete := func(line string) bool {
		head, tail, _ := strings.Cut(line, ": ")
		if !strings.HasPrefix(head, "deleted") {
			return false
		}
		keys = append(keys, strings.Split(tail, ",")...)
		return true
	}
	e.lines = slices.DeleteFunc(e.lines, isDelete)
	if len(keys) > 0 {
		slices.Sort(keys)
		e.lines = append(e.lines, "deleted: "+strings.Join(keys, ","))
	}
}

func newWorld(on shims, settings settings) *world {
	folder, err := os.MkdirTemp("", "etcd-interop")
	check(err)
	w := &world{
		on:                on,
		settings:          settings,
		folder:            folder,
		start:             time.Now(),
		notes:             make(notes),
		storedGenerations: make(map[lease.LeaseID]uint32),
	}
	w.events.start = w.start
	w.before = readCounters()
	w.open(w.newPath())
	return w
}

func (w *world) end() {
	w.shutDown()
	check(w.be.Close())
	synctest.Wait()
	check(os.RemoveAll(w.folder))
}

func (w *world) newPath() string {
	w.files++
	return filepath.Join(w.folder, fmt.Sprint("db", w.files))
}

// open starts a lessor on the file at path.
func (w *world) open(path string) {
	w.path = path
	w.be = openBackend(path)
	w.startLessor()
}

func openBackend(path string) backend.Backend {
	config := backend.DefaultBackendConfig(zap.NewNop())
	config.Path = path
	config.MmapSize = 1 << 20
	config.UnsafeNoFsync = true
	// It commits when it is told to: virtual time passes in large steps.
	config.BatchInterval = 1 << 62
	return backend.New(config)
}

func (w *world) startLessor() {
	config := lease.LessorConfig{
		MinLeaseTTL:                w.minTTL(),
		CheckpointInterval:         w.interval(),
		ExpiredLeasesRetryInterval: w.retryInterval(),
		CheckpointPersist:          w.settings.persist,
	}
	w.le = w.withoutClamp(config, func(config lease.LessorConfig) lease.Lessor {
		return lease.NewLessor(zap.NewNop(), w.be, w.cluster(), config)
	})
	w.in = insideOf(w.le)
	w.loopStart = time.Now()
	w.isStopped = false
	w.outbox = nil
	w.setHost()
	synctest.Wait()
}

// shutDown stops the lessor if it runs.
func (w *world) shutDown() {
	if !w.isStopped {
		w.le.Stop()
		w.isStopped = true
	}
	w.settle()
}

// cluster is one of etcd's versions.
type cluster struct{ version *semver.Version }

func (c cluster) Version() *semver.Version { return c.version }

// run does one command and returns its answer and what else happened.
func (w *world) run(words []string) string {
	answer := w.answer(words)
	w.settle()
	return strings.Join(append([]string{answer}, w.events.take()...), " | ")
}

// A command at which etcd panics is answered so.
func (w *world) answer(words []string) (answer string) {
	defer func() {
		if panic := recover(); panic != nil {
			answer = fmt.Sprint("panic: ", panic)
		}
	}()
	name, args := words[0], words[1:]
	if w.on[none] && len(args) > 0 && args[0] == "0" {
		switch name {
		case "grant", "revoke", "renew", "attach", "detach", "checkpoint":
			return lease.ErrLeaseNotFound.Error()
		}
	}
	return w.command(name, args)
}
