//go:build !windows && !plan9

package main

import (
	"bytes"
	"fmt"
	"log/syslog"
)

// openSyslog connects to the system's log.
func openSyslog() (func(entry, []byte) error, error) { return dialSyslog("", "") }

// dialSyslog connects to a log at an address; "" is the system's.
func dialSyslog(network, addr string) (func(entry, []byte) error, error) {
	w, err := syslog.Dial(network, addr, syslog.LOG_USER|syslog.LOG_NOTICE, "holdfast")
	if err != nil {
		return nil, fmt.Errorf("syslog: %w; does a syslog daemon run here?", err)
	}
	return func(e entry, line []byte) error { // it connects again by itself
		text := string(bytes.TrimSuffix(line, []byte("\n")))
		if e.Event == "loss" || e.Event == "force" {
			return w.Warning(text)
		}
		return w.Notice(text)
	}, nil
}
