//go:build !unix

package main

import "os"

// screen is for Unix: elsewhere no file is taken for a terminal.
type screen struct{}

func newScreen(*os.File) *screen { return nil }

func (*screen) rows() int { return 0 }

func (*screen) draw(string) error { return nil }

func size(*os.File) (width, height int, ok bool) { return 0, 0, false }
