package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// span is a flag for a length of time: 500ms, 30s, 1h30m, or a number of seconds.
type span time.Duration

func (s *span) String() string {
	text := time.Duration(*s).String()
	for _, zero := range []string{"m0s", "h0m"} { // 1m0s is 1m
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if seconds, numErr := strconv.ParseUint(text, 10, 31); numErr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d <= 0 {
		return errors.New("want a length of time above 0, such as 500ms, 30s or 1h")
	}
	*s = span(d)
	return nil
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return "" } // its values may hold passwords

func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// addrMap is a flag that may be given several times, for where an address leads.
type addrMap map[string]string

func (m *addrMap) String() string { return "" }

func (m *addrMap) Set(text string) error {
	announced, reachable, ok := strings.Cut(text, "=")
	if !ok || announced == "" || reachable == "" {
		return errors.New("want ANNOUNCED=REACHABLE, such as 10.0.0.1:6379=redis.example.com:16379")
	}
	if *m == nil {
		*m = make(addrMap)
	}
	(*m)[announced] = reachable
	return nil
}

// guardFlag is a flag for the restart guard.
type guardFlag instance.Guard

func (g *guardFlag) String() string { return instance.Guard(*g).String() }

func (g *guardFlag) Set(text string) error {
	for _, guard := range []instance.Guard{instance.GuardAdaptive, instance.GuardStrict, instance.GuardOff} {
		if text == guard.String() {
			*g = guardFlag(guard)
			return nil
		}
	}
	return errors.New("want adaptive, strict or off")
}
