//go:build unix

package main

import "testing"

func TestCut(t *testing.T) {
	for line, want := range map[string]string{
		"":                      "",
		"12345":                 "12345",
		"123456":                "12345",
		"…äöü56":                "…äöü5",
		bold + "123456" + plain: bold + "12345" + plain,
		"12" + red + "3456":     "12" + red + "345",
	} {
		if got := cut(line, 5); got != want {
			t.Errorf("%q is cut to %q, want %q", line, got, want)
		}
	}
}
