package main

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/lease/leasehttp"
)

// httpCallers are how many callers ask at once, each over a connection of its own.
var httpCallers = []int{1, 64}

// httpRequests is how many requests all callers together send.
const httpRequests = 20000

// httpPasses is how often each row is measured, after once to warm up.
const httpPasses = 3

// http renews over loopback, with etcd's handler and its client. The client's transport is the one that
// etcd's members use among themselves, which keeps up to 1,024 connections to a member; Go's default
// would keep two. There are no batches: where lease-bench renews many with a request, this renews one by
// one.
func (b bench) http(folder string) {
	be, le := primary(filepath.Join(folder, "http"))
	defer be.Close()
	for _, id := range b.ids {
		_, err := le.Grant(id, ttl)
		check(err)
	}
	be.ForceCommit()
	applied := make(chan struct{})
	close(applied)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	handler := leasehttp.NewHandler(le, func() <-chan struct{} { return applied })
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	rt, err := transport.NewTimeoutTransport(transport.TLSInfo{}, time.Second, 0, 0)
	check(err)
	url := "http://" + listener.Addr().String() + leasehttp.LeasePrefix
	order := rotated(b.ids, b.n/3)
	for _, callers := range httpCallers {
		op := "http_renew_" + strconv.Itoa(callers)
		ops := []string{op, op + "_batched"}
		if callers > 1 {
			ops = append(ops, op+"_coalesced")
		}
		for _, op := range ops {
			renewals := httpRequests / callers * callers
			renewOverHTTP(order, callers, url, rt)
			for range httpPasses {
				used := processorTime()
				b.time(op, renewals, func() { renewOverHTTP(order, callers, url, rt) })
				b.print(op+"_cpu", processorTime()-used, renewals)
			}
		}
	}
	check(server.Close())
	le.Stop()
}

func renewOverHTTP(ids []lease.LeaseID, callers int, url string, rt http.RoundTripper) {
	var all sync.WaitGroup
	for number := range callers {
		start := number * len(ids) / callers
		all.Go(func() {
			for turn := range httpRequests / callers {
				id := ids[(start+turn)%len(ids)]
				_, err := leasehttp.RenewHTTP(context.Background(), id, url, rt)
				check(err)
			}
		})
	}
	all.Wait()
}

// processorTime is what this process has used of all processors, in the kernel too.
func processorTime() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
