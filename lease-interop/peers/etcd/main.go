// Command etcd-interop drives etcd's own lessor, or its leasehttp, as lease-interop tells it on its
// standard input, and writes what they answer to its standard output.
package main

import (
	"bufio"
	"flag"
	"os"
	"testing"
)

func main() {
	mode := flag.String("mode", "lessor", "what to drive: lessor or http")
	testing.Init()
	flag.Parse()
	run := map[string]func(*testing.T, *bufio.Scanner, *bufio.Writer){
		"http":   serveMembers,
		"lessor": serveTraces,
	}[*mode]
	if run == nil {
		fail("there is no mode " + *mode)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<26)
	out := bufio.NewWriter(os.Stdout)
	// Virtual time is only to be had inside of a test.
	match := func(_, _ string) (bool, error) { return true, nil }
	test := func(t *testing.T) { run(t, in, out) }
	testing.Main(match, []testing.InternalTest{{Name: *mode, F: test}}, nil, nil)
}

func fail(text string) {
	os.Stderr.WriteString("etcd-interop: " + text + "\n")
	os.Exit(2)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
