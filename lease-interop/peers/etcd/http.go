package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/lease/leasehttp"
)

// serveMembers answers a line for each line: it starts members with etcd's handler, and asks any member
// with etcd's client.
func serveMembers(t *testing.T, in *bufio.Scanner, out *bufio.Writer) {
	folder := t.TempDir()
	transport := &http.Transport{MaxIdleConnsPerHost: 512, ExpectContinueTimeout: time.Second}
	for number := 0; in.Scan(); number++ {
		words := strings.Fields(in.Text())
		path := filepath.Join(folder, fmt.Sprint("db", number))
		out.WriteString(answerMember(words[0], words[1:], path, transport))
		out.WriteByte('\n')
		check(out.Flush())
	}
	check(in.Err())
	// The members are of this process alone.
	os.Exit(0)
}

func answerMember(name string, args []string, path string, rt http.RoundTripper) string {
	switch name {
	case "member":
		return startMember(path, args[0])
	case "large":
		return startLarge(number(args[0]))
	case "renew":
		return renewOne(args[0], lease.LeaseID(number(args[1])), rt)
	case "renew-many":
		return renewMany(args[0], lease.LeaseID(number(args[1])), int(number(args[2])), rt)
	case "time-to-live":
		return timeToLive(args[0], lease.LeaseID(number(args[1])), rt)
	case "post":
		return post(args[0], int(number(args[1])), rt)
	}
	fail("there is no question " + name)
	return ""
}

// startMember starts a member with the leases that lease-interop's have as well, and returns its
// address.
func startMember(path, kind string) string {
	be := openBackend(path)
	config := lease.LessorConfig{MinLeaseTTL: 5}
	le := lease.NewLessor(zap.NewNop(), be, cluster{}, config)
	le.Promote(time.Second)
	for id, ttl := range map[lease.LeaseID]int64{1: 5, -1: 60, -1 << 63: 3600, 1<<63 - 1: lease.MaxLeaseTTL} {
		_, err := le.Grant(id, ttl)
		check(err)
	}
	check(le.Attach(-1, items([]string{"", "\x00\xff", "bar"})))
	if kind == "demoted" {
		le.Demote()
	}
	ready := make(chan struct{})
	if kind != "behind" {
		close(ready)
	}
	handler := leasehttp.NewHandler(le, func() <-chan struct{} { return ready })
	return httptest.NewServer(handler).URL
}

// startLarge starts a member that answers everything with so many bytes.
func startLarge(size int64) string {
	body := make([]byte, size)
	answer := func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
	return httptest.NewServer(http.HandlerFunc(answer)).URL
}

func renewOne(url string, id lease.LeaseID, rt http.RoundTripper) string {
	ttl, err := leasehttp.RenewHTTP(context.Background(), id, url+leasehttp.LeasePrefix, rt)
	if err != nil {
		return kindOf(err)
	}
	return fmt.Sprintf("ttl=%d", ttl)
}

func renewMany(url string, id lease.LeaseID, count int, rt http.RoundTripper) string {
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := make(map[string]int)
	for range count {
		all.Go(func() {
			answer := renewOne(url, id, rt)
			mu.Lock()
			answers[answer]++
			mu.Unlock()
		})
	}
	all.Wait()
	return tally(answers)
}

func timeToLive(url string, id lease.LeaseID, rt http.RoundTripper) string {
	response, err := leasehttp.TimeToLiveHTTP(
		context.Background(), id, true, url+leasehttp.LeaseInternalPrefix, rt)
	if err != nil {
		return kindOf(err)
	}
	answer := response.LeaseTimeToLiveResponse
	keys := make([]string, len(answer.Keys))
	for i, key := range answer.Keys {
		keys[i] = string(key)
	}
	slices.Sort(keys)
	return fmt.Sprintf("id=%d left=%d granted=%d keys=%s",
		answer.ID, answer.TTL, answer.GrantedTTL, hexAll(keys))
}

// kindOf is what a caller can tell of an error of the client's.
func kindOf(err error) string {
	switch {
	case errors.Is(err, lease.ErrLeaseNotFound):
		return "not found"
	case errors.Is(err, leasehttp.ErrLeaseHTTPTimeout):
		return "not caught up"
	case strings.Contains(err.Error(), lease.ErrNotPrimary.Error()):
		return "demoted"
	}
	return err.Error()
}

// post sends a body of zeros and returns the status. It asks before it sends: a member that refuses a
// body need not read it, and the answer could be lost while the body is written.
func post(url string, size int, rt http.RoundTripper) string {
	client := &http.Client{Transport: rt}
	body := bytes.NewReader(make([]byte, size))
	request, err := http.NewRequest(http.MethodPost, url+leasehttp.LeasePrefix, body)
	check(err)
	request.Header.Set("Expect", "100-continue")
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	return fmt.Sprint(response.StatusCode)
}
