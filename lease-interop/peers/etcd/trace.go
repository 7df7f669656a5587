package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// A trace comes as lines: its shims, its settings, commands, "end". Each command is answered by a
// line, and the trace by "end".
type trace struct {
	shims    shims
	settings settings
	commands [][]string
}

func serveTraces(t *testing.T, in *bufio.Scanner, out *bufio.Writer) {
	for {
		trace, ok := readTrace(in)
		if !ok {
			return
		}
		for _, line := range runTrace(t, trace) {
			out.WriteString(line)
			out.WriteByte('\n')
		}
		out.WriteString("end\n")
		check(out.Flush())
	}
}

func readTrace(in *bufio.Scanner) (trace, bool) {
	var trace trace
	for in.Scan() {
		words := strings.Fields(in.Text())
		switch words[0] {
		case "shims":
			trace.shims = readShims(words[1:])
		case "settings":
			trace.settings = readSettings(words[1:])
		case "end":
			return trace, true
		default:
			trace.commands = append(trace.commands, words)
		}
	}
	check(in.Err())
	return trace, false
}

func runTrace(t *testing.T, trace trace) (lines []string) {
	synctest.Test(t, func(*testing.T) {
		world := newWorld(trace.shims, trace.settings)
		defer world.end()
		for _, words := range trace.commands {
			lines = append(lines, world.run(words))
		}
	})
	return lines
}

func number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	check(err)
	return n
}

// unhex reads the bytes of a key; "-" is the empty one.
func unhex(word string) string {
	bytes, err := hex.DecodeString(strings.TrimPrefix(word, "-"))
	check(err)
	return string(bytes)
}

func unhexAll(words []string) []string {
	keys := make([]string, len(words))
	for i, word := range words {
		keys[i] = unhex(word)
	}
	return keys
}

func hexOf(key string) string {
	if key == "" {
		return "-"
	}
	return hex.EncodeToString([]byte(key))
}

func hexAll(keys []string) string {
	words := make([]string, len(keys))
	for i, key := range keys {
		words[i] = hexOf(key)
	}
	return strings.Join(words, ",")
}

// millis writes nanoseconds as milliseconds.
func millis(nanos int64) string {
	if nanos%1e6 == 0 {
		return strconv.FormatInt(nanos/1e6, 10)
	}
	sign := ""
	if nanos < 0 {
		sign, nanos = "-", -nanos
	}
	return fmt.Sprintf("%s%d.%06d", sign, nanos/1e6, nanos%1e6)
}
