package holdfast_test

import (
	"testing"

	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// What the tests do in every other line has a short name here.
var (
	open       = enginetest.Open
	acquire    = enginetest.Acquire
	release    = enginetest.Release
	detach     = enginetest.Detach
	ended      = enginetest.Ended
	state      = enginetest.State
	everywhere = enginetest.Everywhere
	clean      = enginetest.Clean
	within     = testkit.Within
	eventually = testkit.Eventually
	oneLine    = testkit.OneLine
)
