package instance_test

import (
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// What the tests on real servers do in every other line has a short name here.
var (
	open       = enginetest.Open
	acquire    = enginetest.Acquire
	release    = enginetest.Release
	ended      = enginetest.Ended
	state      = enginetest.State
	everywhere = enginetest.Everywhere
	clean      = enginetest.Clean
	within     = testkit.Within
	eventually = testkit.Eventually
	oneLine    = testkit.OneLine
)
