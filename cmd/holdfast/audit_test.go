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
		t.Fatalf("net.ListenPacket: %v", err)
	}
	defer func() { _ = log.Close() }()
	write, err := dialSyslog("unixgram", addr)
	if err != nil {
		t.Fatalf("dialSyslog: %v", err)
	}
	for event, priority := range map[string]string{"grant": "<13>", "release": "<13>", "loss": "<12>", "force": "<12>"} { // user.notice, user.warning
		if err := write(entry{Event: event}, []byte("{the entry}\n")); err != nil {
			t.Fatalf("write: %v", err)
		}
		got := make([]byte, 1024)
		n, _, err := log.ReadFrom(got)
		if text := string(got[:n]); err != nil || !strings.HasPrefix(text, priority) || !strings.Contains(text, "holdfast[") || !strings.HasSuffix(text, ": {the entry}\n") {
			t.Errorf("%s: got %q, %v, want a line of holdfast's with priority %s that ends with the entry", event, text, err, priority)
		}
	}
	if _, err := dialSyslog("unixgram", addr+"-absent"); err == nil || !strings.HasPrefix(err.Error(), "syslog: ") {
		t.Errorf("dial a socket that is not there: got %v, want an error that begins with syslog:", err)
	}
}
