//go:build unix

package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// A line of syslog is an entry, without the end of a line. What is bad is a warning.
func TestAuditToSyslog(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "log")
	log, err := net.ListenPacket("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	write, err := dialSyslog("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	for event, priority := range map[string]string{"grant": "<13>", "release": "<13>", "loss": "<12>", "force": "<12>"} { // user.notice, user.warning
		if err := write(entry{Event: event}, []byte("{the entry}\n")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1024)
		n, _, err := log.ReadFrom(got)
		if text := string(got[:n]); err != nil || !strings.HasPrefix(text, priority) || !strings.Contains(text, "holdfast[") || !strings.HasSuffix(text, ": {the entry}\n") {
			t.Errorf("%s: %q %v", event, text, err)
		}
	}
	if _, err := dialSyslog("unixgram", addr+"-absent"); err == nil || !strings.HasPrefix(err.Error(), "syslog: ") {
		t.Error(err)
	}
}
